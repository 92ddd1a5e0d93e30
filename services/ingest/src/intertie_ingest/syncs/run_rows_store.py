"""The rows of runs: read, locked and fenced by whoever writes what a run came to."""

from typing import Any

from sqlalchemy import Row, Select, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.database import Database
from intertie_ingest.cache_store import database_clock
from intertie_ingest.errors import RunLost, RunNotFound
from intertie_ingest.syncs.cursors import CursorValue
from intertie_ingest.syncs.model import Mode, Run, RunState, Trigger
from intertie_ingest.tables import Tables

#: states in which a worker has a run
WORKED_ON = (RunState.RUNNING, RunState.SETTLING)


class RunRows:
    """The table of runs, on either kind of database."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self.table = tables.runs
        self.is_mysql = database.dialect == "mysql"

    def clock(self) -> Any:
        """The database's own time, as an expression."""
        return database_clock(self.is_mysql)

    def query(self) -> Select[Any]:
        """Whole rows, with the database's time as `now`."""
        return select(self.table, self.clock().label("now"))

    async def locked(self, connection: AsyncConnection, run_id: str) -> Row[Any]:
        """The row, locked until the transaction ends. Raises RunNotFound."""
        query = self.query().where(self.table.c.run_id == run_id).with_for_update()
        row: Row[Any] | None = (await connection.execute(query)).first()
        if row is None:
            raise RunNotFound(metadata={"run_id": run_id})
        return row

    async def fenced(self, connection: AsyncConnection, run_id: str, token: str) -> Row[Any]:
        """The row, locked, of a run that is this worker's still. Raises RunLost."""
        try:
            row = await self.locked(connection, run_id)
        except RunNotFound as error:
            raise RunLost from error
        if row.lease_token != token or row.state not in WORKED_ON:
            raise RunLost
        return row

    async def change(self, connection: AsyncConnection, row: Row[Any], **values: Any) -> Run:
        """Writes these columns of a locked row; gives the run with them."""
        await connection.execute(update(self.table).where(self.table.c.run_id == row.run_id).values(**values))
        return run_of({**row._mapping, **values})


def run_of(row: Any) -> Run:
    """The run in a row, given as a mapping from column names."""
    kind = row["cursor_kind"]
    return Run(
        run_id=row["run_id"],
        system_id=row["system_id"],
        mapping_id=row["mapping_id"],
        mode=Mode(row["mode"]),
        trigger=Trigger(row["started_by"]),
        requested_by=row["requested_by"],
        state=RunState(row["state"]),
        tick_at=row["tick_at"],
        missed_ticks=row["missed_ticks"],
        range_from=row["range_from"],
        range_to=row["range_to"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        pages=row["pages"],
        read=row["records_read"],
        new=row["new_records"],
        changed=row["changed"],
        unchanged=row["unchanged"],
        outdated=row["outdated"],
        skipped=row["skipped"],
        failed=row["failed"] + row["set_aside"],
        pending=row["pending"],
        error_reason=row["error_reason"],
        error_message=row["error_message"] or "",
        position=None if row["position"] is None else bytes(row["position"]),
        seen_cursor=None if kind is None else CursorValue.parse(kind, row["cursor_value"]),
        is_cancel_requested=bool(row["is_cancel_requested"]),
        crashes=row["crashes"],
    )
