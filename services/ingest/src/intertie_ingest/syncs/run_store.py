"""The SQL of runs: one at a time for a mapping, one for a tick, claimed under leases that run out.

`available_at` is the queue: the time at which a run waits for a worker, or at which its lease ends; NULL once it has
ended. A token that is still on a run whose time has come tells that its lease died.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import Integer, Row, and_, bindparam, exc, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis import database_errors
from intertie_chassis.database import Database
from intertie_chassis.errors import Unavailable
from intertie_chassis.ids import new_ulid
from intertie_chassis.outbox import Outbox
from intertie_ingest import errors
from intertie_ingest.errors import RunLost, RunNotFound
from intertie_ingest.migrations.sync_tables import RUN_CLAIM_INDEX
from intertie_ingest.syncs.model import (
    CRASHED_MESSAGE,
    CRASHED_REASON,
    MOST_CRASHES,
    Claim,
    NewRun,
    Run,
    RunState,
    Signal,
)
from intertie_ingest.syncs.run_rows_store import RunRows, run_of
from intertie_ingest.tables import Tables

_ATTEMPTS = 5
_MOST_MESSAGE = 4000
_CLOCKS_APART = timedelta(minutes=5)
"""How far registry's clock, by which ticks are due, may be before the database's."""


class RunStore:
    """Where runs are kept. Every method raises Unavailable when the database is away."""

    def __init__(self, database: Database, tables: Tables, outbox: Outbox) -> None:
        self._database = database
        self._tables = tables
        self._outbox = outbox
        self._rows = RunRows(database, tables)
        # Made once: making such a statement costs more than running it.
        self._claim = self._claiming()

    async def create(self, new: NewRun) -> tuple[Run, bool]:
        """A new run and True; or False with the run that the mapping has, or that the tick has had.

        A tick that meets a run is noted on it: it has been answered, and is not missed.
        """
        for _ in range(_ATTEMPTS):
            try:
                return await self._database.transaction(lambda connection: self._create(connection, new))
            except exc.SQLAlchemyError as error:
                # Another replica was first; it has committed, so looking again shows its run.
                if not database_errors.is_duplicate_key(error):
                    raise
        raise Unavailable("the mapping's runs change too fast; try again", reason="STORE_UNAVAILABLE", retry_after=1)

    async def _create(self, connection: AsyncConnection, new: NewRun) -> tuple[Run, bool]:
        table = self._rows.table
        if new.tick_at is not None:
            # One that was met far in the future was met while a clock was wrong, and must not answer all until then.
            latest = (await connection.execute(select(self._rows.clock()))).scalar_one() + _CLOCKS_APART
            met = and_(table.c.met_tick_at >= new.tick_at, table.c.met_tick_at <= latest)
            answered = or_(table.c.tick_at == new.tick_at, met)
            query = self._rows.query().where(table.c.mapping_id == new.mapping_id, answered)
            row = (await connection.execute(query.order_by(table.c.run_id.desc()).limit(1))).first()
            if row is not None:
                return run_of(row._mapping), False
        query = self._rows.query().where(table.c.active_mapping_id == new.mapping_id)
        # Only who notes its tick needs the lock: others would wait for the page that is being stored.
        row = (await connection.execute(query if new.tick_at is None else query.with_for_update())).first()
        if row is not None:
            if new.tick_at is None:
                return run_of(row._mapping), False
            return await self._rows.change(connection, row, met_tick_at=new.tick_at), False
        run_id = new_ulid()
        now = (await connection.execute(select(self._rows.clock()))).scalar_one()
        await connection.execute(
            insert(table).values(
                run_id=run_id,
                system_id=new.system_id,
                mapping_id=new.mapping_id,
                active_mapping_id=new.mapping_id,
                mode=new.mode.value,
                started_by=new.trigger.value,
                requested_by=new.requested_by[:255],
                state=RunState.QUEUED.value,
                tick_at=new.tick_at,
                missed_ticks=new.missed_ticks,
                range_from=new.range_from,
                range_to=new.range_to,
                created_at=now,
                available_at=now,
            )
        )
        return run_of((await self._rows.locked(connection, run_id))._mapping), True

    async def get(self, run_id: str) -> Run:
        """A run. Raises RunNotFound."""
        query = self._rows.query().where(self._rows.table.c.run_id == run_id)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            raise RunNotFound(metadata={"run_id": run_id})
        return run_of(row._mapping)

    async def claim(
        self, most: int, seconds: int, crashed: Callable[[Run], bytes | None] = lambda run: None
    ) -> list[Claim]:
        """Leases up to `most` runs that wait, or whose lease has ended, the longest waiting first.

        One that lost its lease too often without storing a page fails instead; `crashed` makes the audit's message of
        it. Claimers never wait for each other, and never get the same run.
        """

        async def work(connection: AsyncConnection) -> list[Claim]:
            claims = []
            for row in (await connection.execute(self._claim, {"most": most})).all():
                crashes = row.crashes + (row.lease_token is not None)
                if crashes >= MOST_CRASHES:
                    run = await self._end(
                        connection, row, RunState.FAILED, CRASHED_REASON, CRASHED_MESSAGE, crashes=crashes
                    )
                    await self._tell(connection, crashed(run))
                    continue
                token = new_ulid()
                is_settling = row.state == RunState.SETTLING
                run = await self._rows.change(
                    connection,
                    row,
                    state=(RunState.SETTLING if is_settling else RunState.RUNNING).value,
                    started_at=row.started_at or row.now,
                    lease_token=token,
                    available_at=row.now + timedelta(seconds=seconds),
                    crashes=crashes,
                )
                claims.append(Claim(run, token))
            return claims

        return await self._database.transaction(work)

    async def extend(self, run_id: str, token: str, seconds: int) -> Signal:
        """Moves the end of a lease, also of one that has ended while nobody else took the run."""

        async def work(connection: AsyncConnection) -> Signal:
            row = await self._rows.fenced(connection, run_id, token)
            await self._rows.change(connection, row, available_at=row.now + timedelta(seconds=seconds))
            return Signal.CANCEL if row.is_cancel_requested else Signal.GO_ON

        try:
            return await self._database.transaction(work)
        except RunLost:
            return Signal.LOST

    async def put_back(self, run_id: str, token: str) -> None:
        """Gives the run back at once, without counting a crash; nothing when it is another's already."""

        async def work(connection: AsyncConnection) -> None:
            row = await self._rows.fenced(connection, run_id, token)
            # A run that settles goes on settling: all of it is read.
            state = row.state if row.state == RunState.SETTLING else RunState.QUEUED.value
            await self._rows.change(connection, row, state=state, lease_token=None, available_at=row.now)

        try:
            await self._database.transaction(work)
        except RunLost:
            return

    async def request_cancel(self, run_id: str, entry: Callable[[Run], bytes | None] = lambda run: None) -> Run:
        """Asks the run's worker to end it; one that no worker has ends at once, and `entry` makes the audit's message.

        Raises RunNotFound, and RunState when it has ended.
        """

        async def work(connection: AsyncConnection) -> Run:
            row = await self._rows.locked(connection, run_id)
            if RunState(row.state).has_ended:
                raise errors.RunState(f"the run has ended: it is {row.state}", metadata={"state": row.state})
            if row.state != RunState.QUEUED:
                return await self._rows.change(connection, row, is_cancel_requested=True)
            run = await self._end(connection, row, RunState.CANCELLED, "", "")
            await self._tell(connection, entry(run))
            return run

        run = await self._database.transaction(work)
        self._outbox.wake()
        return run

    async def resume(self, run_id: str) -> Run:
        """Queues a run again that was cancelled or failed, behind its last stored page.

        Raises RunNotFound, and RunState when it has not ended, has succeeded, or the mapping has a later run.
        """
        runs, failures = self._rows.table, self._tables.failures

        async def work(connection: AsyncConnection) -> Run:
            row = await self._rows.locked(connection, run_id)
            if row.state not in (RunState.FAILED, RunState.CANCELLED):
                raise errors.RunState(
                    f"only a run that failed or was cancelled can be resumed; this one is {row.state}",
                    metadata={"state": row.state},
                )
            # A later run has seen records and moved the cursor: what this one would call vanished may be there.
            later = select(runs.c.run_id).where(
                runs.c.mapping_id == row.mapping_id, runs.c.run_id != run_id, runs.c.created_at >= row.created_at
            )
            other = await connection.scalar(later.limit(1))
            if other is not None:
                raise errors.RunState(
                    "the mapping has a later run, so this one cannot be resumed", metadata={"run_id": other}
                )
            # What mapper set aside is counted anew when the run settles.
            await connection.execute(failures.delete().where(failures.c.run_id == run_id, failures.c.id > row.failed))
            return await self._rows.change(
                connection,
                row,
                state=RunState.QUEUED.value,
                active_mapping_id=row.mapping_id,
                available_at=row.now,
                finished_at=None,
                error_reason="",
                error_message=None,
                is_cancel_requested=False,
                crashes=0,
                set_aside=0,
            )

        try:
            return await self._database.transaction(work)
        except exc.SQLAlchemyError as error:
            if database_errors.is_duplicate_key(error):
                raise errors.RunState("the mapping has a later run, so this one cannot be resumed") from error
            raise

    async def begin_settling(self, run_id: str, token: str) -> Run:
        """Says that all is read and stored. Raises RunLost."""

        async def work(connection: AsyncConnection) -> Run:
            row = await self._rows.fenced(connection, run_id, token)
            return await self._rows.change(connection, row, state=RunState.SETTLING.value)

        return await self._database.transaction(work)

    async def finish(
        self, run_id: str, token: str, state: RunState, reason: str = "", message: str = "", entry: bytes | None = None
    ) -> Run:
        """Ends the run and frees its mapping; `entry` is the audit's message, committed with it. Raises RunLost."""

        async def work(connection: AsyncConnection) -> Run:
            row = await self._rows.fenced(connection, run_id, token)
            run = await self._end(connection, row, state, reason, message)
            await self._tell(connection, entry)
            return run

        run = await self._database.transaction(work)
        self._outbox.wake()
        return run

    async def _end(
        self, connection: AsyncConnection, row: Row[Any], state: RunState, reason: str, message: str, **more: Any
    ) -> Run:
        return await self._rows.change(
            connection,
            row,
            state=state.value,
            active_mapping_id=None,
            available_at=None,
            lease_token=None,
            finished_at=row.now,
            error_reason=reason[:64],
            error_message=message[:_MOST_MESSAGE] or None,
            **more,
        )

    async def _tell(self, connection: AsyncConnection, entry: bytes | None) -> None:
        if entry is not None:
            await self._outbox.append(connection, entry)

    def _claiming(self) -> Any:
        table = self._rows.table
        return (
            self._rows.query()
            .where(table.c.available_at <= self._rows.clock())
            .order_by(table.c.available_at, table.c.run_id)
            .limit(bindparam("most", type_=Integer()))
            # The index is the order: a sort would lock every row that it reads.
            .with_hint(table, f"FORCE INDEX ({RUN_CLAIM_INDEX})", "mysql")
            .with_for_update(skip_locked=True)
        )
