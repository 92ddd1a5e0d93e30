"""The SQL of looking: deliveries with how they stand, cached records, and the replay of what was set aside."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    String,
    and_,
    exists,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.clock import utc_now
from intertie_chassis.database import Database
from intertie_chassis.outbox import Outbox
from intertie_ingest.model import ENDING_OF_STATUS, Ending, Status, StoredDelivery, StoredRecord
from intertie_ingest.standing_store import Standings
from intertie_ingest.tables import Tables

_MOST_REPLAYED = 10_000
_SKEW_MILLISECONDS = 3_600_000
_ULID_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """Which cached records; what is None does not narrow."""

    ids: tuple[int, ...] | None = None
    system_id: int | None = None
    mapping_ids: tuple[int, ...] | None = None
    external_id: str | None = None
    status: Status | None = None
    error_reason: str | None = None
    #: only those that no time has been set for
    is_waiting: bool = False


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries; what is None does not narrow."""

    system_id: int | None = None
    state: Ending | None = None
    received_after: datetime | None = None
    received_before: datetime | None = None


class BrowseStore:
    """Where operators look."""

    def __init__(self, database: Database, tables: Tables, outbox: Outbox) -> None:
        self._database = database
        self._tables = tables
        self._outbox = outbox
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
        query = select(cache).where(*self._narrowed(wanted)).order_by(cache.c.updated_at.desc(), cache.c.id.desc())
        if after is not None:
            # As text and to the second, as both databases write it: SQLite compares the texts.
            changed_at, number = literal(after[0].isoformat(" ", "seconds"), String()), after[1]
            earlier = and_(cache.c.updated_at == changed_at, cache.c.id < number)
            query = query.where(or_(cache.c.updated_at < changed_at, earlier))
        async with self._database.read() as connection:
            return [stored_record(row) for row in (await connection.execute(query.limit(size))).all()]

    async def record(self, number: int) -> StoredRecord | None:
        """One cached record. Raises Unavailable."""
        cache = self._tables.cache
        async with self._database.read() as connection:
            row = (await connection.execute(select(cache).where(cache.c.id == number))).first()
        return None if row is None else stored_record(row)

    async def count(self, wanted: RecordFilter) -> int:
        """How many records a replay would take. Raises Unavailable."""
        query = select(func.count()).select_from(self._tables.cache).where(*self._narrowed(wanted))
        async with self._database.read() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def replay(self, wanted: RecordFilter, message: Any) -> list[int]:
        """Hands records to mapper, their attempts counted anew; gives their numbers, at most 10,000 at a time.

        `message(ids)` makes the audit's message. Raises Unavailable.
        """
        cache = self._tables.cache

        async def work(connection: AsyncConnection) -> list[int]:
            query = select(cache.c.id).where(*self._narrowed(wanted)).order_by(cache.c.id).limit(_MOST_REPLAYED)
            ids = list(await connection.scalars(query.with_for_update(skip_locked=True)))
            if not ids:
                return []
            mysql = self._database.dialect == "mysql"
            values: dict[str, Any] = {
                "sync_status": Status.PENDING.value,
                "sync_error": null(),
                "error_reason": null(),
                "error_field": null(),
                "attempts": literal_column("0"),
                "crashes": literal_column("0"),
                "lease_solo": literal_column("0"),
                "lease_token": null(),
                "available_at": func.now(literal_column("6")) if mysql else literal(utc_now()),
            }
            if not mysql:
                values["updated_at"] = literal_column("CURRENT_TIMESTAMP")
            await connection.execute(update(cache).where(cache.c.id.in_(ids)).values(values))
            await self._outbox.append(connection, message(ids))
            return ids

        return await self._database.transaction(work)

    def _narrowed(self, wanted: RecordFilter) -> Iterable[ColumnElement[bool]]:
        cache = self._tables.cache.c
        pairs: tuple[tuple[Any, Any], ...] = (
            (cache.system_id, wanted.system_id),
            (cache.external_id, wanted.external_id),
            (cache.sync_status, None if wanted.status is None else wanted.status.value),
            (cache.error_reason, wanted.error_reason),
        )
        conditions: list[ColumnElement[bool]] = [column == value for column, value in pairs if value is not None]
        many: tuple[tuple[Any, Collection[int] | None], ...] = (
            (cache.id, wanted.ids),
            (cache.mapping_id, wanted.mapping_ids),
        )
        conditions += [column.in_(sorted(values)) for column, values in many if values is not None]
        if wanted.is_waiting:
            conditions.append(cache.available_at.is_(None))
        return conditions


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
