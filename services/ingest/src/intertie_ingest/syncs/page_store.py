"""The commit of a page: what it changes in the cache and what the run says of it, in one transaction.

The statements are as many for a small page as for a large one, but for one more pair a 1000 records. Where the page
before was all new, this one is written as if it were, too: the cache's key refuses what is not, and only then it is
asked. Asking first for what is not there was an eighth of what a new record cost.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, bindparam, exc, insert, literal_column, update
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis import database_errors
from intertie_chassis.database import Database
from intertie_chassis.errors import Unavailable
from intertie_chassis.many_rows import ManyRows, execute_all
from intertie_ingest.cache_store import CacheRows, NearClock
from intertie_ingest.errors import Clash
from intertie_ingest.model import Fault, RecordReason
from intertie_ingest.state_store import States, refusal, state_row
from intertie_ingest.syncs.cursor_store import CursorStore
from intertie_ingest.syncs.cursors import largest
from intertie_ingest.syncs.model import (
    MOST_FAILURES,
    Claim,
    Mode,
    PageFailure,
    PageOutcome,
    PageRecord,
    Run,
    StoredPage,
)
from intertie_ingest.syncs.page_folding import PageFold, fold_page
from intertie_ingest.syncs.run_rows_store import RunRows, run_of
from intertie_ingest.tables import Tables

_ATTEMPTS = 5
_SECONDS = 30.0
_MOST_IDS = 5000
_MOST_MESSAGE = 4000
#: the last second that the cache's TIMESTAMP columns can tell
_LAST_SECOND = datetime(2038, 1, 19, 3, 14, 7)


class PageStore:
    """Where pages are stored."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        self._runs = RunRows(database, tables)
        self._cache = CacheRows(database, tables)
        self._clock = NearClock(database)
        self._states = States(database, tables, of_runs=True)
        self._cursors = CursorStore(database, tables)
        self._insert_failures = ManyRows(insert(tables.failures), [c.name for c in tables.failures.columns])
        cache = tables.cache
        # What is only seen does not change for those who look at it: MySQL would move `updated_at` by itself.
        seen: dict[str, Any] = {"sync_run_id": bindparam("run"), "expires_at": bindparam("expires")}
        seen["updated_at"] = cache.c.updated_at
        listed = cache.c.id.in_(bindparam("ids", expanding=True))
        self._see = update(cache).where(listed).values(**seen)
        # No attempts: the run counts it among its own failures, not among what mapper sets aside.
        self._see_set_aside = update(cache).where(listed).values(**seen, attempts=literal_column("0"))

    async def store(self, claim: Claim, page: StoredPage) -> PageOutcome:
        """Stores a page whole or not at all. A record that the database refuses becomes a failure.

        The page is stored even when the run is to be cancelled; the outcome says so. Raises RunLost, CursorMismatch
        when the cursor's values have no order between them, Refused, and Unavailable.
        """
        try:
            return await self._stored(claim, page)
        except exc.SQLAlchemyError as error:
            if not database_errors.is_data_error(error):
                raise refusal(error) from error
        refused = {one.position for one in await self._refused(claim, page, list(page.records))}
        fault = Fault(RecordReason.UNSTORABLE.value, "", RecordReason.UNSTORABLE.sentence)
        failures = [
            PageFailure(one.position, fault, one.record.external_id) for one in page.records if one.position in refused
        ]
        taken = [one for one in page.records if one.position not in refused]
        try:
            return await self._stored(claim, replace(page, records=taken, failures=[*page.failures, *failures]))
        except exc.SQLAlchemyError as error:
            raise refusal(error) from error

    async def _refused(self, claim: Claim, page: StoredPage, records: Sequence[PageRecord]) -> list[PageRecord]:
        """Those of the records that the database refuses, found by halves that are tried and rolled back."""
        try:
            await self._stored(claim, replace(page, records=records, failures=()), is_trial=True)
        except _TrialEnds:
            return []
        except exc.SQLAlchemyError as error:
            if not database_errors.is_data_error(error):
                raise refusal(error) from error
        if len(records) <= 1:
            return list(records)
        middle = len(records) // 2
        first = await self._refused(claim, page, records[:middle])
        return first + await self._refused(claim, page, records[middle:])

    async def _stored(self, claim: Claim, page: StoredPage, *, is_trial: bool = False) -> PageOutcome:
        now = await self._clock.now()

        async def work(connection: AsyncConnection) -> PageOutcome:
            outcome = await self._store(connection, claim, page, now)
            if is_trial:
                raise _TrialEnds
            return outcome

        for _ in range(_ATTEMPTS):
            try:
                return await self._database.transaction(work, timeout=_SECONDS)
            except exc.SQLAlchemyError as error:
                # Not all is new, or another process has just written one of the records; reading shows it.
                if not database_errors.is_duplicate_key(error):
                    raise
                page = replace(page, is_probably_new=False)
        raise Unavailable(
            "the records of the page change too fast; try again", reason="STORE_UNAVAILABLE", retry_after=1
        ) from Clash()

    async def _store(self, connection: AsyncConnection, claim: Claim, page: StoredPage, now: datetime) -> PageOutcome:
        row = await self._runs.fenced(connection, claim.run.run_id, claim.token)
        # What cannot be stored has not vanished: the state that the cache has of it was seen, too.
        unstored = {(row.system_id, row.mapping_id, one.external_id) for one in page.failures if one.external_id}
        if unstored or not page.is_probably_new:
            keys = {(row.system_id, one.record.mapping_id, one.record.external_id) for one in page.records}
            cached = await self._states.cached(connection, keys | unstored)
            folded = fold_page(row.run_id, row.system_id, page.records, cached)
            folded.seen.extend(cached[key].id for key in unstored - keys if key in cached)
        else:
            folded = fold_page(row.run_id, row.system_id, page.records, {})
        writing = _Writing(row, page, now)
        await execute_all(
            connection, [*self._states.writes(writing.states(folded)), self._states.ends(folded.endings, now)]
        )
        for statement, ids in ((self._see, writing.tagged(folded)), (self._see_set_aside, folded.still_set_aside)):
            for start in range(0, len(ids), _MOST_IDS):
                some = {"ids": sorted(ids)[start : start + _MOST_IDS], "run": row.run_id, "expires": writing.expires_at}
                await connection.execute(statement, some)
        failures = sorted([*folded.failures, *page.failures], key=lambda failure: failure.position)
        await self._insert_failures.execute(connection, writing.failures(failures))
        if page.cursor is not None:
            await self._cursors.move(connection, row.mapping_id, page.cursor_field, page.cursor, row.run_id, row.now)
        run = await self._counted(connection, row, page, folded, len(failures))
        return PageOutcome(run, folded.new, folded.changed, folded.unchanged, len(failures))

    async def _counted(
        self, connection: AsyncConnection, row: Row[Any], page: StoredPage, folded: PageFold, failed: int
    ) -> Run:
        seen = largest(run_of(row._mapping).seen_cursor, page.seen)
        return await self._runs.change(
            connection,
            row,
            pages=row.pages + 1,
            records_read=row.records_read + page.read,
            new_records=row.new_records + folded.new,
            changed=row.changed + folded.changed,
            unchanged=row.unchanged + folded.unchanged,
            skipped=row.skipped + page.skipped,
            failed=row.failed + failed,
            position=page.position,
            cursor_kind=None if seen is None else seen.kind,
            cursor_value=None if seen is None else seen.text,
            crashes=0,
        )


