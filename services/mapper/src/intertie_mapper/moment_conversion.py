"""Dates and times for SQL columns, as texts in the databases' own notation, in UTC.

A text with a zone is turned into UTC, also for DATE and TIME columns, so that columns of both kinds that are fed by one
value agree; a mapping that wants another clock says so with the transformation `date`, `time` or `datetime`. A value
without a zone is taken as it is. Digits of a second beyond those that the column keeps are cut, never rounded:
23:59:59.9 must not become the next day.
"""

import re
from datetime import date, datetime, time

from intertie_mapper.columns import Column, Kind, SqlValue
from intertie_mapper.errors import TargetReason
from intertie_mapper.misfits import Misfit
from intertie_mapping.errors import Reason
from intertie_mapping.moments import MomentError, read_moment, read_plain, read_time
from intertie_mapping.values import Value

_LEAP_SECOND = re.compile(r":?\d\d:60(?!\d)|T\d{4}60(?!\d)", re.ASCII)
_COUNT = re.compile(r"[@+-]?\d+(?:\.\d+)?", re.ASCII)
_COMPACT = {8, 14}  # 20261130 and 20261130140000, which are dates
_FIRST_TIMESTAMP = datetime(1970, 1, 1, 0, 0, 1)
_LAST_TIMESTAMP = datetime(2038, 1, 19, 3, 14, 7, 999999)


def to_date(column: Column, value: Value) -> SqlValue:
    """`2026-11-30`."""
    return _moment(value).date().isoformat()


def to_datetime(column: Column, value: Value) -> SqlValue:
    """`2026-11-30 14:00:00`, with the digits of a second that the column keeps."""
    when = _moment(value)
    if column.kind is Kind.TIMESTAMP and not column.embedded and not _FIRST_TIMESTAMP <= when <= _LAST_TIMESTAMP:
        raise Misfit(Reason.BAD_DATETIME, "a TIMESTAMP column takes 1970 to January 2038")
    return when.isoformat(" ", "seconds") + _fraction(column, when.microsecond)


def to_time(column: Column, value: Value) -> SqlValue:
    """`14:00:00`, a time of the day; of a whole timestamp its time."""
    found = value if isinstance(value, time) else _clock(value)
    return found.isoformat("seconds") + _fraction(column, found.microsecond)


def _clock(value: Value) -> time:
    if isinstance(value, str):
        _refuse_leap_second(value)
        try:
            alone = read_time(value)
        except MomentError as error:
            raise Misfit(Reason.BAD_DATETIME, str(error)) from None
        if alone is not None:
            return alone
    return _moment(value).time()


def _moment(value: Value) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    if isinstance(value, str):
        if plain := read_plain(value):
            return plain.when
        _refuse_leap_second(value)
        text = value.strip()
        if _COUNT.fullmatch(text) and len(text) not in _COMPACT:
            raise _no_date()
        try:
            return read_moment(text).when
        except MomentError as error:
            raise Misfit(Reason.BAD_DATETIME, str(error)) from None
    if isinstance(value, bool) or value is None or isinstance(value, (list, dict, time)):
        raise Misfit(TargetReason.WRONG_TYPE, "a date or time is needed")
    raise _no_date()


def _no_date() -> Misfit:
    # MySQL reads 20260101 as a date and Unix senders mean seconds: which it is, the mapping must say.
    return Misfit(Reason.BAD_DATETIME, "a bare number is no date; the transformation datetime says what it counts")


def _refuse_leap_second(text: str) -> None:
    if _LEAP_SECOND.search(text):
        raise Misfit(Reason.BAD_DATETIME, "it is a leap second, which no column can hold")


def _fraction(column: Column, microsecond: int) -> str:
    return f".{microsecond:06}"[: 1 + column.fraction] if column.fraction else ""
