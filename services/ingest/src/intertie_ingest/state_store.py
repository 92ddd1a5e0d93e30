"""The SQL of states: the cache's present ones, locked, and new ones written, whoever brings them.

Every list of values stands in a multi-row statement. On MySQL that is one round trip only while the VALUES clause holds
nothing but placeholders; so what is constant stands in the UPDATE clause as text, and times are computed here.
"""

import zlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import ColumnElement, and_, bindparam, exc, insert, literal_column, null, or_, select, update
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis import database_errors
from intertie_chassis.database import Database
from intertie_chassis.errors import Unavailable
from intertie_chassis.many_rows import ManyRows, Write
from intertie_ingest.cache_store import CacheRows
from intertie_ingest.errors import Clash, Refused
from intertie_ingest.folding import NewState
from intertie_ingest.lookup_store import Lookup
from intertie_ingest.model import CachedState, Key, RecordEnding, Status
from intertie_ingest.tables import Tables

_log = structlog.get_logger()
_MOST_KEYS = 1000
_MOST_MICROSECONDS = 40_000
_NO_TABLES = {1054, 1146}  # MySQL: unknown column, no such table
_ABOUT_THE_VALUE = {1153, 1644}  # MySQL: larger than max_allowed_packet, a trigger's own refusal


class States:
    """The states that the cache holds."""

    def __init__(self, database: Database, tables: Tables, *, of_runs: bool = False) -> None:
        """`of_runs`: rows get `sync_run_id` and `expires_at` too."""
        self._rows = CacheRows(database, tables)
        self._readings: dict[int, Any] = {}
        self._lookup = Lookup(tables.cache)
        cache = self._cache = tables.cache
        self._read_columns: list[Any] = [cache.c[name] for name in _READ_COLUMNS]
        columns = list(_STATE_COLUMNS)
        if of_runs:
            columns += ["sync_run_id", "expires_at"]
        print_of = self._rows.fingerprint() if self._rows.is_mysql else cache.c.data_json
        self._read_columns.append(print_of.label("print"))
        self._insert_endings = ManyRows(
            insert(tables.endings), [c.name for c in tables.endings.columns if c.name != "id"]
        )
        written = ["system_id", "mapping_id", "external_id", *columns]
        fresh: dict[str, Any] = {name: literal_column(value) for name, value in _FRESH.items()}
        if not of_runs:
            # What has just come in is fresh, however long ago the row was read from its source.
            fresh["expires_at"] = null()
        # Few states are traced, and a group without one is written as if there were no traces.
        self._statements = {
            False: self._writing(written, columns, {**fresh, _TRACE: null()}),
            True: self._writing([*written, _TRACE], [*columns, _TRACE], fresh),
        }

    def _writing(
        self, written: Sequence[str], columns: Sequence[str], fresh: dict[str, Any]
    ) -> tuple[ManyRows, ManyRows]:
        """What inserts states, and what changes rows to states."""
        cache = self._cache
        if self._rows.is_mysql:
            change: Any = mysql.insert(cache)
            change = change.on_duplicate_key_update(**{name: change.inserted[name] for name in columns}, **fresh)
            return ManyRows(insert(cache), written), ManyRows(change, ["id", *written])
        return ManyRows(insert(cache), written), ManyRows(
            update(cache)
            .where(cache.c.id == bindparam("row"))
            .values({name: bindparam(name) for name in columns} | fresh | self._rows.touched())
        )

    async def cached(self, connection: AsyncConnection, keys: Collection[Key]) -> dict[Key, CachedState]:
        """The present states of these records, locked until the transaction ends."""
        ordered = sorted((system, external_id, mapping) for system, mapping, external_id in keys)
        cached: dict[Key, CachedState] = {}
        for start in range(0, len(ordered), _MOST_KEYS):
            cached |= await self._cached_of(connection, ordered[start : start + _MOST_KEYS])
        return cached

    async def _cached_of(self, connection: AsyncConnection, keys: list[tuple[int, str, int]]) -> dict[Key, CachedState]:
        places: dict[tuple[int, int], list[str]] = defaultdict(list)
        for system, external_id, mapping in keys:
            places[system, mapping].append(external_id)
        if self._rows.is_mysql:
            # Locked in the order of their numbers, as claims and settlements lock: in the order of keys, groups and
            # settlements of the same records would deadlock.
            numbers = await self._lookup.numbers(connection, places)
            return await self.locked(connection, numbers) if numbers else {}
        asked: dict[str, Any] = {}
        for place, ((system, mapping), external_ids) in enumerate(places.items()):
            asked |= {f"system_{place}": system, f"mapping_{place}": mapping, f"external_ids_{place}": external_ids}
        # The transaction has the one writer's lock already.
        return self._states((await connection.execute(self._reading(len(places)), asked)).all())

    async def locked(
        self, connection: AsyncConnection, ids: Collection[int], *narrowed: ColumnElement[bool]
    ) -> dict[Key, CachedState]:
        """The present states of these rows that fulfil the conditions, locked until the transaction ends."""
        cache = self._cache
        query = select(*self._read_columns).where(cache.c.id.in_(sorted(ids)), *narrowed).order_by(cache.c.id)
        return self._states((await connection.execute(query.with_for_update())).all())

    def _states(self, rows: Iterable[Any]) -> dict[Key, CachedState]:
        # Taken apart by place: a row's columns by name cost as much as all else that is done with it here.
        states: dict[Key, CachedState] = {}
        for (
            number, system, mapping, external_id, revision, version, digest, delivery, status, reason, field, error,
            attempts, fingerprint,
        ) in rows:  # fmt: skip
            states[system, mapping, external_id] = CachedState(
                number,
                revision,
                version,
                None if digest is None else bytes(digest),
                delivery,
                _STATUSES[status],
                reason,
                field,
                error,
                attempts,
                self._print(fingerprint),
            )
        return states

    def _print(self, read: Any) -> int:
        return int(read) if self._rows.is_mysql else zlib.crc32(read.encode())

    def _reading(self, places: int) -> Any:
        """Reads the records of so many mappings from SQLite; made once, since making it costs more than running it."""
        known = self._readings.get(places)
        if known is None:
            cache = self._cache
            asked = [
                and_(
                    cache.c.system_id == bindparam(f"system_{place}"),
                    cache.c.mapping_id == bindparam(f"mapping_{place}"),
                    cache.c.external_id.in_(bindparam(f"external_ids_{place}", expanding=True)),
                )
                for place in range(places)
            ]
            known = self._readings[places] = select(*self._read_columns).where(or_(*asked))
        return known

    def writes(self, rows: Iterable[tuple[int, dict[str, Any]]]) -> list[Write]:
        """What writes states as `state_row` makes them, each with its row's number, or 0 for a new row."""
        new: list[dict[str, Any]] = []
        changed: list[dict[str, Any]] = []
        number = "id" if self._rows.is_mysql else "row"
        is_traced = False
        for own, row in rows:
            is_traced = is_traced or _TRACE in row
            if own:
                changed.append({**row, number: own})
            else:
                new.append(row)
        if is_traced:
            for row in (*new, *changed):
                row.setdefault(_TRACE, None)
        for group in (new, changed):
            group.sort(key=lambda row: (row["system_id"], row["external_id"], row["mapping_id"]))
        return list(zip(self._statements[is_traced], (new, changed), strict=True))

    def ends(self, endings: Iterable[RecordEnding], now: datetime) -> Write:
        """What keeps how states ended that are overtaken."""
        return self._insert_endings, _ending_rows(endings, now)


