"""Transformations to dates and times, and of them to text or to Unix time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import time, tzinfo

from intertie_mapping.date_formats import compile_format, compile_reader
from intertie_mapping.errors import Reason
from intertie_mapping.moments import UNITS, Moment, MomentError, read_moment, read_time, unix_microseconds, zone
from intertie_mapping.transformations.specification import (
    ABSENT,
    Argument,
    ArgumentError,
    Function,
    Kind,
    Refusal,
    Specification,
)
from intertie_mapping.values import Value

_READING = {
    "from": Argument(Kind.TEXT, "the format it is written in, such as d/m/Y; any usual one when left out", ABSENT),
    "from_zone": Argument(Kind.TEXT, "the zone of times written without one; that of `zone` when left out", ABSENT),
    "unit": Argument(Kind.TEXT, "what a number counts since 1970: seconds, milliseconds or microseconds", "seconds"),
}
_ZONE = {"zone": Argument(Kind.TEXT, "the zone of the result, such as Asia/Manila or +08:00", "UTC")}


class _Reading:
    """How values are read into moments, and at which places they were written and are wanted."""

    __slots__ = ("_reader", "_unit", "place", "written_at")

    def __init__(self, arguments: dict[str, object]) -> None:
        self._unit = str(arguments["unit"])
        if self._unit not in UNITS:
            raise ArgumentError(f"must be one of {', '.join(UNITS)}", "unit")
        self._reader: Callable[[str], Moment] | None = None
        if isinstance(written := arguments["from"], str):
            try:
                self._reader = compile_reader(written)
            except ValueError as error:
                raise ArgumentError(str(error), "from") from None
        self.place = _zone(arguments, "zone")
        self.written_at = _zone(arguments, "from_zone") if isinstance(arguments["from_zone"], str) else self.place

    def moment(self, value: Value) -> Moment:
        """Raises MomentError."""
        if self._reader is not None and isinstance(value, str):
            return self._reader(value)
        return read_moment(value, self._unit)


def _zone(arguments: dict[str, object], name: str) -> tzinfo:
    try:
        return zone(str(arguments.get(name, "UTC")))
    except ValueError as error:
        raise ArgumentError(str(error), name) from None


def _refusing(function: Callable[[Value], Value]) -> Function:
    def transform(value: Value) -> Value:
        try:
            return function(value)
        except MomentError as error:
            text = str(error)
            raise Refusal(Reason.BAD_DATETIME, f"{text[0].upper()}{text[1:]}.") from None

    return transform


def _date_format(format: str, **arguments: object) -> Function:
    reading = _Reading(arguments)
    try:
        write = compile_format(format)
    except ValueError as error:
        raise ArgumentError(str(error), "format") from None
    place, written_at = reading.place, reading.written_at
    return _refusing(lambda value: write(reading.moment(value).at(place, written_at).replace(tzinfo=place)))


def _date(**arguments: object) -> Function:
    reading = _Reading(arguments)
    return _refusing(lambda value: reading.moment(value).at(reading.place, reading.written_at).date())


def _datetime(**arguments: object) -> Function:
    reading = _Reading(arguments)
    return _refusing(lambda value: reading.moment(value).at(reading.place, reading.written_at))


def _time(**arguments: object) -> Function:
    reading = _Reading(arguments)

    def read(value: Value) -> Value:
        if isinstance(value, time):
            return value
        alone = read_time(value) if isinstance(value, str) else None
        return alone if alone is not None else reading.moment(value).at(reading.place, reading.written_at).time()

    return _refusing(read)


def _unix(microseconds: int) -> Callable[..., Function]:
    def make(**arguments: object) -> Function:
        reading = _Reading({**arguments, "zone": "UTC"})

        def count(value: Value) -> Value:
            return unix_microseconds(reading.moment(value).at(reading.place, reading.written_at)) // microseconds

        return _refusing(count)

    return make


DATES = (
    Specification(
        "date_format",
        "Writes a date as text in a format of PHP's letters or strftime's directives.",
        _date_format,
        {"format": Argument(Kind.TEXT, "the format of the result", "%Y-%m-%d %H:%M:%S"), **_ZONE, **_READING},
    ),
    Specification("date", "Reads a date; of a time, the day that it is in the zone.", _date, {**_ZONE, **_READING}),
    Specification(
        "datetime", "Reads a date and time, and gives it in the zone (UTC).", _datetime, {**_ZONE, **_READING}
    ),
    Specification("time", "Reads a time of day, also out of a whole timestamp.", _time, {**_ZONE, **_READING}),
    Specification("unix_time", "Seconds since 1970, rounded down.", _unix(1_000_000), _READING),
    Specification("unix_millis", "Milliseconds since 1970, rounded down.", _unix(1_000), _READING),
)
