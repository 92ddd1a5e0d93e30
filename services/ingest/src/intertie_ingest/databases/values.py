"""Rows as JSON: every value with all its digits, whatever type the external database gives it.

Numbers stay numbers (decimals and 64-bit integers exactly), times are ISO 8601, bytes are base64. What JSON has no
number for (NaN, infinity) is null.
"""

import base64
import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import orjson

from intertie_mapping.documents import parse_value
from intertie_mapping.values import JsonValue

_OPTIONS = orjson.OPT_UTC_Z
_MOST_DIGITS = 1000
_MOMENT_OF_INFINITY = {
    dt.datetime.max: "infinity",
    dt.datetime.min: "-infinity",
    dt.datetime.max.replace(tzinfo=dt.UTC): "infinity",
    dt.datetime.min.replace(tzinfo=dt.UTC): "-infinity",
    dt.date.max: "infinity",
    dt.date.min: "-infinity",
}

Repair = Callable[[Any], Any]


class Encoder:
    """Makes JSON objects of the rows of one result."""

    def __init__(
        self, columns: Sequence[str], repairs: Sequence[tuple[int, Repair]] = (), *, is_flat: bool = False
    ) -> None:
        """Args:
        columns: their names, in order. A name that comes again gets `_2`, `_3`, so that no value is lost.
        repairs: for the column of this index a function of its values, for what their Python type does not say.
        is_flat: whether the database has nothing but texts and numbers of 1,000 digits at most, whatever it calls them.
        """
        self.names = unique_names(columns)
        self.is_flat = is_flat
        self._repairs = tuple(repairs)

    def without_last(self, number: int) -> "Encoder":
        """The same for rows without their last columns."""
        kept = len(self.names) - number
        repairs = [repair for repair in self._repairs if repair[0] < kept]
        return Encoder(self.names[:kept], repairs, is_flat=self.is_flat)

    def encode(self, rows: Sequence[Sequence[Any]]) -> list[bytes]:
        """Each row as a JSON object."""
        names = self.names
        if self._repairs:
            rows = [self._repaired(row) for row in rows]
        try:
            return [_dumped(dict(zip(names, row, strict=True))) for row in rows]
        except TypeError:
            # An integer beyond 64 bits or a text that is no Unicode is in one of them: orjson asks nobody about those.
            return [self._careful(row) for row in rows]

    def column(self, name: str, rows: Sequence[Sequence[Any]]) -> list[JsonValue]:
        """What reading the rows' JSON gives under the name of one of the columns."""
        place = self.names.index(name)
        cells = [row[place] for row in rows]
        for index, repair in self._repairs:
            if index == place:
                cells = [None if cell is None else repair(cell) for cell in cells]
        return [cell if _is_plain(cell) else as_read(cell) for cell in cells]

    def _repaired(self, row: Sequence[Any]) -> list[Any]:
        values = list(row)
        for index, repair in self._repairs:
            if values[index] is not None:
                values[index] = repair(values[index])
        return values

    def _careful(self, row: Sequence[Any]) -> bytes:
        values = {name: careful(value) for name, value in zip(self.names, row, strict=True)}
        return _dumped(values)


def _dumped(values: dict[str, Any]) -> bytes:
    # Copied: orjson keeps the room that it wrote in, of four kilobytes and more, behind however small an object.
    return memoryview(orjson.dumps(values, default=plain, option=_OPTIONS)).tobytes()


def _is_plain(value: Any) -> bool:
    kind = type(value)
    return kind is int or (kind is str and value.isascii())


def as_read(value: Any) -> JsonValue:
    """What reading the JSON of a value gives."""
    return parse_value(orjson.dumps(careful(value), default=plain, option=_OPTIONS).decode())


def unique_names(columns: Sequence[str]) -> tuple[str, ...]:
    """The names, each once: the second `id` is `id_2`, or the next number that no other column has."""
    taken, given = set(columns), set[str]()
    names = []
    for column in columns:
        name, number = column, 1
        while name in given or (number > 1 and name in taken):
            number += 1
            name = f"{column}_{number}"
        given.add(name)
        names.append(name.encode("utf-8", "replace").decode())
    return tuple(names)


def plain(value: Any) -> Any:
    """What orjson takes for a value that it does not know; a text for what nobody knows."""
    match value:
        case Decimal():
            return _number(value)
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(value).decode()
        case dt.timedelta():
            return _clock(value)
        case set() | frozenset() | tuple():
            return list(value)
    as_string = getattr(value, "as_string", None)  # PostgreSQL's bit strings
    if callable(as_string):
        return as_string().replace(" ", "")
    if hasattr(value, "lower_inc"):
        return range_text(value)
    items = getattr(value, "items", None)  # rows within rows
    return dict(items()) if callable(items) else str(value)


def careful(value: Any) -> Any:
    """The value without what orjson refuses: integers beyond 64 bits, texts that are no Unicode, zoned times of day."""
    match value:
        case bool() | None:
            return value
        case int():
            return value if -(2**63) <= value < 2**64 else orjson.Fragment(str(Decimal(value)))
        case str():
            return value.encode("utf-8", "replace").decode()
        case list() | tuple():
            return [careful(item) for item in value]
        case dict():
            return {str(key): careful(item) for key, item in value.items()}
        case dt.datetime() if value.tzinfo is not None:
            return value.astimezone(dt.UTC)
        case dt.time() if value.tzinfo is not None:
            return value.isoformat()
    return value


def moment(value: Any) -> Any:
    """A date or time; PostgreSQL's infinity as text, MySQL's zero as None."""
    if type(value) is str:
        return None if value.startswith("0000-00-00") else value
    if isinstance(value, dt.date) and value.year in (1, 9999):
        return _MOMENT_OF_INFINITY.get(value, value)
    return value


def embedded(text: Any) -> Any:
    """A text that is JSON, as the JSON it is."""
    if not isinstance(text, str | bytes):
        return text
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return orjson.Fragment(text)


def range_text(value: Any) -> str:
    """A PostgreSQL range as PostgreSQL writes it."""
    if value.isempty:
        return "empty"
    lower = "" if value.lower is None else _bound(value.lower)
    upper = "" if value.upper is None else _bound(value.upper)
    return f"{'[' if value.lower_inc else '('}{lower},{upper}{']' if value.upper_inc else ')'}"


def _bound(value: Any) -> str:
    return value.isoformat() if isinstance(value, dt.date) else str(value)


def _number(value: Decimal) -> Any:
    if not value.is_finite():
        return None
    # Digits as the column has them; an exponent only where writing it out would be absurd.
    return orjson.Fragment(format(value, "f") if abs(value.adjusted()) < _MOST_DIGITS else str(value))


def _clock(value: dt.timedelta) -> str:
    sign = "-" if value < dt.timedelta() else ""
    microseconds = abs(value) // dt.timedelta(microseconds=1)
    seconds, fraction = divmod(microseconds, 1_000_000)
    text = f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{text}.{fraction:06d}" if fraction else text
