"""Reading ahead, bookmarks, ranges, and which connection a source is read through."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import pytest

from intertie_chassis.errors import FailedPrecondition, InvalidArgument
from intertie_ingest import errors
from intertie_ingest.configuration import StoredConnection
from intertie_ingest.syncs.bookmark import Bookmark
from intertie_ingest.syncs.cursors import CursorValue
from intertie_ingest.syncs.model import Mode, Run, RunState, StoredCursor, Trigger
from intertie_ingest.syncs.page_run import not_beyond, plausible
from intertie_ingest.syncs.ranges import backfill, range_of
from intertie_ingest.syncs.reading import read_ahead
from intertie_ingest.syncs.source import Page, Range
from intertie_ingest.syncs.sources import connection_of, default_mode, fingerprint
from intertie_mapping.synchronisation import Synchronisation
from sync_samples import API, DATABASE, ListSource, configuration, mapping, record

NOW = datetime(2026, 1, 1)
AT = CursorValue.parse("datetime", "2025-06-01T00:00:00Z")


def run_of(mode: Mode, start: str = "", end: str = "") -> Run:
    """A run that has begun."""
    return Run("r", 1, 1, mode, Trigger.MANUAL, "", RunState.RUNNING, None, 0, start, end, NOW)


async def test_two_pages_are_held_and_no_more() -> None:
    """The next one is asked for when the one before it is taken, and the source is closed at the end."""
    source = ListSource([record(number) for number in range(6)])
    asked = []
    async with aclosing(read_ahead(source.pages(Range(), None))) as pages:
        async for _ in pages:
            for _ in range(5):
                await asyncio.sleep(0)
            asked.append(len(source.asked))
    assert (asked, source.closed) == ([2, 3, 3], 1)


async def test_what_the_source_raises_comes_after_its_pages() -> None:
    """What was read before is not lost with it."""
    source = ListSource([record(number) for number in range(4)], faults={1: [errors.ExternalUnavailable()]})
    pages = read_ahead(source.pages(Range(), None))
    assert len((await anext(pages)).records) == 2
    with pytest.raises(errors.ExternalUnavailable):
        await anext(pages)
    assert source.closed == 1


async def test_closing_ends_a_source_that_waits_and_one_that_heeds_only_the_second_cancellation() -> None:
    """As asyncio.wait_for, which drivers use, may swallow the first one."""
    swallowed = []

    async def stubborn() -> AsyncGenerator[Page, None]:
        yield Page([], b"0")
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed.append(1)
                if len(swallowed) > 1:
                    raise

    pages = read_ahead(stubborn())
    await anext(pages)
    await asyncio.sleep(0)
    await pages.aclose()
    assert len(swallowed) == 2


@pytest.mark.parametrize("start", [None, AT, CursorValue.parse("integer", "7"), CursorValue.parse("text", "é")])
@pytest.mark.parametrize("at", [None, b'{"a": "\xc3\xa9"}'])
def test_a_bookmark_is_what_was_written(start: CursorValue | None, at: bytes | None) -> None:
    """Whoever goes on reads the same place."""
    for is_end in (False, True):
        bookmark = Bookmark("s", start, at, is_end)
        assert Bookmark.decode(bookmark.encode()) == bookmark


@pytest.mark.parametrize("text", [None, b"", b"[]", b"7", b"{}", b'{"source": "s", "start": ["x", "y"], "at": null}'])
def test_what_is_no_bookmark_is_none(text: bytes | None) -> None:
    """Then the source is read from its beginning."""
    assert Bookmark.decode(text) is None


def test_ranges() -> None:
    """Look-back is taken off a start; without a cursor, and for a full run, everything is read."""
    cursor, sync = StoredCursor(1, "at", AT, "r", NOW), Synchronisation(cursor_field="at", lookback_seconds=60)
    early = CursorValue.parse("datetime", "2025-05-31T23:59:00Z")
    assert range_of(run_of(Mode.INCREMENTAL), cursor, sync) == Range(early)
    assert range_of(run_of(Mode.INCREMENTAL), None, sync) == Range()
    assert range_of(run_of(Mode.FULL), cursor, sync) == Range()
    assert range_of(run_of(Mode.INCREMENTAL), cursor, Synchronisation()) == Range()
    with pytest.raises(FailedPrecondition, match="reset"):
        range_of(run_of(Mode.INCREMENTAL), cursor, Synchronisation(cursor_field="other"))
    found = range_of(run_of(Mode.BACKFILL, "2025-01-01", ""), cursor, sync)
    assert found == Range(CursorValue.of("2025-01-01"), None, with_unset=False)


@pytest.mark.parametrize(
    ("start", "end", "kind", "kinds"),
    [
        ("5", "7", None, ("integer", "integer")),
        ("5", "7.5", None, ("integer", "decimal")),
        ("2025-01-01", "2025-01-02T00:00:00Z", None, ("date", "datetime")),
        ("2025-01-01", "", "datetime", ("date", None)),
        ("5", "6", "text", ("text", "text")),
        ("", "zz", None, (None, "text")),
    ],
)
def test_bounds_of_a_backfill(start: str, end: str, kind: str | None, kinds: tuple[str | None, ...]) -> None:
    """Of the cursor's kind where there is one, else of the kind that they look like."""
    assert tuple(bound and bound.kind for bound in backfill(start, end, kind)) == kinds


