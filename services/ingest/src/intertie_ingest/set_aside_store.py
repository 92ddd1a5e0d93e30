"""The SQL of what was set aside: how much of it there is, and its replay."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, func, literal_column, or_, select, update
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.database import Database
from intertie_chassis.many_rows import ManyRows
from intertie_chassis.outbox import Outbox
from intertie_ingest.cache_store import CacheRows
from intertie_ingest.model import Status
from intertie_ingest.pace import Pace
from intertie_ingest.selection import RecordCount, RecordFilter, Replayed, ReplayPlace
from intertie_ingest.selection_store import hinted, narrowed
from intertie_ingest.tables import Tables

_TRANSACTION_SECONDS = 30.0


class SetAsideStore:
    """Where records that were set aside, or that wait, are counted and handed to mapper anew."""

    def __init__(self, database: Database, tables: Tables, outbox: Outbox) -> None:
        self._database = database
        self._rows = CacheRows(database, tables)
        self._outbox = outbox
        self._write = self._renewing()

    async def counts(self, wanted: RecordFilter, place: ReplayPlace | None = None) -> list[RecordCount]:
        """How many records there are by mapping, state and reason, the most first; of a replay those left to it.

        Raises Unavailable.
        """
        cache = self._rows.table
        alike = (cache.c.system_id, cache.c.mapping_id, cache.c.sync_status, cache.c.error_reason)
        query = (
            select(
                *alike,
                func.count().label("found"),
                func.min(cache.c.updated_at).label("first"),
                func.max(cache.c.updated_at).label("last"),
            )
            .where(*narrowed(cache, wanted), *self._left(wanted, place))
            .group_by(*alike)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(hinted(query, cache, wanted))).all()
        found = [
            RecordCount(
                row.system_id,
                row.mapping_id,
                Status(row.sync_status),
                row.error_reason or "",
                row.found,
                row.first,
                row.last,
            )
            for row in rows
        ]
        return sorted(found, key=lambda one: (-one.count, one.system_id, one.mapping_id, one.error_reason))

    async def replay(
        self,
        wanted: RecordFilter,
        message: Callable[[Sequence[int]], bytes],
        pace: Pace | None = None,
        place: ReplayPlace | None = None,
    ) -> Replayed:
        """Hands records to mapper, their attempts counted anew, as many and as fast as the pace says.

        What was set aside first goes first. Records that another transaction holds (a claim, a settlement, a delivery,
        another replay) are left out, so that none is replayed twice and nobody waits. `message(ids)` makes the audit's
        message, which commits with it. Raises Unavailable.
        """
        pace = pace or Pace()

        async def work(connection: AsyncConnection) -> Replayed:
            now: datetime = (await connection.execute(select(self._rows.clock()))).scalar_one()
            query = self.choosing(wanted, pace.limit, place)
            rows = (await connection.execute(query.with_for_update(skip_locked=True))).all()
            if not rows:
                return Replayed()
            ids = [row.id for row in rows]
            moments = pace.moments(now, len(ids))
            await self._write.execute(connection, list(map(self._renewed, ids, moments)))
            await self._outbox.append(connection, message(ids))
            next_place = ReplayPlace(now if place is None else place.began_at, max(ids), rows[-1].available_at)
            return Replayed(tuple(ids), moments[-1], next_place if len(ids) == pace.limit else None)

        return await self._database.transaction(work, timeout=_TRANSACTION_SECONDS)

    def choosing(self, wanted: RecordFilter, limit: int, place: ReplayPlace | None = None) -> Select[Any]:
        """What a replay takes, in its order; a test looks at how the databases find it.

        The order is the claim index's, so that nothing is sorted: a sort would lock all that could be replayed.
        """
        cache = self._rows.table
        in_order = (cache.c.id,) if wanted.is_waiting else (cache.c.lease_solo, cache.c.available_at, cache.c.id)
        query = select(cache.c.id, cache.c.available_at).where(*narrowed(cache, wanted), *self._left(wanted, place))
        return hinted(query, cache, wanted).order_by(*in_order).limit(limit)

    def _left(self, wanted: RecordFilter, place: ReplayPlace | None) -> Sequence[ColumnElement[bool]]:
        cache = self._rows.table.c
        if place is None:
            return ()
        if wanted.is_waiting:
            return (cache.id > place.last_id,)
        # When it was set aside; NULL, which comes first, where another application wrote the error.
        if place.last_at is None:
            return (or_(cache.available_at <= place.began_at, cache.available_at.is_(None)),)
        return (cache.available_at.between(place.last_at, place.began_at),)

    def _renewed(self, number: int, available_at: datetime) -> dict[str, Any]:
        if self._rows.is_mysql:
            # Required of an INSERT; the row is there and locked, so none of them is ever written.
            required = {"system_id": 0, "mapping_id": 0, "external_id": "", "data_json": "{}"}
            return {"id": number, **required, "available_at": available_at}
        return {"row": number, "available_at": available_at}

    def _renewing(self) -> ManyRows:
        cache = self._rows.table
        constants: dict[str, Any] = {name: literal_column(value) for name, value in _RENEWED.items()}
        if self._rows.is_mysql:
            rows: Any = mysql.insert(cache)
            rows = rows.on_duplicate_key_update(available_at=rows.inserted.available_at, **constants)
            return ManyRows(rows, ["id", "system_id", "mapping_id", "external_id", "data_json", "available_at"])
        values = {"available_at": bindparam("available_at")} | constants | self._rows.touched()
        return ManyRows(update(cache).where(cache.c.id == bindparam("row")).values(values))


#: a new epoch: of the attempts before nothing stays but what the log has
_RENEWED = {
    "sync_status": "'pending'",
    "sync_error": "NULL",
    "error_reason": "NULL",
    "error_field": "NULL",
    "attempts": "0",
    "crashes": "0",
    "lease_solo": "0",
    "lease_token": "NULL",
    "lease_crc": "NULL",
}
