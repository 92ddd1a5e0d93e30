"""The SQL of looking at runs and their failures, and of forgetting old ones."""

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.database import Database
from intertie_ingest.errors import RunNotFound
from intertie_ingest.model import Fault
from intertie_ingest.syncs.model import Run, RunFailure, RunFilter
from intertie_ingest.syncs.run_rows_store import RunRows, run_of
from intertie_ingest.tables import Tables

#: few, since each may have thousands of failures
_PRUNED_AT_ONCE = 10


class RunBrowseStore:
    """Where runs are looked at. Every method raises Unavailable when the database is away."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        self._rows = RunRows(database, tables)
        self._failures = tables.failures

    async def runs(self, wanted: RunFilter, before: str | None, size: int) -> list[Run]:
        """The newest first, those with an id below `before`."""
        table = self._rows.table
        query = self._rows.query().order_by(table.c.run_id.desc()).limit(size)
        if before is not None:
            query = query.where(table.c.run_id < before)
        if wanted.system_id is not None:
            query = query.where(table.c.system_id == wanted.system_id)
        if wanted.mapping_ids is not None:
            query = query.where(table.c.mapping_id.in_(sorted(wanted.mapping_ids)))
        if wanted.state is not None:
            query = query.where(table.c.state == wanted.state.value)
        async with self._database.read() as connection:
            return [run_of(row._mapping) for row in (await connection.execute(query)).all()]

    async def failures(self, run_id: str, after: int, size: int) -> list[RunFailure]:
        """Those numbered above `after`: in the order of reading, what mapper set aside last. Raises RunNotFound."""
        table = self._failures
        query = select(table).where(table.c.run_id == run_id, table.c.id > after).order_by(table.c.id).limit(size)
        known = select(self._rows.table.c.run_id).where(self._rows.table.c.run_id == run_id)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
            if not rows and await connection.scalar(known) is None:
                raise RunNotFound(metadata={"run_id": run_id})
        return [
            RunFailure(row.id, row.external_id, row.position, Fault(row.reason, row.field, row.message)) for row in rows
        ]

    async def prune(self, before: datetime) -> int:
        """Deletes some of the runs that ended before this time (naive, UTC), with their failures.

        Gives how many runs went: to be called again until that is 0.
        """
        runs, failures = self._rows.table, self._failures

        async def work(connection: AsyncConnection) -> int:
            old = select(runs.c.run_id).where(runs.c.finished_at < before).order_by(runs.c.finished_at, runs.c.run_id)
            ids = sorted((await connection.scalars(old.limit(_PRUNED_AT_ONCE))).all())
            if ids:
                # By primary key and in order: two replicas that prune at once then wait for each other, not deadlock.
                await connection.execute(delete(runs).where(runs.c.run_id.in_(ids)))
                await connection.execute(delete(failures).where(failures.c.run_id.in_(ids)))
            return len(ids)

        return await self._database.transaction(work)
