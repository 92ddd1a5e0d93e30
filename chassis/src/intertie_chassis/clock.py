"""The wall clock, in one place so that everything agrees on UTC and on naive datetimes."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The present time in UTC without tzinfo, to the microsecond: the form in which the stores keep times."""
    return datetime.now(UTC).replace(tzinfo=None)
