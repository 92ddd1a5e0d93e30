"""A cursor value as an API wants to be told."""

from datetime import UTC, datetime, timedelta

from intertie_ingest.errors import NoSource
from intertie_ingest.syncs.cursors import CursorValue

_MICROSECOND = timedelta(microseconds=1)


def cursor_text(cursor: CursorValue, form: str) -> str:
    """`iso8601`, `unix` (seconds), `unix_ms`, or a pattern of strftime in UTC; always rounded down, so that nothing is
    left out. Numbers and texts are sent as they are. Raises NoSource for another form."""
    if form not in ("iso8601", "unix", "unix_ms") and "%" not in form:
        raise NoSource("sync.cursor_format must be iso8601, unix, unix_ms, or a pattern of strftime")
    if cursor.kind not in ("datetime", "date") or form == "iso8601":
        return cursor.text
    day = cursor.value
    moment = day if cursor.kind == "datetime" else datetime(day.year, day.month, day.day, tzinfo=UTC)
    if "%" in form:
        return str(moment.strftime(form))
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    microseconds = (moment - epoch) // _MICROSECOND
    return str(microseconds // (1_000_000 if form == "unix" else 1_000))
