"""The SQL of cursors: how far each mapping has been synced."""

from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.database import Database
from intertie_ingest.errors import RunState
from intertie_ingest.syncs.cursors import CursorValue
from intertie_ingest.syncs.model import StoredCursor
from intertie_ingest.tables import Tables


class CursorStore:
    """Where cursors are kept."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        self._table = tables.cursors
        self._runs = tables.runs

    async def get(self, mapping_id: int) -> StoredCursor | None:
        """The mapping's cursor; None when it has none. Raises Unavailable."""
        async with self._database.read() as connection:
            row = (await connection.execute(select(self._table).where(self._table.c.mapping_id == mapping_id))).first()
        return None if row is None else _cursor(row)

    async def reset(self, mapping_id: int) -> None:
        """Forgets the mapping's cursor, if it has one. Raises RunState while the mapping has a run, and Unavailable."""

        async def work(connection: AsyncConnection) -> None:
            runs = self._runs.c
            active = select(runs.run_id).where(runs.active_mapping_id == mapping_id).with_for_update()
            run_id = await connection.scalar(active)
            if run_id is not None:
                raise RunState(
                    "the mapping has a run; wait for it or cancel it, then reset", metadata={"run_id": run_id}
                )
            await connection.execute(delete(self._table).where(self._table.c.mapping_id == mapping_id))

        await self._database.transaction(work)

    async def move(
        self, connection: AsyncConnection, mapping_id: int, field: str, value: CursorValue, run_id: str, now: Any
    ) -> None:
        """Moves the cursor in the caller's transaction, never backwards; one of another field is replaced.

        The caller holds the lock of the mapping's run, so nobody else moves it. Raises CursorMismatch when the values
        have no order between them.
        """
        table = self._table
        query = select(table).where(table.c.mapping_id == mapping_id).with_for_update()
        row = (await connection.execute(query)).first()
        values = {
            "cursor_field": field,
            "kind": value.kind,
            "value": value.text,
            "run_id": run_id,
            "updated_at": now,
        }
        if row is None:
            await connection.execute(insert(table).values(mapping_id=mapping_id, **values))
        elif row.cursor_field != field or _cursor(row).value < value:
            await connection.execute(update(table).where(table.c.mapping_id == mapping_id).values(**values))


def _cursor(row: Any) -> StoredCursor:
    value = CursorValue.parse(row.kind, row.value)
    return StoredCursor(row.mapping_id, row.cursor_field, value, row.run_id, row.updated_at)
