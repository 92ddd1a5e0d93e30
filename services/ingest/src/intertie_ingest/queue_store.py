"""The SQL of the queue: claims that never wait for each other, fenced settlements, leases that run out.

A lease is a token on its rows, and `available_at` moved to its end: when that passes unsettled, the rows are available
again with the token still on them, which tells that the lease died. Such rows go into a lane of their own
(`lease_solo`), where they are leased one at a time: so one that takes its worker down is found out, and its neighbours
are not set aside with it.
"""

import functools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import Select, bindparam, func, insert, literal, literal_column, null, select, update
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.clock import utc_now
from intertie_chassis.database import Database
from intertie_chassis.ids import new_ulid
from intertie_ingest.migrations.first_tables import CLAIM_INDEX
from intertie_ingest.model import Ending, Held, Lease, Leased, Outcome, Settlement, Status
from intertie_ingest.tables import Tables

MOST_CRASHES = 3
_CRASHED = (
    "It was being mapped when its mapper died or hung, three times when it was alone; look at it, then replay it."
)
_PASSES = 20


@dataclass(frozen=True, slots=True)
class Claim:
    """What one look at the queue came to."""

    lease: Lease | None
    #: whether rows were moved or held, so that another look may find some
    looks_again: bool


class QueueStore:
    """Where records wait for mapper."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        self._cache = tables.cache
        self._endings = tables.endings
        self._is_mysql = database.dialect == "mysql"

    async def has_work(self) -> bool:
        """Whether a record is available; a cheap look that locks nothing. Raises Unavailable."""
        cache = self._cache
        async with self._database.read() as connection:
            for is_solo in (False, True):
                query = self._available(is_solo).with_only_columns(cache.c.id).limit(1)
                if (await connection.execute(query)).first() is not None:
                    return True
        return False

    async def lease(self, most: int, seconds: int, active: Collection[int], *, solo_first: bool) -> Lease | None:
        """Leases up to `most` records of active mappings, or one alone from the solo lane; None when there is none.

        Records of other mappings are held: they step out of the queue until `release_held`. Raises Unavailable.
        """
        lanes = (self._claim_solo, self._claim_fresh) if solo_first else (self._claim_fresh, self._claim_solo)
        for lane in lanes:
            # Each pass that finds nothing to lease has moved what it found out of its way.
            for _ in range(_PASSES):
                claim = await self._database.transaction(functools.partial(lane, most, seconds, active))
                if claim.lease is not None:
                    return claim.lease
                if not claim.looks_again:
                    break
        return None

    async def _claim_fresh(
        self, most: int, seconds: int, active: Collection[int], connection: AsyncConnection
    ) -> Claim:
        rows = (await connection.execute(self._locked(is_solo=False, most=most))).all()
        held = await self._hold(connection, [row.id for row in rows if row.mapping_id not in active])
        rows = [row for row in rows if row.mapping_id in active]
        died = [row.id for row in rows if row.lease_token is not None]
        if died:
            await self._change(connection, died, lease_solo=literal_column("1"), lease_token=null())
        fresh = [row for row in rows if row.lease_token is None]
        if not fresh:
            return Claim(None, bool(died) or held)
        foreign = {row.id for row in fresh if _is_foreign(row)}
        if foreign:
            await self._own(connection, [row for row in fresh if row.id in foreign])
        return Claim(await self._take(connection, fresh, seconds, foreign), False)

    async def _claim_solo(self, most: int, seconds: int, active: Collection[int], connection: AsyncConnection) -> Claim:
        row = (await connection.execute(self._locked(is_solo=True, most=1))).first()
        if row is None:
            return Claim(None, False)
        if row.mapping_id not in active:
            await self._hold(connection, [row.id])
            return Claim(None, True)
        if row.lease_token is None:
            return Claim(await self._take(connection, [row], seconds), False)
        crashes = row.crashes + 1
        if crashes >= MOST_CRASHES:
            await self._change(
                connection,
                [row.id],
                sync_status=literal(Status.ERROR.value),
                error_reason=literal(Held.CRASHED.value),
                error_field=literal(""),
                sync_error=literal(_CRASHED),
                crashes=literal(crashes),
                lease_token=null(),
                lease_solo=literal_column("0"),
            )
            return Claim(None, True)
        return Claim(await self._take(connection, [row], seconds, crashes=literal(crashes)), False)

    async def _take(
        self,
        connection: AsyncConnection,
        rows: Sequence[Any],
        seconds: int,
        foreign: Collection[int] = (),
        **more: Any,
    ) -> Lease:
        token, expires_at = new_ulid(), rows[0].now + timedelta(seconds=seconds)
        await self._change(
            connection,
            [row.id for row in rows],
            attempts=self._cache.c.attempts + literal_column("1"),
            lease_token=literal(token),
            available_at=literal(expires_at),
            lease_crc=self._crc(),
            **more,
        )
        return Lease(token, tuple(_leased(row, row.id in foreign) for row in rows), expires_at)

    async def _own(self, connection: AsyncConnection, rows: Sequence[Any]) -> None:
        """Makes what the PHP application wrote over a row a state of its own, and keeps how ours ended."""
        ended = [
            {
                "delivery_id": row.delivery_id,
                "mapping_id": row.mapping_id,
                "external_id": row.external_id,
                "revision": row.revision,
                "ending": (Ending.SUPERSEDED if row.last_synced_at is None else Ending.SYNCED).value,
                "ended_at": row.now,
            }
            for row in rows
            if row.delivery_id is not None
        ]
        if ended:
            await connection.execute(insert(self._endings), ended)
        await self._change(
            connection,
            [row.id for row in rows],
            revision=self._cache.c.revision + literal_column("1"),
            attempts=literal_column("0"),
            version_key=null(),
            delivery_id=null(),
            digest=null(),
        )

    async def _hold(self, connection: AsyncConnection, ids: Sequence[int]) -> bool:
        if ids:
            reason = literal(Held.MAPPING_INACTIVE.value)
            await self._change(
                connection,
                ids,
                available_at=null(),
                lease_token=null(),
                lease_solo=literal_column("0"),
                error_reason=reason,
            )
        return bool(ids)

    async def release_held(self, active: Collection[int]) -> int:
        """Puts held records of active mappings back into the queue; gives of how many mappings. Raises Unavailable."""
        cache = self._cache
        held = (
            cache.c.sync_status == Status.PENDING.value,
            cache.c.available_at.is_(None),
            cache.c.error_reason == Held.MAPPING_INACTIVE.value,
        )
        async with self._database.read() as connection:
            waiting = set(await connection.scalars(select(cache.c.mapping_id).where(*held).distinct()))
        mappings = sorted(waiting & set(active))
        if not mappings:
            return 0

        async def work(connection: AsyncConnection) -> None:
            now = await self._now(connection)
            await connection.execute(
                update(cache)
                .where(*held, cache.c.mapping_id.in_(mappings))
                .values(available_at=literal(now), error_reason=null())
            )

        await self._database.transaction(work)
        return len(mappings)

    async def settle(self, token: str, settlements: Sequence[Settlement]) -> list[int]:
        """Writes what became of leased records; gives the numbers of those whose settlement did not hold.

        It does not hold when the lease has passed to another, the record has a newer state, or its data was changed
        under the lease (as the PHP application may): then the record is pending and available. Raises Unavailable.
        """
        by_id = {settlement.id: settlement for settlement in settlements}
        if not by_id:
            return []

        async def work(connection: AsyncConnection) -> list[int]:
            cache = self._cache
            query = (
                select(
                    *(cache.c[name] for name in _SETTLED_COLUMNS),
                    cache.c.lease_crc.is_(None).label("is_unsure"),
                    (cache.c.lease_crc == self._crc()).label("is_unchanged"),
                    self._clock().label("now"),
                )
                .where(cache.c.id.in_(sorted(by_id)), cache.c.lease_token == token)
                .order_by(cache.c.id)
                .with_for_update()
            )
            rows = (await connection.execute(query)).all()
            rows = [row for row in rows if row.revision == by_id[row.id].revision]
            held = [row for row in rows if row.is_unsure or row.is_unchanged]
            changed = [row.id for row in rows if not (row.is_unsure or row.is_unchanged)]
            if held:
                await connection.execute(self._settling(), [self._settled(row, by_id[row.id]) for row in held])
            if changed:
                now = literal(rows[0].now)
                await self._change(
                    connection, changed, available_at=now, lease_token=null(), attempts=literal_column("0")
                )
            return sorted(set(by_id) - {row.id for row in held})

        return await self._database.transaction(work)

    def _settled(self, row: Any, settlement: Settlement) -> dict[str, Any]:
        """The row after its settlement: all that a settlement may change, so that one statement does for all."""
        available_at: datetime = row.now
        values: dict[str, Any] = {
            "sync_status": _STATUS[settlement.outcome].value,
            "local_id": row.local_id,
            "local_key": row.local_key,
            "last_synced_at": row.last_synced_at,
            "sync_error": settlement.message[:4000] or None,
            "error_reason": settlement.reason[:64] or None,
            "error_field": settlement.field[:255] or None,
        }
        if settlement.outcome is Outcome.SYNCED:
            synced = row.now.replace(microsecond=0)
            values |= {"local_id": settlement.local_id, "local_key": settlement.local_key, "last_synced_at": synced}
            values |= {"sync_error": None, "error_reason": None, "error_field": None}
        elif settlement.outcome is Outcome.RETRY:
            available_at += timedelta(seconds=settlement.retry_seconds)
        values["available_at"] = available_at
        if self._is_mysql:
            # Required of an INSERT; the row is there and locked, so none of them is ever written.
            return {"id": row.id, "system_id": 0, "mapping_id": 0, "external_id": "", "data_json": "{}", **values}
        return {"row": row.id, **values}

    def _settling(self) -> Any:
        cache = self._cache
        freed = {"lease_token": "NULL", "lease_solo": "0", "crashes": "0", "lease_crc": "NULL"}
        constants: dict[str, Any] = {name: literal_column(value) for name, value in freed.items()}
        if self._is_mysql:
            rows: Any = mysql.insert(cache)
            return rows.on_duplicate_key_update(
                **{name: rows.inserted[name] for name in _SETTLEMENT_COLUMNS}, **constants
            )
        return (
            update(cache)
            .where(cache.c.id == bindparam("row"))
            .values(
                {name: bindparam(name) for name in _SETTLEMENT_COLUMNS}
                | constants
                | {"updated_at": literal_column("CURRENT_TIMESTAMP")}
            )
        )

    async def extend(self, tokens: Sequence[str], seconds: int) -> list[str]:
        """Moves the end of leases that have not ended; gives the tokens of which nothing is left.

        Raises Unavailable.
        """
        cache = self._cache

        async def work(connection: AsyncConnection) -> list[str]:
            # In the future lie leases and retries, nothing else: so this reads few rows, and no index on the token has
            # to be kept up with every claim.
            query = select(cache.c.id, cache.c.lease_token, self._clock().label("now")).where(
                cache.c.sync_status == Status.PENDING.value,
                cache.c.lease_solo.in_((False, True)),
                cache.c.available_at > self._clock(),
                cache.c.lease_token.in_(tokens),
            )
            rows = (await connection.execute(query.with_hint(cache, f"FORCE INDEX ({CLAIM_INDEX})", "mysql"))).all()
            if rows:
                until = literal(rows[0].now + timedelta(seconds=seconds))
                await connection.execute(
                    update(cache)
                    .where(cache.c.id.in_(sorted(row.id for row in rows)), cache.c.lease_token.in_(tokens))
                    .values(available_at=until)
                )
            return sorted(set(tokens) - {row.lease_token for row in rows})

        return await self._database.transaction(work)

    def _available(self, is_solo: bool) -> Select[Any]:
        cache = self._cache
        return (
            select(cache)
            .where(
                cache.c.sync_status == literal_column("'pending'"),
                cache.c.lease_solo == literal_column("1" if is_solo else "0"),
                cache.c.available_at <= self._clock(),
            )
            .order_by(cache.c.available_at, cache.c.id)
            # The index is the order: a sort would lock every row that it reads, and the next claimer would get none.
            .with_hint(cache, f"FORCE INDEX ({CLAIM_INDEX})", "mysql")
        )

    def _locked(self, *, is_solo: bool, most: int) -> Select[Any]:
        columns = [self._cache.c[name] for name in _CLAIMED_COLUMNS]
        return (
            self._available(is_solo)
            .with_only_columns(*columns, self._clock().label("now"))
            .limit(most)
            .with_for_update(skip_locked=True)
        )

    async def _change(self, connection: AsyncConnection, ids: Sequence[int], **values: Any) -> None:
        if not self._is_mysql:
            values["updated_at"] = literal_column("CURRENT_TIMESTAMP")
        await connection.execute(update(self._cache).where(self._cache.c.id.in_(sorted(ids))).values(values))

    async def _now(self, connection: AsyncConnection) -> datetime:
        now: datetime = await connection.scalar(select(self._clock())) or utc_now()
        return now

    def _clock(self) -> Any:
        """The database's own time: workers' clocks decide nothing."""
        return func.now(literal_column("6")) if self._is_mysql else literal(utc_now())

    def _crc(self) -> Any:
        """Tells at the settlement whether the data was changed under the lease; SQLite has none, nor another writer."""
        return func.crc32(self._cache.c.data_json) if self._is_mysql else null()


_CLAIMED_COLUMNS = [
    "id",
    "system_id",
    "mapping_id",
    "external_id",
    "revision",
    "data_json",
    "version_key",
    "delivery_id",
    "digest",
    "attempts",
    "crashes",
    "lease_token",
    "last_synced_at",
]
_SETTLED_COLUMNS = ["id", "revision", "local_id", "local_key", "last_synced_at"]
_SETTLEMENT_COLUMNS = [
    "sync_status",
    "local_id",
    "local_key",
    "last_synced_at",
    "sync_error",
    "error_reason",
    "error_field",
    "available_at",
]
_STATUS = {
    Outcome.SYNCED: Status.SYNCED,
    Outcome.RETRY: Status.PENDING,
    Outcome.SET_ASIDE: Status.ERROR,
    Outcome.SUPERSEDED: Status.OUTDATED,
}


def _is_foreign(row: Any) -> bool:
    """Whether the row's data is not what its state was accepted with: another application wrote it since.

    A row that never had a digest is another's from the start; once it has been synced, what makes it pending is new.
    """
    if row.digest is None:
        return row.last_synced_at is not None
    return sha256(row.data_json.encode()).digest() != bytes(row.digest)


def _leased(row: Any, is_foreign: bool) -> Leased:
    data = row.data_json.encode()
    digest = sha256(data).digest() if is_foreign or row.digest is None else bytes(row.digest)
    revision, version_key, delivery_id, attempts = (
        row.revision,
        row.version_key or "",
        row.delivery_id or "",
        row.attempts,
    )
    if is_foreign:
        revision, version_key, delivery_id, attempts = revision + 1, "", "", 0
    return Leased(
        row.id,
        row.system_id,
        row.mapping_id,
        row.external_id,
        revision,
        data,
        version_key,
        delivery_id,
        digest,
        attempts + 1,
    )