def lease_row(row: dict[str, Any], token: str, ends_at: datetime, *, is_mysql: bool) -> None:
    """Makes the row of a state as a claim would leave it: under a lease that ends then."""
    row["attempts"] = 1
    row["lease_token"] = token
    row["available_at"] = ends_at
    if is_mysql:
        row["lease_crc"] = zlib.crc32(row["data_json"].encode())


def state_row(key: Key, state: NewState, now: datetime, index: int, *, is_released: bool) -> dict[str, Any]:
    """The row of a state, the `index`-th of those that are written together at `now`."""
    record, fault = state.record, state.record.fault
    # A microsecond each keeps the order of arrival in the queue, though rows are written in the order of keys.
    available_at = now + timedelta(microseconds=min(index, _MOST_MICROSECONDS))
    traced = {_TRACE: state.traceparent} if state.traceparent else {}
    return {
        **traced,
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
        # What is set aside is available too: should the PHP application make it pending again, it is seen at once.
        "available_at": available_at if is_released or fault is not None else None,
        "error_reason": None if fault is None else fault.reason[:64],
        "error_field": None if fault is None else fault.field[:255],
        "attempts": 0,
        "lease_token": None,
        "lease_crc": None,
    }


def refusal(error: exc.SQLAlchemyError) -> Exception:
    """What the failure of a transaction that writes states means: Clash, Unavailable or Refused."""
    cause = database_errors.constraint_text(error)
    if database_errors.is_duplicate_key(error):
        return Clash()
    if database_errors.error_number(error) in _NO_TABLES:
        return Unavailable(
            "the ingest tables are not up to date; run `intertie db migrate`",
            reason="STORE_UNAVAILABLE",
            retry_after=5,
        )
    if database_errors.is_denied(error):
        _log.error("the account of the database lacks a right", cause=cause)
        return Unavailable(
            "the account of the database lacks a right that ingest needs; see its log",
            reason="STORE_UNAVAILABLE",
            retry_after=5,
        )
    is_value = database_errors.is_data_error(error) or database_errors.error_number(error) in _ABOUT_THE_VALUE
    return Refused(cause, is_certain=is_value)


_TRACE = "traceparent"
_STATUSES = {status.value: status for status in Status}
#: in the order in which `_states` takes them
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
    "attempts",
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
    "attempts",
    "lease_token",
    "lease_crc",
]
#: what a new state begins with anew
_FRESH = {"crashes": "0", "lease_solo": "0"}


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
