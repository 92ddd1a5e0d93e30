"""The commit of a group of deliveries: a fixed number of statements in one transaction, however large the group is.

Every list of values stands in a multi-row statement. On MySQL that is one round trip only while the VALUES clause holds
nothing but placeholders; so what is constant stands in the UPDATE clause as text, and times are computed here.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
import structlog
from sqlalchemy import and_, bindparam, exc, func, insert, literal_column, or_, select, update
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis import database_errors
from intertie_chassis.clock import utc_now
from intertie_chassis.database import Database
from intertie_chassis.errors import Unavailable
from intertie_chassis.many_rows import ManyRows
from intertie_chassis.outbox import Outbox
from intertie_ingest.errors import Clash, Refused
from intertie_ingest.folding import DeliveryKey, Fold, NewDelivery, NewState, fold
from intertie_ingest.migrations.first_tables import RECORD_KEY
from intertie_ingest.model import CachedState, Delivery, Key, KnownDelivery, RecordEnding, Status
from intertie_ingest.tables import Tables

_log = structlog.get_logger()
_MOST_KEYS = 500
_CLOCK_SECONDS = 10.0
_CLOCK_MARGIN = timedelta(milliseconds=50)
_MOST_MICROSECONDS = 40_000
_NO_TABLES = {1054, 1146}  # MySQL: unknown column, no such table


class Store:
    """Where deliveries are kept."""

    def __init__(self, database: Database, tables: Tables, outbox: Outbox) -> None:
        self._database = database
        self._tables = tables
        self._outbox = outbox
        self._offset = timedelta()
        self._offset_until = 0.0
        self._readings: dict[int, Any] = {}
        cache = tables.cache
        new = [cache.c[name] for name in _STATE_COLUMNS]
        self._insert_deliveries = ManyRows(insert(tables.deliveries), [c.name for c in tables.deliveries.columns])
        self._insert_endings = ManyRows(
            insert(tables.endings), [c.name for c in tables.endings.columns if c.name != "id"]
        )
        written = ["system_id", "mapping_id", "external_id", *_STATE_COLUMNS]
        self._insert_states = ManyRows(insert(cache), written)
        if database.dialect == "mysql":
            change: Any = mysql.insert(cache)
            columns = {column.name: change.inserted[column.name] for column in new}
            change = change.on_duplicate_key_update(
                **columns, **{name: literal_column(value) for name, value in _FRESH.items()}
            )
            self._change_states = ManyRows(change, ["id", *written])
        else:
            self._change_states = ManyRows(
                update(cache)
                .where(cache.c.id == bindparam("row"))
                .values(
                    {column.name: bindparam(column.name) for column in new}
                    | {name: literal_column(value) for name, value in _FRESH.items()}
                    | {"updated_at": literal_column("CURRENT_TIMESTAMP")}
                )
            )

    async def commit(self, group: Sequence[Delivery], entries: Callable[[Fold], bytes | None]) -> Fold:
        """Writes a group whole or not at all; `entries` makes the audit's message of what the group came to.

        Raises Clash when another process wrote the same record or key first (nothing is written; commit again), Refused
        when the database refuses a value, Unavailable when it is away.
        """
        now = await self._now()

        async def work(connection: AsyncConnection) -> Fold:
            known = await self._known(connection, group)
            cached = await self._cached(connection, group)
            folded = fold(group, known, cached)
            await self._write(connection, folded, now)
            message = entries(folded)
            if message is not None:
                await self._outbox.append(connection, message)
            return folded

        try:
            return await self._database.transaction(work)
        except exc.SQLAlchemyError as error:
            if database_errors.is_duplicate_key(error):
                raise Clash from error
            if database_errors.error_number(error) in _NO_TABLES:
                raise Unavailable(
                    "the ingest tables are not up to date; run `intertie db migrate`",
                    reason="STORE_UNAVAILABLE",
                    retry_after=5,
                ) from error
            if database_errors.is_denied(error):
                _log.error("the account of the database lacks a right", cause=database_errors.constraint_text(error))
                raise Unavailable(
                    "the account of the database lacks a right that ingest needs; see its log",
                    reason="STORE_UNAVAILABLE",
                    retry_after=5,
                ) from error
            raise Refused(database_errors.constraint_text(error)) from error

    async def _now(self) -> datetime:
        """The database's time, a little earlier: a record released ahead of the claim's clock would wait for a poll."""
        if self._database.dialect == "sqlite":
            return utc_now()
        if time.monotonic() > self._offset_until:
            async with self._database.read() as connection:
                theirs = await connection.scalar(select(func.now(6)))
            if isinstance(theirs, datetime):
                self._offset = theirs - utc_now()
                self._offset_until = time.monotonic() + _CLOCK_SECONDS
        return utc_now() + self._offset - _CLOCK_MARGIN

    async def _known(self, connection: AsyncConnection, group: Sequence[Delivery]) -> dict[DeliveryKey, KnownDelivery]:
        keys: dict[int, set[str]] = defaultdict(set)
        for delivery in group:
            if delivery.delivery_key is not None:
                keys[delivery.system_id].add(delivery.delivery_key)
        if not keys:
            return {}
        table = self._tables.deliveries.c
        asked = [
            and_(table.system_id == system, table.delivery_key.in_(sorted(wanted)))
            for system, wanted in sorted(keys.items())
        ]
        query = select(
            table.system_id,
            table.delivery_key,
            table.delivery_id,
            table.digest,
            table.is_array,
            table.external_ids,
            table.records,
        ).where(or_(*asked))
        rows = (await connection.execute(query)).all()
        return {
            (row.system_id, row.delivery_key): KnownDelivery(
                row.delivery_id,
                bytes(row.digest),
                bool(row.is_array),
                tuple(orjson.loads(row.external_ids)),
                row.records == "[]",
            )
            for row in rows
        }

    async def _cached(self, connection: AsyncConnection, group: Sequence[Delivery]) -> dict[Key, CachedState]:
        """The present states of the group's records, locked."""
        keys = sorted(
            {
                (delivery.system_id, record.external_id, record.mapping_id)
                for delivery in group
                for record in delivery.records
            }
        )
        cached: dict[Key, CachedState] = {}
        for start in range(0, len(keys), _MOST_KEYS):
            cached |= await self._cached_of(connection, keys[start : start + _MOST_KEYS])
        return cached

    async def _cached_of(self, connection: AsyncConnection, keys: list[tuple[int, str, int]]) -> dict[Key, CachedState]:
        cache = self._tables.cache
        places: dict[tuple[int, int], list[str]] = defaultdict(list)
        for system, external_id, mapping in keys:
            places[system, mapping].append(external_id)
        asked: dict[str, Any] = {}
        for place, ((system, mapping), external_ids) in enumerate(places.items()):
            asked |= {f"system_{place}": system, f"mapping_{place}": mapping, f"external_ids_{place}": external_ids}
        rows = (await connection.execute(self._reading(len(places)), asked)).all()
        if rows and self._database.dialect == "mysql":
            # Locked in the order of their numbers, as claims and settlements lock: in the order of keys, groups and
            # settlements of the same records would deadlock. SQLite's transaction has the one writer's lock already.
            numbers = sorted(row.id for row in rows)
            columns = [cache.c[name] for name in _READ_COLUMNS]
            by_number = select(*columns).where(cache.c.id.in_(numbers)).order_by(cache.c.id).with_for_update()
            rows = (await connection.execute(by_number)).all()
        return {
            (row.system_id, row.mapping_id, row.external_id): CachedState(
                row.id,
                row.revision,
                row.version_key,
                None if row.digest is None else bytes(row.digest),
                row.delivery_id,
                Status(row.sync_status),
                row.error_reason,
                row.error_field,
                row.sync_error,
            )
            for row in rows
        }

    def _reading(self, places: int) -> Any:
        """Reads the records of so many mappings; made once, since making it costs more than running it."""
        known = self._readings.get(places)
        if known is None:
            cache = self._tables.cache
            asked = [
                and_(
                    cache.c.system_id == bindparam(f"system_{place}"),
                    cache.c.mapping_id == bindparam(f"mapping_{place}"),
                    cache.c.external_id.in_(bindparam(f"external_ids_{place}", expanding=True)),
                )
                for place in range(places)
            ]
            # Without the hint stale statistics may choose a scan.
            known = (
                select(*(cache.c[name] for name in _READ_COLUMNS))
                .where(or_(*asked))
                .with_hint(cache, f"FORCE INDEX ({RECORD_KEY})", "mysql")
            )
            self._readings[places] = known
        return known

    async def _write(self, connection: AsyncConnection, folded: Fold, now: datetime) -> None:
        if folded.deliveries:
            await self._insert_deliveries.execute(connection, [_delivery_row(new) for new in folded.deliveries])
        if folded.rerouted:
            await self._reroute(connection, folded.rerouted)
        new: list[tuple[Key, dict[str, Any]]] = []
        changed: list[tuple[Key, dict[str, Any]]] = []
        number = "id" if self._database.dialect == "mysql" else "row"
        for index, (key, state) in enumerate(folded.states.items()):
            # A microsecond each keeps the order of arrival in the queue, though rows are written in the order of keys.
            row = _state_row(key, state, now + timedelta(microseconds=min(index, _MOST_MICROSECONDS)))
            if state.id:
                changed.append((key, {**row, number: state.id}))
            else:
                new.append((key, row))
        for statement, rows in ((self._insert_states, new), (self._change_states, changed)):
            if rows:
                rows.sort(key=lambda item: (item[0][0], item[0][2], item[0][1]))
                await statement.execute(connection, [row for _, row in rows])
        if folded.endings:
            await self._insert_endings.execute(connection, _ending_rows(folded.endings, now))

    async def _reroute(self, connection: AsyncConnection, rerouted: Iterable[NewDelivery]) -> None:
        """Rare, since it needs a repetition after a change of the mappings: one statement for each is fine."""
        table = self._tables.deliveries
        for new in rerouted:
            await connection.execute(
                update(table).where(table.c.delivery_id == new.delivery.delivery_id).values(records=_references(new))
            )


