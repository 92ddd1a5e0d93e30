"""Arguments for PostgreSQL, whose protocol wants each value in the type that the statement gives its parameter."""

import base64
import binascii
import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from intertie_ingest.databases.arguments import wrong

_INTEGERS = {"int2": 15, "int4": 31, "int8": 63, "oid": 32}
_TEXTS = {"text", "varchar", "bpchar", "name", "char", "citext", "unknown", "money", "xml"}


def fitted(types: Sequence[Any], values: Sequence[Any], names: Sequence[str]) -> list[Any]:
    """The values as asyncpg takes them for parameters of these types. Raises QueryFailed, which names the parameter."""
    return [
        None if value is None else fit(value, kind.name, name)
        for kind, value, name in zip(types, values, (*names, *[""] * len(values)), strict=False)
    ]


def fit(value: Any, kind: str, name: str) -> Any:
    """One value for a parameter of PostgreSQL's type `kind`. Raises QueryFailed."""
    if kind in _INTEGERS:
        return _integer(value, _INTEGERS[kind], name)
    if kind in _TEXTS:
        return value if isinstance(value, str) else _as_text(value)
    make = _MAKERS.get(kind)
    if make is None:
        return value if isinstance(value, str | bytes) else _as_text(value)
    expected, convert = make
    try:
        return convert(value)
    except (ValueError, TypeError, ArithmeticError, InvalidOperation, binascii.Error):
        raise wrong(name, expected) from None


def _integer(value: Any, bits: int, name: str) -> int:
    try:
        number = Decimal(value)
        whole = int(number)
    except (ValueError, TypeError, ArithmeticError, InvalidOperation):
        raise wrong(name, "a whole number") from None
    if whole != number or not -(2**bits) <= whole < 2**bits:
        raise wrong(name, f"a whole number of {bits + 1} bits")
    return whole


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    known = {"true": True, "false": False, "1": True, "0": False}
    if (text := str(value).lower()) in known:
        return known[text]
    raise ValueError


def _number(value: Any) -> Decimal:
    if isinstance(value, float):
        return Decimal(repr(value))
    return Decimal(value)


def _date(value: Any) -> dt.date:
    if isinstance(value, dt.datetime):
        return value.date()
    return value if isinstance(value, dt.date) else _moment(value).date()


def _moment(value: Any) -> dt.datetime:
    if isinstance(value, dt.datetime):
        return value
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day)
    return dt.datetime.fromisoformat(value)


def _local(value: Any) -> dt.datetime:
    moment = _moment(value)
    return moment if moment.tzinfo is None else moment.astimezone(dt.UTC).replace(tzinfo=None)


def _instant(value: Any) -> dt.datetime:
    moment = _moment(value)
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment


def _time(value: Any) -> dt.time:
    return value if isinstance(value, dt.time) else dt.time.fromisoformat(value)


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else base64.b64decode(value, validate=True)


def _json(value: Any) -> str:
    if isinstance(value, str):
        orjson.loads(value)
        return value
    return str(orjson.dumps(value if not isinstance(value, Decimal) else orjson.Fragment(str(value))), "utf-8")


_MAKERS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "bool": ("true or false", _boolean),
    "numeric": ("a number", _number),
    "float4": ("a number", float),
    "float8": ("a number", float),
    "date": ("a date as 2025-01-31", _date),
    "timestamp": ("a time as 2025-01-31T12:00:00", _local),
    "timestamptz": ("a time as 2025-01-31T12:00:00Z", _instant),
    "time": ("a time of day as 12:00:00", _time),
    "timetz": ("a time of day as 12:00:00+00:00", _time),
    "uuid": ("a UUID", lambda value: value if isinstance(value, uuid.UUID) else uuid.UUID(value)),
    "bytea": ("bytes in base64", _bytes),
    "json": ("a text that is JSON", _json),
    "jsonb": ("a text that is JSON", _json),
}
