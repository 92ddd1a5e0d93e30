"""The SQL that tells how much waits for mapper: along the claims' index, and no further than is worth counting."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, func, literal, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.database import Database
from intertie_chassis.metrics import MOST_COUNTED
from intertie_ingest.backlog import Backlog
from intertie_ingest.cache_store import CacheRows
from intertie_ingest.migrations.first_tables import CLAIM_INDEX
from intertie_ingest.model import Status
from intertie_ingest.tables import Tables

_LONGEST_LEASE = timedelta(seconds=600)
_MOST_LOOKED_AT = 10_000
"""Rows that are read, not only counted along the index: of those that are due next, which are under a lease."""
_LANES = (False, True)


class BacklogStore:
    """The queue, counted."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        self._rows = CacheRows(database, tables)
        self._cache = tables.cache

    async def read(self) -> Backlog:
        """How many records are in which state, each up to `MOST_COUNTED`. Raises Unavailable."""
        cache = self._cache
        async with self._database.read() as connection:
            now: datetime = (await connection.execute(select(self._rows.clock()))).scalar_one()
            if isinstance(now, str):  # SQLite gives back what was bound as text
                now = datetime.fromisoformat(now)
            due, later = cache.c.available_at <= literal(now), cache.c.available_at > literal(now)
            ready = await self._counted(connection, due)
            future = await self._counted(connection, later)
            leased = await self._leased(connection, now)
            held = await self._counted(connection, cache.c.available_at.is_(None))
            set_aside = await connection.scalar(_count(self._some(cache.c.sync_status == Status.ERROR.value)))
            oldest = [await connection.scalar(self._first(lane, due)) for lane in _LANES]
        ages = [(now - at).total_seconds() for at in oldest if at is not None]
        return Backlog(
            {
                "ready": ready,
                "leased": leased,
                "waiting": max(0, future - leased),
                "held": held,
                "set_aside": int(set_aside or 0),
            },
            max((0.0, *ages)),
        )

    async def _counted(self, connection: AsyncConnection, when: ColumnElement[bool]) -> int:
        counts = [int(await connection.scalar(_count(self._some(*self._pending(lane), when))) or 0) for lane in _LANES]
        return min(sum(counts), MOST_COUNTED)

    async def _leased(self, connection: AsyncConnection, now: datetime) -> int:
        cache = self._cache
        leased = 0
        for lane in _LANES:
            near = (
                cache.c.available_at > literal(now),
                cache.c.available_at <= literal(now + _LONGEST_LEASE),
            )
            rows = self._hinted(select(cache.c.lease_token).where(*self._pending(lane), *near)).limit(_MOST_LOOKED_AT)
            inner = rows.subquery()
            leased += int(await connection.scalar(select(func.count(inner.c.lease_token))) or 0)
        return leased

    def _first(self, is_solo: bool, due: ColumnElement[bool]) -> Select[Any]:
        cache = self._cache
        query = select(cache.c.available_at).where(*self._pending(is_solo), due).order_by(cache.c.available_at)
        return self._hinted(query).limit(1)

    def _pending(self, is_solo: bool) -> tuple[ColumnElement[bool], ...]:
        cache = self._cache
        lane: Any = literal_column("1" if is_solo else "0")
        return cache.c.sync_status == literal_column(f"'{Status.PENDING.value}'"), cache.c.lease_solo == lane

    def _some(self, *conditions: ColumnElement[bool]) -> Select[Any]:
        return self._hinted(select(self._cache.c.id).where(*conditions)).limit(MOST_COUNTED)

    def _hinted(self, query: Select[Any]) -> Select[Any]:
        return query.with_hint(self._cache, f"FORCE INDEX ({CLAIM_INDEX})", "mysql")


def _count(rows: Select[Any]) -> Select[Any]:
    return select(func.count()).select_from(rows.subquery())