_READ_COLUMNS = [
    "id",
    "system_id",
    "mapping_id",
    "external_id",
    "revision",
    "version_key",
    "digest",
    "delivery_id",
    "sync_status",
    "error_reason",
    "error_field",
    "sync_error",
]
_STATE_COLUMNS = [
    "data_json",
    "sync_status",
    "sync_error",
    "revision",
    "version_key",
    "digest",
    "delivery_id",
    "available_at",
    "error_reason",
    "error_field",
]
#: what a new state begins with anew
_FRESH = {"attempts": "0", "crashes": "0", "lease_token": "NULL", "lease_solo": "0", "lease_crc": "NULL"}


def _delivery_row(new: NewDelivery) -> dict[str, Any]:
    delivery = new.delivery
    return {
        "delivery_id": delivery.delivery_id,
        "system_id": delivery.system_id,
        "route": delivery.route.value,
        "delivery_key": delivery.delivery_key,
        "digest": delivery.digest,
        "size": len(delivery.body),
        "content_type": delivery.content_type,
        "source": delivery.source,
        "request_id": delivery.request_id,
        "received_at": delivery.received_at,
        "is_array": delivery.is_array,
        "external_ids": orjson.dumps(delivery.external_ids).decode(),
        "records": _references(new),
        "body": delivery.body,
    }


