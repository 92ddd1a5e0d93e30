"""Transformations between texts, lists and JSON, and those that stand values in for others."""

from __future__ import annotations

from datetime import date, time

from intertie_mapping.documents import parse_value, serialise
from intertie_mapping.errors import DocumentError, Reason
from intertie_mapping.transformations.specification import (
    ABSENT,
    Argument,
    ArgumentError,
    Function,
    Kind,
    Refusal,
    Specification,
    as_text,
)
from intertie_mapping.values import JsonValue, Value

_MAX_PIECES = 10_000


def _lookup(values: dict[str, JsonValue], default: JsonValue) -> Function:
    def lookup(value: Value) -> Value:
        key = "true" if value is True else "false" if value is False else as_text(value)
        found = values.get(key, default)
        if found is ABSENT:
            raise Refusal(Reason.NOT_IN_LOOKUP, f"The lookup has no entry for {key[:60]!r} and no default.")
        return found

    return lookup


def _default(value: JsonValue) -> Function:
    return lambda found: value if found is None else found


def _null_if(values: list[JsonValue]) -> Function:
    """Compared with their types, so that 0 is not false."""
    kinds = [(type(value), value) for value in values]
    return lambda found: None if (type(found), found) in kinds else found


def _split(separator: str, trim: bool) -> Function:
    if not separator:
        raise ArgumentError("must not be empty", "separator")

    def split(value: Value) -> Value:
        text = as_text(value)
        pieces = text.split(separator) if text else []
        if len(pieces) > _MAX_PIECES:
            raise Refusal(Reason.TOO_LONG, f"The text splits into more than {_MAX_PIECES} pieces.")
        return [piece.strip() for piece in pieces] if trim else list(pieces)

    return split


def _list(value: Value) -> list[JsonValue]:
    if isinstance(value, list):
        return value
    raise Refusal(Reason.NOT_A_LIST)


def _join(separator: str) -> Function:
    return lambda value: separator.join(as_text(item) for item in _list(value) if item is not None)


def _first() -> Function:
    return lambda value: next(iter(_list(value)), None)


def _last() -> Function:
    return lambda value: next(reversed(_list(value)), None)


def _count() -> Function:
    return lambda value: len(_list(value))


def _json() -> Function:
    return lambda value: serialise(_jsonable(value))


def _jsonable(value: Value) -> JsonValue:
    if isinstance(value, list):
        return [_jsonable(item) for item in value]
    return as_text(value) if isinstance(value, date | time) else value


def _parse_json() -> Function:
    def parse_json(value: Value) -> Value:
        if not isinstance(value, str):
            raise Refusal(Reason.NOT_TEXT)
        try:
            return parse_value(value)
        except DocumentError as error:
            raise Refusal(Reason.INVALID_JSON, error.message.replace("The body", "The text")) from None

    return parse_json


STRUCTURES = (
    Specification(
        "lookup",
        "Puts the value that a table has for it; numbers, true and false are looked up as they are written.",
        _lookup,
        {
            "values": Argument(Kind.OBJECT, "the table: what comes in, and what it becomes"),
            "default": Argument(
                Kind.ANY, "for values that the table does not have; without it they are a fault", ABSENT
            ),
        },
    ),
    Specification(
        "default",
        "Puts a value where there is none: where the source is missing or null.",
        _default,
        {"value": Argument(Kind.ANY, "the value")},
        elementwise=False,
        takes_null=True,
    ),
    Specification(
        "null_if",
        "Makes certain values null.",
        _null_if,
        {"values": Argument(Kind.LIST, 'the values, such as ["", "N/A"]')},
    ),
    Specification(
        "split",
        "Makes a list of a text.",
        _split,
        {
            "separator": Argument(Kind.TEXT, "what stands between the pieces", ","),
            "trim": Argument(Kind.BOOLEAN, "whether to take whitespace away from each piece", True),
        },
    ),
    Specification(
        "join",
        "Makes a text of a list, leaving out nulls.",
        _join,
        {"separator": Argument(Kind.TEXT, "what to put between the elements", ", ")},
        elementwise=False,
    ),
    Specification("first", "The first element of a list, null if it is empty.", _first, elementwise=False),
    Specification("last", "The last element of a list, null if it is empty.", _last, elementwise=False),
    Specification("count", "How many elements a list has.", _count, elementwise=False),
    Specification("json", "Writes any value as JSON text.", _json, elementwise=False),
    Specification("parse_json", "Reads JSON text.", _parse_json, elementwise=False),
)
