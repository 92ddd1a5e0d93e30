"""The reading of one run: pages from the source into the cache, through what goes wrong on the way."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import structlog

from intertie_ingest import errors
from intertie_ingest.pull.configuration import PullConfiguration
from intertie_ingest.syncs.bookmark import Bookmark
from intertie_ingest.syncs.cursors import CursorValue, largest
from intertie_ingest.syncs.model import Claim, Mode, PageOutcome, StoredPage
from intertie_ingest.syncs.preparation import Prepared
from intertie_ingest.syncs.ranges import range_of
from intertie_ingest.syncs.reading import read_ahead
from intertie_ingest.syncs.ready_pages import Reading, ReadyPage, ReadyPages, cursor_field
from intertie_ingest.syncs.run_lease import Halt, Pace, RunLease
from intertie_ingest.syncs.source import Page, Range
from intertie_ingest.syncs.sources import SourceOf
from intertie_ingest.syncs.stores import Stores

TRANSIENT = (errors.ExternalUnavailable, errors.ExternalTimedOut, errors.QueryTimedOut)

_AHEAD, _BACK = timedelta(days=2), timedelta(days=1)

_log = structlog.get_logger()


class PageRun:
    """Reads a claimed run to its end."""

    def __init__(
        self,
        claim: Claim,
        stores: Stores,
        configuration: Callable[[], PullConfiguration],
        source_of: SourceOf,
        lease: RunLease,
        pace: Pace,
    ) -> None:
        self._claim = claim
        self._run = claim.run
        self._stores = stores
        self._configuration = configuration
        self._source_of = source_of
        self._lease = lease
        self._pace = pace
        #: whether the last page was: the next one probably is, too
        self._is_all_new = False

    async def read(self, took: Callable[[PageOutcome], None]) -> None:
        """Stores every page that is left, and tells of each; the configuration may change meanwhile.

        What cannot be reached is tried again, behind the last page. Raises Halted, RunLost, CursorMismatch, and the
        IntertieError with which the run fails.
        """
        tries, pages = 0, self._run.pages
        while True:
            try:
                if await self._read_source(took):
                    return
            except TRANSIENT as error:
                tries = 1 if self._run.pages > pages else tries + 1
                pages = self._run.pages
                if tries >= self._pace.tries:
                    raise
                pause = min(self._pace.first_pause * 2 ** (tries - 1), self._pace.longest_pause)
                pause = max(pause, min(error.retry_after or 0.0, self._pace.longest_pause))
                _log.info("a sync's source is away; trying again", run=self._run.run_id, seconds=pause)
                await self._lease.unless_halted(self._pace.sleep(pause))

    async def _read_source(self, took: Callable[[PageOutcome], None]) -> bool:
        """Whether all is read; False when the source is another one since, which has to be read from its beginning."""
        reading = self._reading()
        wanted, bookmark = await self._begin(reading)
        if bookmark.is_end:
            return True
        source = self._source_of(reading.connection, reading.mapping, reading.synchronisation)
        ready = ReadyPages(source, self._run, self._reading)
        async with aclosing(read_ahead(ready.pages(wanted, bookmark.at))) as pages:
            while True:
                self._lease.check()
                page = await self._lease.unless_halted(_next(pages))
                # Between two pages the mapping may have gone, or become another: what is stored is by the present one.
                now = self._reading()
                if now.source != reading.source:
                    return False
                if page is None:
                    # A source that just ends has had its last page.
                    page = await ready.ready(Page((), b"", is_last=True), now)
                elif page.mapping is not now.mapping:
                    page = await self._lease.unless_halted(ready.ready(page.page, now))
                took(await self._store(page, now, source.is_ordered, bookmark))
                if page.is_last:
                    return True

    def _reading(self) -> Reading:
        return Reading.of(self._configuration(), self._run)

    async def _begin(self, reading: Reading) -> tuple[Range, Bookmark]:
        """What to read, and where to go on."""
        run, field = self._run, reading.synchronisation.cursor_field
        cursor = None
        if run.mode is not Mode.FULL and field is not None:
            cursor = await self._lease.stored(lambda: self._stores.cursors.get(run.mapping_id))
        wanted = range_of(run, cursor, reading.synchronisation)
        bookmark = Bookmark.decode(run.position)
        is_reset = run.mode is Mode.INCREMENTAL and cursor is None
        if bookmark is None or bookmark.source != reading.source or (is_reset and bookmark.start is not None):
            # The place is one in another source, or behind what the next run was to read again.
            return wanted, Bookmark(reading.source, wanted.start)
        return replace(wanted, start=bookmark.start), bookmark

    async def _store(self, ready: ReadyPage, reading: Reading, is_ordered: bool, bookmark: Bookmark) -> PageOutcome:
        page, prepared, field = ready.page, ready.prepared, cursor_field(self._run, reading)
        behind = replace(bookmark, at=page.position, is_end=page.is_last)
        stored = StoredPage(
            records=prepared.records,
            position=behind.encode(),
            failures=prepared.failures,
            skipped=prepared.skipped,
            seen=prepared.cursor,
            cursor=None if field is None else self._cursor(page, prepared, is_ordered),
            cursor_field=field or "",
            cache_seconds=reading.synchronisation.cache_seconds,
            is_probably_new=self._is_all_new,
        )
        outcome = await self._lease.stored(lambda: self._stores.pages.store(self._claim, stored))
        self._run, self._is_all_new = outcome.run, outcome.is_all_new
        if outcome.is_cancel_requested:
            self._lease.stop(Halt.CANCEL)
        return outcome

    def _cursor(self, page: Page, prepared: Prepared, is_ordered: bool) -> CursorValue | None:
        """The value from which the next run may go on once this page is stored; None: not known yet."""
        if is_ordered or not page.is_last:
            return None if page.cursor is None else plausible(page.cursor, self._run.started_at)
        found = largest(page.cursor, largest(self._run.seen_cursor, prepared.cursor))
        return None if found is None else not_beyond(found, self._run.started_at)


def plausible(cursor: CursorValue, moment: datetime | None) -> CursorValue:
    """The cursor; a day before the moment (naive, UTC) for a time that lies more than two days behind it.

    One row with 9999-12-31 would else keep every later change from being read. Two days, and a day back, because a time
    without a zone may be one of any; rows that far ahead are read each time, and cost nothing where they are unchanged.
    """
    if moment is None or cursor.kind not in ("datetime", "date"):
        return cursor
    if cursor < CursorValue("datetime", moment.replace(tzinfo=UTC) + _AHEAD):
        return cursor
    return not_beyond(cursor, moment - _BACK)


def not_beyond(cursor: CursorValue, moment: datetime | None) -> CursorValue:
    """The cursor, of times at most the moment (naive, UTC): of a source without an order a record may have changed
    behind us while later ones were read, and what changed since the beginning is to be read again.
    """
    if moment is None or cursor.kind not in ("datetime", "date"):
        return cursor
    began = CursorValue("datetime", moment.replace(tzinfo=UTC))
    if cursor < began:
        return cursor
    return began if cursor.kind == "datetime" else CursorValue("date", began.value.date())


async def _next(pages: AsyncGenerator[ReadyPage, None]) -> ReadyPage | None:
    return await anext(pages, None)
