"""The SQL of looking: deliveries with how they stand, and cached records."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, exists, or_, select

from intertie_chassis.database import Database
from intertie_ingest.model import ENDING_OF_STATUS, Ending, Status
from intertie_ingest.selection import RecordFilter
from intertie_ingest.selection_store import hinted, narrowed, to_the_second
from intertie_ingest.shown_model import StoredDelivery, StoredRecord
from intertie_ingest.standing_store import Standings
from intertie_ingest.tables import Tables

_SKEW_MILLISECONDS = 3_600_000
_ULID_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries; what is None does not narrow."""

    system_id: int | None = None
    state: Ending | None = None
    received_after: datetime | None = None
    received_before: datetime | None = None


class BrowseStore:
    """Where operators look."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        self._tables = tables
        self._standings = Standings(tables)

    async def deliveries(self, wanted: DeliveryFilter, before: str | None, size: int) -> list[StoredDelivery]:
        """The newest first, those with an id below `before`; without bodies. Raises Unavailable."""
        table = self._tables.deliveries
        query = select(*self._standings.columns).order_by(table.c.delivery_id.desc()).limit(size)
        if before is not None:
            query = query.where(table.c.delivery_id < before)
        if wanted.system_id is not None:
            query = query.where(table.c.system_id == wanted.system_id)
        # Ids begin with the time at which they were made, so they bound what has to be read.
        if wanted.received_after is not None:
            query = query.where(
                table.c.received_at >= wanted.received_after,
                table.c.delivery_id >= _ulid_at(wanted.received_after, -_SKEW_MILLISECONDS),
            )
        if wanted.received_before is not None:
            query = query.where(
                table.c.received_at < wanted.received_before,
                table.c.delivery_id < _ulid_at(wanted.received_before, _SKEW_MILLISECONDS),
            )
        if wanted.state is not None:
            query = query.where(self._stands(wanted.state))
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
            return await self._standings.of(connection, rows)

    async def delivery(self, delivery_id: str) -> StoredDelivery | None:
        """One delivery with its body, unless that has expired. Raises Unavailable."""
        table = self._tables.deliveries
        async with self._database.read() as connection:
            query = select(*self._standings.columns, table.c.body).where(table.c.delivery_id == delivery_id)
            found = await self._standings.of(connection, (await connection.execute(query)).all())
        return found[0] if found else None

    def _stands(self, state: Ending) -> ColumnElement[bool]:
        table, cache, endings = self._tables.deliveries, self._tables.cache, self._tables.endings
        if state is Ending.UNROUTED:
            return table.c.records == "[]"
        statuses = [status.value for status, ending in ENDING_OF_STATUS.items() if ending is state]
        lives = exists().where(cache.c.delivery_id == table.c.delivery_id, cache.c.sync_status.in_(statuses))
        ended = exists().where(endings.c.delivery_id == table.c.delivery_id, endings.c.ending == state.value)
        return or_(lives, ended)

    async def records(self, wanted: RecordFilter, after: tuple[datetime, int] | None, size: int) -> list[StoredRecord]:
        """The newest change first, those after the given change. Raises Unavailable."""
        cache = self._tables.cache
        query = select(cache).where(*narrowed(cache, wanted)).order_by(cache.c.updated_at.desc(), cache.c.id.desc())
        if after is not None:
            changed_at, number = to_the_second(after[0]), after[1]
            earlier = and_(cache.c.updated_at == changed_at, cache.c.id < number)
            query = query.where(or_(cache.c.updated_at < changed_at, earlier))
        query = hinted(query, cache, wanted).limit(size)
        async with self._database.read() as connection:
            return [stored_record(row) for row in (await connection.execute(query)).all()]

    async def record(self, number: int) -> StoredRecord | None:
        """One cached record. Raises Unavailable."""
        cache = self._tables.cache
        async with self._database.read() as connection:
            row = (await connection.execute(select(cache).where(cache.c.id == number))).first()
        return None if row is None else stored_record(row)


def stored_record(row: Row[Any]) -> StoredRecord:
    """A row of the cache with all its columns."""
    return StoredRecord(
        row.id,
        row.system_id,
        row.mapping_id,
        row.external_id,
        row.local_id,
        row.local_key,
        row.data_json,
        Status(row.sync_status),
        row.sync_error,
        row.error_reason,
        row.error_field,
        row.revision,
        row.attempts,
        row.delivery_id,
        row.available_at,
        row.last_synced_at,
        row.expires_at,
        row.created_at,
        row.updated_at,
    )


def _ulid_at(moment: datetime, skew: int) -> str:
    """The least ULID of a millisecond, so many milliseconds later; the first and last of all times have one too."""
    value = max(0, int((moment - datetime(1970, 1, 1)).total_seconds() * 1000) + skew)
    digits = []
    for _ in range(10):
        digits.append(_ULID_DIGITS[value & 31])
        value >>= 5
    return "".join(reversed(digits)).ljust(26, "0")
