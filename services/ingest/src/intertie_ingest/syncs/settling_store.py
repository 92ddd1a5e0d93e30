"""The SQL of a run's end: what vanished, what waited for a sync, and how the run's records stand."""

import functools
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, delete, func, insert, literal_column, null, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.database import Database
from intertie_chassis.many_rows import ManyRows, execute_all
from intertie_ingest.cache_store import CacheRows
from intertie_ingest.errors import RunLost
from intertie_ingest.folding import overtaken
from intertie_ingest.migrations.first_tables import CLAIM_INDEX, RECORD_KEY
from intertie_ingest.model import Status
from intertie_ingest.state_store import States
from intertie_ingest.syncs.model import MOST_FAILURES, Claim, Mode, Run, Settlement
from intertie_ingest.syncs.run_rows_store import RunRows, run_of
from intertie_ingest.tables import Tables

_SCANNED_AT_ONCE = 20_000
_RELEASED_AT_ONCE = 5000
_SECONDS = 30.0
_BY_KEY = f"FORCE INDEX ({RECORD_KEY})"


class SettlingStore:
    """Where runs come to their end. Every method raises Unavailable when the database is away."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        self._cache = CacheRows(database, tables)
        self._runs = RunRows(database, tables)
        self._states = States(database, tables)
        self._failures = tables.failures
        self._insert_failures = ManyRows(insert(tables.failures), [c.name for c in tables.failures.columns])
        #: behind which external id each run has still to look, by its id
        self._looked: dict[str, str] = {}

    async def mark_vanished(self, claim: Claim, most: int) -> int:
        """Marks up to `most` records outdated that the full run did not see; 0 when there are none left.

        Records that a delivery brought since the run was asked for stay, and so do those that were pending when the
        deployment was adopted: nobody knows where they came from. Another process may go on with the marking. Raises
        RunLost.
        """
        run = claim.run
        while True:
            unseen, behind = await self._unseen(run, most)
            marked = await self._mark(claim, unseen) if unseen else 0
            if behind is not None:
                self._looked[run.run_id] = behind
            elif not marked:
                self._looked.pop(run.run_id, None)
            if marked or behind is None:
                return marked

    async def _unseen(self, run: Run, most: int) -> tuple[list[int], str | None]:
        """Unseen records of the next stretch, nothing locked, and behind which id to go on; None: none is behind."""
        cache = self._cache.table
        place = [cache.c.system_id == run.system_id]
        if run.run_id in self._looked:
            place.append(cache.c.external_id > self._looked[run.run_id])
        last = select(cache.c.external_id).where(*place).order_by(cache.c.external_id).limit(1)
        last = last.offset(_SCANNED_AT_ONCE).with_hint(cache, _BY_KEY, "mysql")
        async with self._database.read() as connection:
            behind: str | None = await connection.scalar(last)
            if behind is not None:
                place.append(cache.c.external_id <= behind)
            query = select(cache.c.id, cache.c.external_id).where(*place, *self._is_unseen(run))
            query = query.order_by(cache.c.external_id).limit(most).with_hint(cache, _BY_KEY, "mysql")
            rows = (await connection.execute(query)).all()
        if len(rows) == most:
            behind = rows[-1].external_id  # more may lie in the stretch
        return [row.id for row in rows], behind

    def _is_unseen(self, run: Run) -> list[ColumnElement[bool]]:
        cache = self._cache.table.c
        return [
            cache.mapping_id == run.mapping_id,
            cache.sync_status != Status.OUTDATED.value,
            or_(cache.sync_run_id.is_(None), cache.sync_run_id != run.run_id),
            or_(cache.delivery_id.is_(None), cache.delivery_id <= run.run_id),
            or_(cache.sync_status != Status.PENDING.value, cache.available_at.is_not(None), cache.digest.is_not(None)),
        ]

    async def _mark(self, claim: Claim, ids: Sequence[int]) -> int:
        cache = self._cache.table

        async def work(connection: AsyncConnection) -> int:
            row = await self._runs.fenced(connection, claim.run.run_id, claim.token)
            # Asked again under the lock: a delivery may have come since.
            states = await self._states.locked(connection, ids, *self._is_unseen(claim.run))
            if not states:
                return 0
            unseen = [state.id for state in states.values()]
            endings = [overtaken(key, state, row.run_id) for key, state in states.items()]
            # A new revision, so that a worker that has the record under a lease cannot settle it back.
            await self._cache.change(
                connection,
                unseen,
                sync_status=literal_column(f"'{Status.OUTDATED.value}'"),
                revision=cache.c.revision + literal_column("1"),
                delivery_id=null(),
                sync_error=null(),
                error_reason=null(),
                error_field=null(),
                available_at=self._cache.clock(),
                lease_token=null(),
                lease_solo=literal_column("0"),
                crashes=literal_column("0"),
            )
            ended = self._states.ends([ending for ending in endings if ending is not None], row.now)
            await execute_all(connection, [ended])
            await self._runs.change(connection, row, outdated=row.outdated + len(unseen), crashes=0)
            return len(unseen)

        try:
            return await self._database.transaction(work, timeout=_SECONDS)
        except RunLost:
            self._looked.pop(claim.run.run_id, None)
            raise

    async def release_waiting(self, run: Run) -> int:
        """Hands the mapping's waiting records to mapper, some at a time; gives how many.

        Of a run of mode `release` they count as read and unchanged, and it settles with them. Those that were pending
        when the deployment was adopted are for operators to release. Nothing once the run has ended.
        """
        released = after = 0
        while True:
            async with self._database.read() as connection:
                ids = list(await connection.scalars(self._waiting(run).where(self._cache.table.c.id > after)))
            if not ids:
                return released
            after = ids[-1]
            work = functools.partial(self._release, run, ids)
            released += await self._database.transaction(work, timeout=_SECONDS)

    def _waiting(self, run: Run) -> Select[Any]:
        cache = self._cache.table
        return (
            select(cache.c.id)
            .where(
                cache.c.sync_status == Status.PENDING.value,
                cache.c.lease_solo == literal_column("0"),
                cache.c.available_at.is_(None),
                cache.c.system_id == run.system_id,
                cache.c.mapping_id == run.mapping_id,
                cache.c.error_reason.is_(None),
                cache.c.digest.is_not(None),
            )
            .order_by(cache.c.id)
            .limit(_RELEASED_AT_ONCE)
        )

    async def _release(self, run: Run, waiting: Sequence[int], connection: AsyncConnection) -> int:
        cache = self._cache.table
        row = await self._runs.locked(connection, run.run_id)
        if row.active_mapping_id is None:
            return 0
        ids = (await connection.scalars(self._waiting(run).where(cache.c.id.in_(waiting)).with_for_update())).all()
        if not ids:
            return 0
        is_release = run.mode is Mode.RELEASE
        tag = {"sync_run_id": row.run_id} if is_release else {}
        await self._cache.change(connection, ids, available_at=self._cache.clock(), **tag)
        if is_release:
            counts = {"records_read": row.records_read + len(ids), "unchanged": row.unchanged + len(ids)}
            await self._runs.change(connection, row, **counts)
        return len(ids)

    async def settlement(self, run: Run, *, is_final: bool = False) -> Settlement:
        """How the run's records stand, which the run keeps.

        While some are pending, a cheap look. Once none is, or when it `is_final` because nobody waits any longer, what
        mapper set aside is counted and listed as failed, however often this is asked. Raises RunNotFound.
        """
        pending = await self._count(self._of(run, Status.PENDING))
        counts_failed = is_final or not pending
        failed = await self._count(self._set_aside(run)) if counts_failed else 0

        async def work(connection: AsyncConnection) -> Settlement:
            row = await self._runs.locked(connection, run.run_id)
            if row.active_mapping_id is None:
                ended = run_of(row._mapping)
                return Settlement(ended.pending, ended.failed, ended)
            if counts_failed:
                await self._list_set_aside(connection, row)
            kept = await self._runs.change(
                connection, row, pending=pending, set_aside=failed if counts_failed else row.set_aside
            )
            return Settlement(pending, kept.failed, kept)

        return await self._database.transaction(work, timeout=_SECONDS)

    async def _count(self, query: Select[Any]) -> int:
        """How many rows there are; whether there is one is looked up first, and costs next to nothing."""
        async with self._database.read() as connection:
            if not await connection.scalar(query.limit(1)):
                return 0
            return int((await connection.execute(query.with_only_columns(func.count()))).scalar_one())

    def _of(self, run: Run, status: Status) -> Select[Any]:
        cache = self._cache.table
        return (
            select(cache.c.id)
            .where(
                cache.c.sync_status == status.value,
                cache.c.lease_solo.in_((False, True)),
                cache.c.sync_run_id == run.run_id,
            )
            .with_hint(cache, f"FORCE INDEX ({CLAIM_INDEX})", "mysql")
        )

    def _set_aside(self, run: Run) -> Select[Any]:
        # What mapper never had is among the failures of its page already.
        return self._of(run, Status.ERROR).where(self._cache.table.c.attempts > 0)

    async def _list_set_aside(self, connection: AsyncConnection, row: Row[Any]) -> None:
        """Lists them anew behind the failures of the pages, as far as there is room."""
        cache, failures = self._cache.table.c, self._failures
        await connection.execute(
            delete(failures).where(failures.c.run_id == row.run_id, failures.c.id > min(row.failed, MOST_FAILURES))
        )
        room = MOST_FAILURES - row.failed
        if room <= 0:
            return
        query = self._set_aside(run_of(row._mapping)).limit(room)
        columns = cache.external_id, cache.error_reason, cache.error_field, cache.sync_error
        rows = (await connection.execute(query.with_only_columns(*columns))).all()
        listed = [
            {
                "run_id": row.run_id,
                "id": row.failed + number,
                "external_id": one.external_id,
                "position": 0,
                "reason": one.error_reason or "",
                "field": one.error_field or "",
                "message": one.sync_error or "",
            }
            for number, one in enumerate(rows, 1)
        ]
        await self._insert_failures.execute(connection, listed)
