"""A kept cursor as a value to compare the column with: what the column holds decides its form."""

import datetime as dt
import re
from contextlib import suppress
from decimal import ROUND_CEILING, Decimal
from typing import Any

from intertie_ingest.errors import NoSource
from intertie_ingest.syncs.cursors import CursorValue

_OFFSET = re.compile(r"[+-](?!00:?00$)\d\d:?\d\d$")
_WIDEST_OFFSET = dt.timedelta(hours=14)


def bound(value: CursorValue, sample: Any, *, is_end: bool) -> Any:
    """The value as the column has it; never later than it for a start, so that no row is missed.

    Args:
    sample: a value of the column, as the driver gives it.
    is_end: whether it is where to stop before, not where to start.

    Raises NoSource when the two have no order between them.
    """
    match sample:
        case dt.datetime() if value.kind in ("datetime", "date"):
            moment = _moment(value)
            return moment if sample.tzinfo is not None else moment.replace(tzinfo=None)
        case dt.date() if value.kind in ("datetime", "date"):
            return _day(_moment(value), is_end)
        case bool():
            pass
        case int() if value.kind in ("integer", "decimal"):
            return int(Decimal(value.value).to_integral_value(ROUND_CEILING))
        case Decimal() if value.kind in ("integer", "decimal"):
            return Decimal(value.value)
        case float() if value.kind in ("integer", "decimal"):
            return float(value.value)
        case str() if value.kind == "text":
            return value.value
        case str() if value.kind in ("datetime", "date"):
            return _as_written(_moment(value), sample, is_end)
    raise NoSource(
        f"the cursor is of type {value.kind}, which the values of the column cursor_field are not; reset the cursor"
    )


def _moment(value: CursorValue) -> dt.datetime:
    if isinstance(value.value, dt.datetime):
        return value.value
    return dt.datetime(value.value.year, value.value.month, value.value.day, tzinfo=dt.UTC)


def _day(moment: dt.datetime, is_end: bool) -> dt.date:
    day = moment.date()
    is_midnight = moment.time() == dt.time()
    return day + dt.timedelta(days=1) if is_end and not is_midnight and day < dt.date.max else day


def _as_written(moment: dt.datetime, sample: str, is_end: bool) -> str:
    """A time to compare texts with: without fraction and zone, so that it is before all texts of the same second."""
    if len(sample) <= 10:
        return _day(moment, is_end).isoformat()
    if _OFFSET.search(sample):
        # Texts of different offsets are not in the order of time. The widest offset makes the start early enough.
        with suppress(OverflowError):
            moment = moment + _WIDEST_OFFSET if is_end else moment - _WIDEST_OFFSET
    return f"{moment.date().isoformat()}{sample[10]}{moment.time().replace(microsecond=0).isoformat()}"
