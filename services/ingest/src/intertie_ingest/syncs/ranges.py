"""What of its source a run reads: from the cursor on, everything, or the range that was asked for."""

import re

from intertie_chassis.errors import FailedPrecondition, InvalidArgument
from intertie_ingest.syncs.cursors import CursorMismatch, CursorValue
from intertie_ingest.syncs.model import Mode, Run, StoredCursor
from intertie_ingest.syncs.source import Range
from intertie_mapping.synchronisation import Synchronisation

_NUMBER = re.compile(r"[+-]?\d{1,4000}(?:\.\d{1,4000})?", re.ASCII)


def range_of(run: Run, cursor: StoredCursor | None, synchronisation: Synchronisation) -> Range:
    """The range of a run; `cursor` is the mapping's.

    Look-back is taken off the start; the cursor itself stays as it is. Raises FailedPrecondition when the mapping has
    another cursor field than the cursor is of, InvalidArgument for a range that cannot be read.
    """
    if run.mode is Mode.BACKFILL:
        start, end = backfill(run.range_from, run.range_to, None if cursor is None else cursor.value.kind)
        return Range(start, end, with_unset=False)
    if run.mode is not Mode.INCREMENTAL or synchronisation.cursor_field is None or cursor is None:
        return Range()
    if cursor.cursor_field != synchronisation.cursor_field:
        raise FailedPrecondition(
            f"the mapping's cursor is of {cursor.cursor_field!r} and its cursor_field is now "
            f"{synchronisation.cursor_field!r}; reset the cursor, or sync everything once with mode full"
        )
    return Range(cursor.value.minus(synchronisation.lookback_seconds))


def backfill(start: str, end: str, kind: str | None) -> tuple[CursorValue | None, CursorValue | None]:
    """The bounds of a backfill, of the kind that the mapping's cursor has, or of the kind that they look like.

    An empty text is no bound. Raises InvalidArgument, with the field at fault.
    """
    bounds = tuple(_bound(field, text, kind) for field, text in (("range_from", start), ("range_to", end)))
    first, last = bounds
    try:
        if first is not None and last is not None and not first < last:
            raise _invalid("range_to", "must be larger than range_from")
    except CursorMismatch as error:
        raise _invalid("range_to", "must be of the same type as range_from") from error
    return first, last


def _bound(field: str, text: str, kind: str | None) -> CursorValue | None:
    if not text:
        return None
    if kind is None:
        return _guessed(text)
    try:
        # A date bounds times as well: it is the midnight that it begins with.
        guessed = CursorValue.of(text)
        if kind == "datetime" and guessed is not None and guessed.kind in ("date", "datetime"):
            return guessed
        return CursorValue.parse(kind, text)
    except ValueError as error:
        raise _invalid(field, f"must be a value of the cursor field, which is of type {kind}") from error


def _guessed(text: str) -> CursorValue | None:
    if _NUMBER.fullmatch(text):
        return CursorValue.parse("decimal" if "." in text else "integer", text)
    return CursorValue.of(text)


def _invalid(field: str, what: str) -> InvalidArgument:
    return InvalidArgument(f"{field} {what}", violations=[(field, what)])