def _references(new: NewDelivery) -> str:
    places = [(place.mapping_id, place.external_id, place.revision) for place in new.references]
    return orjson.dumps(places).decode()


def _state_row(key: Key, state: NewState, now: datetime) -> dict[str, Any]:
    record, fault = state.record, state.record.fault
    # What is set aside is available too: should the PHP application make it pending again, it is seen at once.
    is_available = record.is_released or fault is not None
    return {
        "system_id": key[0],
        "mapping_id": key[1],
        "external_id": key[2],
        "data_json": record.data,
        "sync_status": "pending" if fault is None else "error",
        "sync_error": None if fault is None else fault.message,
        "revision": state.revision,
        "version_key": state.version_key,
        "digest": record.digest,
        "delivery_id": state.delivery_id,
        "available_at": now if is_available else None,
        "error_reason": None if fault is None else fault.reason[:64],
        "error_field": None if fault is None else fault.field[:255],
    }


def _ending_rows(endings: Iterable[RecordEnding], now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "delivery_id": ending.delivery_id,
            "mapping_id": ending.mapping_id,
            "external_id": ending.external_id,
            "revision": ending.revision,
            "ending": ending.ending.value,
            "superseded_by": ending.superseded_by,
            "reason": None if ending.fault is None else ending.fault.reason[:64],
            "field": None if ending.fault is None else ending.fault.field[:255],
            "message": None if ending.fault is None else ending.fault.message,
            "ended_at": now,
        }
        for ending in endings
    ]
