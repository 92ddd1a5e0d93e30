"""The SQL of the refused deliveries."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.database import Database
from intertie_chassis.outbox import Outbox
from intertie_ingest.model import Route
from intertie_ingest.shown_model import Rejection
from intertie_ingest.tables import Tables

_PRUNED_AT_ONCE = 5000


class RejectionStore:
    """Where refusals are counted."""

    def __init__(self, database: Database, tables: Tables, outbox: Outbox) -> None:
        self._database = database
        self._table = tables.rejections
        self._outbox = outbox

    async def add(self, rejections: Sequence[Rejection], message: bytes | None) -> None:
        """Adds to the counts, and puts the audit's message, if there is one, into the outbox. Raises Unavailable."""
        rows = [
            {
                "minute": rejection.minute,
                "system_name": rejection.system,
                "route": rejection.route.value,
                "reason": rejection.reason,
                "source": rejection.source,
                "rejected": rejection.count,
                "message": rejection.message,
                "digest": rejection.digest,
            }
            # In the order of the unique key, so that two replicas never wait for each other in a circle.
            for rejection in sorted(
                rejections, key=lambda one: (one.minute, one.system, one.route, one.reason, one.source)
            )
        ]
        statement = self._upsert()

        async def work(connection: AsyncConnection) -> None:
            if rows:
                await connection.execute(statement, rows)
            if message is not None:
                await self._outbox.append(connection, message)

        await self._database.transaction(work)

    async def prune(self, before: datetime) -> None:
        """Deletes rows of minutes before this one, some at a time. Raises Unavailable."""
        table = self._table

        async def work(connection: AsyncConnection) -> int:
            query = select(table.c.id).where(table.c.minute < before).order_by(table.c.minute).limit(_PRUNED_AT_ONCE)
            old = (await connection.scalars(query)).all()
            if old:
                await connection.execute(delete(table).where(table.c.id.in_(sorted(old))))
            return len(old)

        # Until none is left: what an hour adds may be more than one statement should delete.
        while await self._database.transaction(work) == _PRUNED_AT_ONCE:
            pass

    async def page(self, system: str, reason: str, before: int | None, size: int) -> list[Rejection]:
        """The newest first; those of a number below `before`. Raises Unavailable."""
        table = self._table
        query = select(table).order_by(table.c.id.desc()).limit(size)
        if system:
            query = query.where(table.c.system_name == system)
        if reason:
            query = query.where(table.c.reason == reason)
        if before is not None:
            query = query.where(table.c.id < before)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [
            Rejection(
                row.system_name,
                Route(row.route),
                row.reason,
                row.source,
                row.minute,
                row.rejected,
                row.message,
                bytes(row.digest),
                row.id,
            )
            for row in rows
        ]

    def _upsert(self) -> Any:
        table = self._table
        key = [table.c.minute, table.c.system_name, table.c.route, table.c.reason, table.c.source]
        if self._database.dialect == "mysql":
            rows: Any = mysql.insert(table)
            added = {"rejected": table.c.rejected + rows.inserted.rejected}
            last = {"message": rows.inserted.message, "digest": rows.inserted.digest}
            return rows.on_duplicate_key_update(**added, **last)
        rows = sqlite.insert(table)
        return rows.on_conflict_do_update(
            index_elements=key,
            set_={
                "rejected": table.c.rejected + rows.excluded.rejected,
                "message": rows.excluded.message,
                "digest": rows.excluded.digest,
            },
        )