@dataclass(frozen=True, slots=True)
class _Writing:
    """A page's fold as rows."""

    row: Row[Any]
    page: StoredPage
    now: datetime

    @property
    def expires_at(self) -> datetime | None:
        """When the records stop being fresh."""
        if self.page.cache_seconds is None:
            return None
        return min(self.now.replace(microsecond=0) + timedelta(seconds=self.page.cache_seconds), _LAST_SECOND)

    def states(self, folded: PageFold) -> list[tuple[int, dict[str, Any]]]:
        of_run = {"sync_run_id": self.row.run_id, "expires_at": self.expires_at}
        return [
            (state.id, state_row(key, state, self.now, index, is_released=True) | of_run)
            for index, (key, state) in enumerate(folded.states.items())
        ]

    def tagged(self, folded: PageFold) -> list[int]:
        """What a full run must know to be there, what the run settles with, and what counts as fresh again."""
        if self.row.mode == Mode.FULL or self.page.cache_seconds is not None:
            return folded.seen + folded.waiting
        return folded.waiting

    def failures(self, failures: Sequence[PageFailure]) -> list[dict[str, Any]]:
        kept = max(0, MOST_FAILURES - self.row.failed)
        return [
            {
                "run_id": self.row.run_id,
                "id": self.row.failed + number,
                "external_id": one.external_id[:255],
                "position": self.row.records_read + one.position,
                "reason": one.fault.reason[:64],
                "field": one.fault.field[:255],
                "message": one.fault.message[:_MOST_MESSAGE],
            }
            for number, one in enumerate(failures[:kept], 1)
        ]


class _TrialEnds(Exception):
    """Rolls back a transaction that was to show only whether the database takes the records."""
