"""The SQL of what has been kept long enough: bodies, then deliveries with their endings, a few rows a transaction.

All that is deleted is named by its primary key, in order, and nothing else is locked: two processes that forget at once
wait for each other shortly and find the rest done, and what is being accepted waits for neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, exists, null, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.database import Database
from intertie_ingest.migrations.retention_index import AGE_INDEX
from intertie_ingest.replay_store import Replays
from intertie_ingest.shown_model import StoredDelivery
from intertie_ingest.standing_store import Standings
from intertie_ingest.tables import Tables

MOST_ROWS = 500
"""Rows of one transaction, and of one read."""


@dataclass(frozen=True, slots=True)
class Aged:
    """A delivery of some age."""

    received_at: datetime
    delivery_id: str
    #: bytes of the body as it was received
    size: int
    has_body: bool


class RetentionStore:
    """Where deliveries are forgotten. Every method raises Unavailable when the database is away."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        self._tables = tables
        self._standings = Standings(tables)
        self._replays = Replays(tables)

    async def aged(self, before: datetime, after: Aged | None) -> list[Aged]:
        """The next deliveries that were received before a time (naive, UTC), the oldest first; at most MOST_ROWS."""
        async with self._database.read() as connection:
            rows = (await connection.execute(self.aging(before, after))).all()
        return [Aged(row.received_at, row.delivery_id, row.size, bool(row.has_body)) for row in rows]

    def aging(self, before: datetime, after: Aged | None) -> Select[Any]:
        """What `aged` asks; a test looks at how the databases answer it."""
        table = self._tables.deliveries.c
        query = select(
            table.received_at, table.delivery_id, table.size, table.body.is_not(None).label("has_body")
        ).where(table.received_at < before)
        if after is not None:
            behind = and_(table.received_at == after.received_at, table.delivery_id > after.delivery_id)
            query = query.where(
                table.received_at >= after.received_at, or_(table.received_at > after.received_at, behind)
            )
        # Without the hint a server may read, and sort, all that is old.
        query = query.with_hint(self._tables.deliveries, f"FORCE INDEX ({AGE_INDEX})", "mysql")
        return query.order_by(table.received_at, table.delivery_id).limit(MOST_ROWS)

    async def standing(self, delivery_ids: Sequence[str]) -> list[StoredDelivery]:
        """How these deliveries stand, in no order; without those that have gone."""
        table = self._tables.deliveries
        query = select(*self._standings.columns).where(table.c.delivery_id.in_(sorted(delivery_ids)))
        async with self._database.read() as connection:
            return await self._standings.of(connection, (await connection.execute(query)).all())

    async def drop_bodies(self, delivery_ids: Sequence[str]) -> int:
        """Drops the bodies of these deliveries, all else of them stays; gives how many there were."""
        table = self._tables.deliveries
        statement = (
            update(table)
            .where(table.c.delivery_id.in_(sorted(delivery_ids)), table.c.body.is_not(None))
            .values(body=null())
        )

        async def work(connection: AsyncConnection) -> int:
            return int((await connection.execute(statement)).rowcount)

        return await self._database.transaction(work)

    async def delete_deliveries(self, delivery_ids: Sequence[str]) -> int:
        """Deletes these deliveries and how their records ended; gives how many deliveries there were.

        A delivery may have thousands of endings: they go first, MOST_ROWS a transaction. Should the process die in
        between, the next one finishes it.
        """
        ids = sorted(delivery_ids)
        endings = self._tables.endings
        while await self._delete_endings(endings.c.delivery_id.in_(ids)) == MOST_ROWS:
            pass
        table = self._tables.deliveries

        async def work(connection: AsyncConnection) -> int:
            # With its delivery goes what would know a replay of it.
            await self._replays.forget(connection, ids)
            return int((await connection.execute(delete(table).where(table.c.delivery_id.in_(ids)))).rowcount)

        return await self._database.transaction(work)

    async def delete_lost_endings(self, before: datetime, after: int) -> tuple[int, int | None]:
        """Deletes endings, from before this time, whose delivery is gone: its record was overtaken after that.

        Looks at MOST_ROWS endings behind the number `after`. Gives how many went, and behind which number to go on;
        None when what follows is younger.
        """
        endings, deliveries = self._tables.endings, self._tables.deliveries
        known = exists().where(deliveries.c.delivery_id == endings.c.delivery_id)
        query = select(endings.c.id, endings.c.ended_at, known.label("is_known")).where(endings.c.id > after)
        async with self._database.read() as connection:
            rows = (await connection.execute(query.order_by(endings.c.id).limit(MOST_ROWS))).all()
        old = list(takewhile(lambda row: row.ended_at < before, rows))  # numbers rise with the time of the end
        lost = [row.id for row in old if not row.is_known]
        if lost:
            await self._delete_endings(endings.c.id.in_(lost))
        return len(lost), old[-1].id if len(old) == MOST_ROWS else None

    async def _delete_endings(self, which: ColumnElement[bool]) -> int:
        endings = self._tables.endings
        query = select(endings.c.id).where(which).order_by(endings.c.id).limit(MOST_ROWS)

        async def work(connection: AsyncConnection) -> int:
            ids = (await connection.scalars(query)).all()
            if ids:
                await connection.execute(delete(endings).where(endings.c.id.in_(ids)))
            return len(ids)

        return await self._database.transaction(work)
