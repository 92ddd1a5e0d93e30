"""The JSON Schema of a mapping's configuration, made from the mapping language itself."""

from typing import Any

from intertie_mapping.configuration import KEYS, MAX_COLUMN_NAME
from intertie_mapping.retrying import MOST_DELAYS, MOST_SECONDS
from intertie_mapping.sync_values import METHODS
from intertie_mapping.synchronisation import KEYS as SYNC_KEYS
from intertie_mapping.synchronisation import PAGINATION_KINDS
from intertie_mapping.transformations.chain import CATALOGUE, MAX_STEPS

Schema = dict[str, Any]

_COLUMN: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_COLUMN_NAME}
_TEXT: Schema = {"type": ["string", "null"]}


def mapping_schema() -> Schema:
    """What `mapping_config` may hold."""
    known: dict[str, Schema] = {
        "field_mappings": _object(
            "Source path to column, or to a list of columns.",
            {"anyOf": [_COLUMN, {"type": "array", "minItems": 1, "items": _COLUMN}]},
        ),
        "transformations": _object(
            "Column to a transformation, or a list of them.",
            {"anyOf": [_step(), {"type": "array", "maxItems": MAX_STEPS, "items": _step()}]},
        ),
        "expressions": _object("Column to JSONata.", {"type": "string"}),
        "constants": _object("Column to the value that it always gets.", {}),
        "defaults": _object("Column to the value that it gets when its source is missing.", {}),
        "external_id_field": {"description": "The path of the record's id.", "default": "id", **_TEXT},
        "external_id": _word("content: records without an id are known by their bytes.", "field", "content"),
        "version_field": {"description": "The path of the record's version.", **_TEXT},
        "match_fields": {
            "description": "Columns by which a record that is not linked yet finds its row.",
            "anyOf": [_COLUMN, {"type": "array", "items": _COLUMN}, {"type": "null"}],
        },
        "filter": {"description": "JSONata that a record must fulfil to be mapped.", **_TEXT},
        "apply": _word("latest: a row mirrors the newest state; every: each delivery makes a row.", "latest", "every"),
        "on_deleted": _word("What becomes of a record whose row the module deleted.", "set_aside", "recreate"),
        "retry": _retry(),
        "sync": _sync(),
    }
    return {
        "description": "What a record becomes: the mapping language.",
        "type": "object",
        "additionalProperties": False,
        "properties": {key: known[key] for key in KEYS},
    }


def _object(about: str, of: Schema) -> Schema:
    return {"description": about, "type": ["object", "null"], "additionalProperties": of}


def _word(about: str, *words: str) -> Schema:
    return {"description": about, "enum": [*words, None], "default": words[0]}


def _step() -> Schema:
    names = {"enum": list(CATALOGUE)}
    described = [
        {
            "description": each.sentence,
            "required": ["name"],
            "additionalProperties": False,
            "properties": {"name": {"const": each.name}, **{name: {} for name in each.arguments}},
        }
        for each in CATALOGUE.values()
    ]
    return {"anyOf": [names, {"type": "object", "anyOf": described}]}


def _retry() -> Schema:
    delays = {
        "description": "Seconds after the first attempt, the second, and so on.",
        "type": "array",
        "minItems": 1,
        "maxItems": MOST_DELAYS,
        "items": {"type": "integer", "minimum": 1, "maximum": MOST_SECONDS},
    }
    return {
        "description": "When a record that failed for no fault of its own is tried again.",
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {"delays_seconds": delays},
    }


def _sync() -> Schema:
    whole = {"type": ["integer", "null"], "minimum": 0}
    known: dict[str, Schema] = {
        "cursor_field": {"description": "The path of the value by which a sync goes on.", **_TEXT},
        "lookback_seconds": {"description": "How far behind the cursor a sync begins.", **whole},
        "page_size": {"description": "Rows of a database read at once; what an API is asked for.", **whole},
        "pagination": _pagination(),
        "records": {"description": "Of an API: the path of the array of records.", **_TEXT},
        "key_fields": {
            "description": "Of a database: the columns by which a row is found again.",
            "type": ["array", "null"],
            "items": {"type": "string"},
        },
        "cursor_param": {"description": "Of an API: the parameter that gets the cursor.", **_TEXT},
        "cursor_format": {"description": "iso8601, unix, unix_ms, or a pattern of strftime.", **_TEXT},
        "params": {"description": "Of an API: further query parameters.", "type": ["object", "null"]},
        "method": {"description": "Of an API.", "enum": [*METHODS, None]},
        "body": {"description": "Of an API: the body that asks."},
        "cache_seconds": {"description": "How long what was read counts as fresh.", **whole},
        "connection_id": {"description": "The number of the connection to read through; better: connection.", **whole},
    }
    named = {
        "description": "The name of the connection to read through; left out: the first active one.",
        "type": "string",
    }
    return {
        "description": "How the source is read.",
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {"connection": named, **{key: known[key] for key in SYNC_KEYS}},
    }


def _pagination() -> Schema:
    kinds = [
        {
            "required": ["kind"],
            "additionalProperties": False,
            "properties": {"kind": {"const": kind}, **{key: {} for key in keys}},
        }
        for kind, keys in PAGINATION_KINDS.items()
    ]
    return {
        "description": "Of an API: how its pages follow each other.",
        "type": ["object", "null"],
        "anyOf": [{"type": "null"}, *kinds],
    }
