"""The commit of a group of deliveries: a fixed number of statements in one transaction, however large the group is."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import orjson
from sqlalchemy import and_, exc, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis import database_errors
from intertie_chassis.database import Database
from intertie_chassis.many_rows import ManyRows, Write, execute_all
from intertie_chassis.mysql import LockWait
from intertie_chassis.outbox import Outbox
from intertie_ingest.cache_store import NearClock
from intertie_ingest.folding import DeliveryKey, Fold, NewDelivery, fold
from intertie_ingest.model import Delivery, KnownDelivery
from intertie_ingest.replay_store import Replays
from intertie_ingest.reservations import Reservations
from intertie_ingest.state_store import States, lease_row, refusal, state_row
from intertie_ingest.tables import Tables

_LONGEST_ROW_WAIT = 5
_NEW_GROUPS = 8
"""So many groups must have been all new behind one that was not: where known records are frequent a try in vain costs
more than it saves."""


def lock_wait(commit_seconds: float, timeout: float | None = None) -> LockWait:
    """How long a commit waits for what others hold. Whoever holds a row is in the way of its groups alone: that must
    not look as if the database did not answer, as a lock on everything must.
    """
    rows = max(1, min(_LONGEST_ROW_WAIT, int(commit_seconds / 2)))
    return LockWait(rows=rows, tables=int(timeout or commit_seconds) + 2)


class _Lease(NamedTuple):
    """Under which records are written."""

    token: str
    place: datetime
    """When it ends for the first of them; each that follows has a microsecond more, which keeps their order."""


class _Novelty:
    """Whether a group is likely to be all new, as those before it were: then it is written without being asked for
    first, which is a third of its round trips. What is known all the same the unique keys tell, and it is asked for.
    """

    def __init__(self) -> None:
        self._in_a_row = _NEW_GROUPS

    @property
    def is_likely(self) -> bool:
        return self._in_a_row >= _NEW_GROUPS

    def note(self, has_known: bool) -> None:
        """Says whether a group that was asked for had something known."""
        self._in_a_row = 0 if has_known else self._in_a_row + 1


class Store:
    """Where deliveries are kept."""

    def __init__(
        self,
        database: Database,
        tables: Tables,
        outbox: Outbox,
        commit_seconds: float = 4.0,
        reservations: Reservations | None = None,
    ) -> None:
        """`commit_seconds`: senders wait, so a group has less time than other transactions. `reservations` leases what
        is written while somebody waits for it.
        """
        self._database = database
        self._is_mysql = database.dialect == "mysql"
        self._reservations = reservations
        self._commit_seconds = commit_seconds
        self._tables = tables
        self._outbox = outbox
        self._clock = NearClock(database)
        self._states = States(database, tables)
        self._replays = Replays(tables)
        self._novelty = _Novelty()
        self._insert_deliveries = ManyRows(insert(tables.deliveries), [c.name for c in tables.deliveries.columns])

    async def commit(
        self, group: Sequence[Delivery], entries: Callable[[Fold], bytes | None], *, seconds: float | None = None
    ) -> Fold:
        """Writes a group whole or not at all; `entries` makes the audit's message of what the group came to. `seconds`:
        how long it may take, where no sender waits.

        Raises Clash when another process wrote the same record or key first (nothing is written; commit again), Refused
        when the database refuses a value, StoreBusy when others hold a row of it for longer than half of
        `commit_seconds` (nothing is written), Unavailable when it is away.
        """
        now = await self._clock.now()
        records = sum(len(delivery.records) for delivery in group)
        gathering = (
            None
            if self._reservations is None
            else self._reservations.gathering(records, now, seconds or self._commit_seconds)
        )
        if gathering is None:
            return await self._commit(group, entries, now, None, seconds)
        with gathering.joined(records) as place:
            return await self._commit(group, entries, now, _Lease(gathering.token, place), seconds)

    async def _commit(
        self,
        group: Sequence[Delivery],
        entries: Callable[[Fold], bytes | None],
        now: datetime,
        lease: _Lease | None,
        seconds: float | None,
    ) -> Fold:
        async def work(connection: AsyncConnection) -> Fold:
            if is_trusted:
                folded = fold(group, {}, {})
            else:
                known = await self._known(connection, group)
                keys = {(one.system_id, item.mapping_id, item.external_id) for one in group for item in one.records}
                cached = await self._states.cached(connection, keys)
                folded = fold(group, known, cached, await self._replays.of(connection, group))
                self._novelty.note(bool(cached))
            await self._write(connection, folded, entries(folded), now, lease)
            return folded

        timeout = seconds or self._commit_seconds
        wait = lock_wait(self._commit_seconds, timeout)
        # An id of its own may have come before whatever its records are.
        has_ids = any(one.delivery_key is not None or one.replay_mark is not None for one in group)
        is_trusted = not has_ids and self._novelty.is_likely
        while True:
            try:
                return await self._database.transaction(work, timeout=timeout, lock_wait=wait)
            except exc.SQLAlchemyError as error:
                if not (is_trusted and database_errors.is_duplicate_key(error)):
                    raise refusal(error) from error
            is_trusted = False
            self._novelty.note(True)

    async def stored(self, delivery_ids: Sequence[str]) -> set[str]:
        """Those of the ids whose deliveries are committed. Raises Unavailable."""
        found = self._tables.deliveries.c.delivery_id
        try:
            async with self._database.read() as connection:
                return set(await connection.scalars(select(found).where(found.in_(sorted(delivery_ids)))))
        except exc.SQLAlchemyError as error:
            raise refusal(error) from error

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

    async def _write(
        self, connection: AsyncConnection, folded: Fold, message: bytes | None, now: datetime, lease: _Lease | None
    ) -> None:
        if folded.rerouted:
            await self._reroute(connection, folded.rerouted)
        states = [
            (state.id, state_row(key, state, now, index, is_released=state.record.is_released))
            for index, (key, state) in enumerate(folded.states.items())
        ]
        if lease is not None:
            for index, state in enumerate(folded.states.values()):
                if state.is_released:
                    ends_at = lease.place + timedelta(microseconds=index)
                    lease_row(states[index][1], lease.token, ends_at, is_mysql=self._is_mysql)
            folded.leased = folded.released
        writes: list[Write] = [
            (self._insert_deliveries, [_delivery_row(new) for new in folded.deliveries]),
            self._replays.add(folded.replays),
            *self._states.writes(states),
            self._states.ends(folded.endings, now),
        ]
        if message is not None:
            writes.append(self._outbox.message(message))
        await execute_all(connection, writes)

    async def _reroute(self, connection: AsyncConnection, rerouted: Iterable[NewDelivery]) -> None:
        """Rare, since it needs a repetition after a change of the mappings: one statement for each is fine."""
        table = self._tables.deliveries
        for new in rerouted:
            # What is pending has its body: one that has expired comes back, the same bytes by their digest.
            body = func.coalesce(table.c.body, new.delivery.body)
            await connection.execute(
                update(table)
                .where(table.c.delivery_id == new.delivery.delivery_id)
                .values(records=_references(new), body=body)
            )


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
