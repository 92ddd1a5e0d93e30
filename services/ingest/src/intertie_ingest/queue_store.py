"""The SQL of the queue: claims that never wait for each other, and leases that run out.

A lease is a token on its rows, and `available_at` moved to its end: when that passes unsettled, the rows are available
again with the token still on them, which tells that the lease died. Such rows go into a lane of their own
(`lease_solo`), where they are leased one at a time: so one that takes its worker down is found out, and its neighbours
are not set aside with it.
"""

import functools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import Integer, Select, bindparam, exists, insert, literal, literal_column, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.database import Database
from intertie_chassis.ids import new_ulid
from intertie_chassis.outbox import Outbox
from intertie_ingest.cache_store import CacheRows
from intertie_ingest.claimed_row import CLAIMED_COLUMNS, is_foreign, leased, was_synced
from intertie_ingest.lease_model import Lease, Leased
from intertie_ingest.migrations.first_tables import CLAIM_INDEX
from intertie_ingest.model import Ending, RecordReason, Status
from intertie_ingest.tables import Tables

MOST_CRASHES = 3
_PASSES = 20
_LONGEST_LEASE = timedelta(seconds=600)
"""What the contract allows."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What one look at the queue came to."""

    lease: Lease | None
    #: whether rows were moved or held, so that another look may find some
    looks_again: bool