@pytest.mark.parametrize(
    ("start", "end", "kind", "field"),
    [
        ("7", "5", None, "range_to"),
        ("5", "5", None, "range_to"),
        ("x", "5", None, "range_to"),
        ("x", "", "integer", "range_from"),
        ("", "yesterday", "datetime", "range_to"),
        ("", "NaN", "integer", "range_to"),
    ],
)
def test_bounds_that_are_none_are_refused_by_name(start: str, end: str, kind: str | None, field: str) -> None:
    """Before a run is made of them."""
    with pytest.raises(InvalidArgument) as refused:
        backfill(start, end, kind)
    assert [name for name, _ in refused.value.violations] == [field]


@pytest.mark.parametrize(
    ("options", "connections", "chosen"),
    [
        ({}, [DATABASE, API], 1),
        ({}, [API, DATABASE], 1),
        ({}, [API], 2),
        ({"source_table": "/incidents"}, [DATABASE, API], 2),
        ({"source_table": "incidents?state=open"}, [DATABASE, API], 2),
        ({"sync": {"pagination": {"kind": "offset"}}}, [DATABASE, API], 2),
        ({"sync": {"connection_id": 2}}, [DATABASE, API], 2),
        ({"source_table": "/incidents"}, [DATABASE], errors.NoConnection),
        ({"sync": {"connection_id": 3}}, [DATABASE, API], errors.ConnectionNotFound),
        ({"source_table": ""}, [DATABASE], errors.NoSource),
        ({}, [StoredConnection(1, True, b"[1]", connection_type="database")], errors.ConnectionUnusable),
        ({}, [StoredConnection(1, False, b"", connection_type="database")], errors.NoConnection),
    ],
)
def test_which_connection_a_source_is_read_through(options: Any, connections: Any, chosen: Any) -> None:
    """The one that is named, else the first that serves what the source is written as."""
    config = configuration(mapping(**options), connections=connections)
    system, found = config.by_id[1], config.mappings[1]
    assert found.synchronisation is not None
    if isinstance(chosen, int):
        assert connection_of(system, found, found.synchronisation).id == chosen
    else:
        with pytest.raises(chosen):
            connection_of(system, found, found.synchronisation)


def test_how_a_mapping_is_synced_by_itself() -> None:
    """From its cursor on where it has one; without a source what waits is released."""
    modes = [
        default_mode(configuration(mapping(**options)).mappings[1])
        for options in ({"sync": {"cursor_field": "at"}}, {}, {"source_table": ""})
    ]
    assert modes == [Mode.INCREMENTAL, Mode.FULL, Mode.RELEASE]


def test_a_source_is_another_when_it_is_read_in_another_way() -> None:
    """A new password or column is the same source; another table, cursor or page size is not."""

    def told(**options: Any) -> str:
        config = configuration(mapping(**options))
        found = config.mappings[1]
        assert found.synchronisation is not None
        return fingerprint(config.connections[1], found, found.synchronisation)

    assert told() == told(constants={"a": 1})
    changed = [{"source_table": "b"}, {"external_id_field": "b"}, {"sync": {"cursor_field": "n"}}]
    assert len({told(), *(told(**one) for one in changed)}) == 4


def test_times_are_kept_up_to_the_beginning_of_a_run() -> None:
    """Numbers and texts are kept as they are."""
    later, number = CursorValue.parse("datetime", "2026-01-02T00:00:00Z"), CursorValue.parse("integer", "7")
    assert not_beyond(AT, NOW) == AT
    assert not_beyond(later, NOW) == CursorValue("datetime", NOW.replace(tzinfo=UTC))
    assert not_beyond(CursorValue.parse("date", "2026-02-01"), NOW).text == "2026-01-01"
    assert not_beyond(number, NOW) == number


def test_a_time_that_is_never_keeps_no_later_change_from_being_read() -> None:
    """A cursor far ahead falls back behind the run; one that another time zone explains stays, and so do numbers."""
    never, soon = CursorValue.parse("datetime", "9999-12-31T00:00:00Z"), CursorValue.parse("date", "2026-01-02")
    assert plausible(never, NOW).text == "2025-12-31T00:00:00Z"
    assert plausible(CursorValue.parse("date", "9999-12-31"), NOW).text == "2025-12-31"
    assert (plausible(soon, NOW), plausible(AT, NOW)) == (soon, AT)
    assert plausible(CursorValue("integer", 10**12), NOW).value == 10**12
