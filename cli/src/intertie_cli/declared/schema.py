"""The JSON Schema of a declared configuration, for editors: they complete, explain and check while one writes.

A schema knows less than `apply`: not what two values need of each other, nor what a target table has.
"""

import json
from typing import Any

from intertie_cli.declared.config_schema import config_schema
from intertie_cli.declared.fields import FIELDS, SECTIONS, Field, Kind
from intertie_cli.declared.mapping_schema import mapping_schema
from intertie_cli.declared.model import VERSION

#: what editors know best
DIALECT = "http://json-schema.org/draft-07/schema#"
_NAME = r"^(?!\.{1,2}$)(?! )[^/]*[^/ ]$"
_VARIABLE = r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"
_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9]{2}:?[0-9]{2})$"

Schema = dict[str, Any]

_ABOUT = {
    "systems": "External systems.",
    "connections": "How systems are reached, and how what they send is verified.",
    "mappings": "How the records of systems become rows of tables.",
    "grants": "Which module may use which system.",
}


def schema() -> Schema:
    """The schema of one document of a file."""
    return {
        "$schema": DIALECT,
        "title": "Intertie: systems, connections, mappings and grants",
        "description": "What `intertie apply` makes true. Texts may hold ${NAME}, ${NAME:-default}; $${ is ${ itself.",
        "type": "object",
        "required": ["version"],
        "additionalProperties": False,
        "properties": {
            "version": {"const": VERSION, "description": "The version of this format."},
            **{
                section: {
                    "description": _ABOUT[section],
                    "type": ["array", "null"],
                    "items": {"$ref": f"#/definitions/{kind}"},
                }
                for section, kind in SECTIONS.items()
            },
        },
        "definitions": {
            **{kind: _part(kind) for kind in FIELDS},
            "config_json": config_schema(),
            "mapping_config": mapping_schema(),
            "variable": {
                "description": "A variable of the environment, in place of a number, or of true or false.",
                "type": "string",
                "pattern": f"^{_VARIABLE}$",
            },
        },
    }


def text() -> str:
    """The schema as it is printed and checked in."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _part(kind: Kind) -> Schema:
    return {
        "type": "object",
        "required": [each.name for each in FIELDS[kind] if each.is_needed],
        "additionalProperties": False,
        "properties": {each.name: {"description": _about(each), **_value(each)} for each in FIELDS[kind]},
    }


def _about(field: Field) -> str:
    if field.form == "secret":
        return f"{field.about} Write ${{NAME}}; left out it stays as it is, null takes it away."
    return field.about


def _value(field: Field) -> Schema:
    found: Schema
    if field.form == "name":
        return {"type": "string", "minLength": 1, "maxLength": 100, "pattern": _NAME}
    if field.form == "text":
        found = {"type": ["string", "null"], "maxLength": field.most}
        # What a variable holds may be shorter than what it is called, and the other way round.
        found = {"type": ["string", "null"]} if field.most is None else found
    elif field.form == "secret":
        found = {"type": ["string", "null"], "minLength": 1}
    elif field.form == "word":
        words: list[Any] = [*field.words] if field.is_needed else [*field.words, None]
        found = {"anyOf": [{"enum": words}, {"$ref": "#/definitions/variable"}]}
    elif field.form == "whole":
        number = {"type": ["integer", "null"], "minimum": 0, "maximum": field.most}
        found = {"anyOf": [number, {"$ref": "#/definitions/variable"}]}
    elif field.form == "flag":
        found = {"anyOf": [{"type": ["boolean", "null"]}, {"$ref": "#/definitions/variable"}]}
    elif field.form == "permissions":
        found = _permissions()
    elif field.form == "time":
        found = {
            "anyOf": [{"type": "string", "pattern": _TIME}, {"type": "null"}, {"$ref": "#/definitions/variable"}],
        }
    else:
        found = {"$ref": f"#/definitions/{field.name}"}
    if field.default not in (None, ""):
        found["default"] = field.default
    return found


def _permissions() -> Schema:
    texts = {"type": "array", "items": {"type": "string", "minLength": 1}}
    return {
        "anyOf": [
            {"type": "null"},
            {**texts, "minItems": 1},
            {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "tables": {**texts, "description": "The tables that a statement may name."},
                    "columns": {
                        "description": "By table, the columns that may be seen or written.",
                        "type": "object",
                        "additionalProperties": texts,
                    },
                    "statements": {**texts, "description": "Of select, insert, update, delete."},
                    "max_rows": {"type": "integer", "minimum": 1, "description": "Rows of one answer."},
                    "endpoints": {
                        **texts,
                        "description": "Paths below the base URL; * at the end: all that begin so.",
                    },
                    "methods": {**texts, "description": "Of GET, HEAD, POST, PUT, PATCH, DELETE."},
                },
            },
        ]
    }