class QueueStore:
    """Where records wait for mapper."""

    def __init__(
        self, database: Database, tables: Tables, outbox: Outbox, entry_of_crash: Callable[[Leased], bytes]
    ) -> None:
        """`entry_of_crash` makes the audit's message of a record that is set aside because it crashes mappers."""
        self._database = database
        self._outbox = outbox
        self._entry_of_crash = entry_of_crash
        self._rows = CacheRows(database, tables)
        self._cache = tables.cache
        self._endings = tables.endings
        # Made once: making such a statement costs more than running it.
        one: Any = literal_column("1")
        self._look = select(*(exists(self._available(is_solo).with_only_columns(one)) for is_solo in (False, True)))
        self._sign = update(self._cache).where(self._cache.c.id == bindparam("row")).values(digest=bindparam("written"))
        self._lock_fresh, self._lock_solo = self._locked(is_solo=False), self._locked(is_solo=True)

    async def lanes(self) -> tuple[bool, bool]:
        """Whether a record is available in the fresh and in the solo lane; a cheap look that locks nothing.

        Raises Unavailable.
        """
        async with self._database.read() as connection:
            fresh, solo = tuple((await connection.execute(self._look)).one())
        return bool(fresh), bool(solo)

    async def lease(self, most: int, seconds: int, active: Collection[int], *, solo_first: bool) -> Lease | None:
        """Leases up to `most` records of active mappings, or one alone from the solo lane; None when there is none.

        Records of other mappings are held: they step out of the queue until `release_held`. Raises Unavailable.
        """
        lanes = [self._claim_fresh, self._claim_solo]
        if solo_first:
            lanes.insert(0, self._claim_solo)  # and once more at the end: the other lane may have moved some into it
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
        rows = (await connection.execute(self._lock_fresh, {"most": most})).all()
        is_full = len(rows) >= most
        held = await self._hold(connection, [row for row in rows if row.mapping_id not in active])
        rows = [row for row in rows if row.mapping_id in active]
        died = [row.id for row in rows if row.lease_token is not None]
        if died:
            await self._rows.change(connection, died, lease_solo=literal_column("1"), lease_token=null())
        fresh = [row for row in rows if row.lease_token is None]
        if not fresh:
            return Claim(None, bool(died) or held)
        lease = await self._take(connection, fresh, seconds, await self._owned(connection, fresh))
        return Claim(replace(lease, is_last=not (is_full or died)), False)

    async def _claim_solo(self, most: int, seconds: int, active: Collection[int], connection: AsyncConnection) -> Claim:
        row = (await connection.execute(self._lock_solo, {"most": 1})).first()
        if row is None:
            return Claim(None, False)
        if row.mapping_id not in active:
            await self._hold(connection, [row])
            return Claim(None, True)
        foreign = await self._owned(connection, [row])
        if foreign:
            return Claim(await self._take(connection, [row], seconds, foreign), False)
        if row.lease_token is None:
            return Claim(await self._take(connection, [row], seconds), False)
        crashes = row.crashes + 1
        if crashes >= MOST_CRASHES:
            await self._rows.change(
                connection,
                [row.id],
                sync_status=literal(Status.ERROR.value),
                error_reason=literal(RecordReason.CRASHED.value),
                error_field=literal(""),
                sync_error=literal(RecordReason.CRASHED.sentence),
                crashes=literal(crashes),
                lease_token=null(),
                lease_solo=literal_column("0"),
            )
            # Its mappers did not live to say it.
            await self._outbox.append(connection, self._entry_of_crash(leased(row, by_another=False)))
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
        await self._rows.change(
            connection,
            [row.id for row in rows],
            attempts=self._cache.c.attempts + literal_column("1"),
            lease_token=literal(token),
            available_at=literal(expires_at),
            lease_crc=self._rows.fingerprint(),
            **more,
        )
        return Lease(token, tuple(leased(row, by_another=row.id in foreign) for row in rows), expires_at, seconds)

    async def _owned(self, connection: AsyncConnection, rows: Sequence[Any]) -> set[int]:
        """Takes what another application wrote for a state, known by its digest; gives the rows with a new one."""
        foreign = [row for row in rows if is_foreign(row)]
        if foreign:
            await self._own(connection, foreign)
        numbers = {row.id for row in foreign}
        written = [row for row in rows if row.digest is None or row.id in numbers]
        if written:
            # Few, and only where another application writes: one statement for each is fine.
            digests = [{"row": row.id, "written": sha256(row.data_json.encode()).digest()} for row in written]
            await connection.execute(self._sign, digests)
        return numbers

    async def _own(self, connection: AsyncConnection, rows: Sequence[Any]) -> None:
        """Makes what the PHP application wrote over a row a state of its own, and keeps how ours ended."""
        ended = [
            {
                "delivery_id": row.delivery_id,
                "mapping_id": row.mapping_id,
                "external_id": row.external_id,
                "revision": row.revision,
                "ending": (Ending.SYNCED if was_synced(row) else Ending.SUPERSEDED).value,
                "ended_at": row.now,
            }
            for row in rows
            if row.delivery_id is not None
        ]
        if ended:
            await connection.execute(insert(self._endings), ended)
        await self._rows.change(
            connection,
            [row.id for row in rows],
            revision=self._cache.c.revision + literal_column("1"),
            attempts=literal_column("0"),
            # Nobody has died of this state yet.
            crashes=literal_column("0"),
            version_key=null(),
            delivery_id=null(),
            traceparent=null(),
        )

    async def _hold(self, connection: AsyncConnection, rows: Sequence[Any]) -> bool:
        if rows:
            await self._owned(connection, rows)  # while it can be told how the state before ended
            reason = literal(RecordReason.MAPPING_INACTIVE.value)
            await self._rows.change(
                connection,
                [row.id for row in rows],
                available_at=null(),
                lease_token=null(),
                lease_solo=literal_column("0"),
                # Switched on again, it is tried as if it had just come.
                attempts=literal_column("0"),
                error_reason=reason,
            )
        return bool(rows)

    async def release_held(self, active: Collection[int]) -> int:
        """Puts held records of active mappings back into the queue; gives of how many mappings. Raises Unavailable."""
        cache = self._cache
        held = (
            cache.c.sync_status == Status.PENDING.value,
            cache.c.available_at.is_(None),
            cache.c.error_reason == RecordReason.MAPPING_INACTIVE.value,
        )
        async with self._database.read() as connection:
            waiting = set(await connection.scalars(select(cache.c.mapping_id).where(*held).distinct()))
        mappings = sorted(waiting & set(active))
        if not mappings:
            return 0

        async def work(connection: AsyncConnection) -> None:
            now: datetime = (await connection.execute(select(self._rows.clock()))).scalar_one()
            await connection.execute(
                update(cache)
                .where(*held, cache.c.mapping_id.in_(mappings))
                .values(available_at=literal(now), error_reason=null())
            )

        await self._database.transaction(work)
        return len(mappings)

    async def extend(self, tokens: Sequence[str], seconds: int) -> list[str]:
        """Moves the end of leases that have not ended; gives the tokens of which nothing is left.

        Raises Unavailable.
        """
        cache = self._cache

        async def work(connection: AsyncConnection) -> list[str]:
            now: datetime = (await connection.execute(select(self._rows.clock()))).scalar_one()
            # In the near future lie leases, retries and what is replayed at a rate, nothing else: so this reads few
            # rows, and no index on the token has to be kept up with every claim.
            query = select(cache.c.id, cache.c.lease_token).where(
                cache.c.sync_status == Status.PENDING.value,
                cache.c.lease_solo.in_((False, True)),
                cache.c.available_at > literal(now),
                cache.c.available_at <= literal(now + _LONGEST_LEASE),
                cache.c.lease_token.in_(tokens),
            )
            rows = (await connection.execute(query.with_hint(cache, f"FORCE INDEX ({CLAIM_INDEX})", "mysql"))).all()
            if rows:
                until = literal(now + timedelta(seconds=seconds))
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
                cache.c.available_at <= self._rows.clock(),
            )
            .order_by(cache.c.available_at, cache.c.id)
            # The index is the order: a sort would lock every row that it reads, and the next claimer would get none.
            .with_hint(cache, f"FORCE INDEX ({CLAIM_INDEX})", "mysql")
        )

    def _locked(self, *, is_solo: bool) -> Select[Any]:
        columns = [self._cache.c[name] for name in CLAIMED_COLUMNS]
        return (
            self._available(is_solo)
            .with_only_columns(*columns, self._rows.clock().label("now"))
            .limit(bindparam("most", type_=Integer()))
            .with_for_update(skip_locked=True)
        )
