"""The SQL of what the spool knows: keys and marks of the deliveries in it, and the newest state of each record."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
from sqlalchemy import delete, or_, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_ingest.folding import DeliveryKey, Fold, ReplayKey
from intertie_ingest.model import CachedState, Delivery, Key, KnownDelivery, Status
from intertie_ingest.spool_tables import DELIVERIES, STATES

_MOST_VALUES = 500


class Known:
    """Reads and writes within the caller's transaction. What the database refuses is not among it."""

    async def keys(self, connection: AsyncConnection, group: Sequence[Delivery]) -> dict[DeliveryKey, KnownDelivery]:
        """The deliveries that have the keys of the group."""
        keys: dict[int, set[Any]] = defaultdict(set)
        for one in group:
            if one.delivery_key is not None:
                keys[one.system_id].add(one.delivery_key)
        return await self._of(connection, DELIVERIES.c.delivery_key, keys)

    async def replays(self, connection: AsyncConnection, group: Sequence[Delivery]) -> dict[ReplayKey, KnownDelivery]:
        """The deliveries that those of the group would be replays of."""
        marks: dict[int, set[Any]] = defaultdict(set)
        for one in group:
            if one.replay_mark is not None:
                marks[one.system_id].add(one.replay_mark)
        return await self._of(connection, DELIVERIES.c.replay_mark, marks)

    async def _of(self, connection: AsyncConnection, column: Any, asked: Mapping[int, set[Any]]) -> dict[Any, Any]:
        """The first delivery of each system with each of these values of the column; routed if a later one is."""
        found: dict[Any, KnownDelivery] = {}
        table = DELIVERIES.c
        for system, values in asked.items():
            for some in parts(values):
                query = (
                    select(
                        column.label("value"),
                        table.answered_id,
                        table.digest,
                        table.is_array,
                        table.answered_external_ids,
                        table.is_unrouted,
                    )
                    .where(table.system_id == system, column.in_(some), table.refused.is_(None))
                    .order_by(table.id)
                )
                for row in await connection.execute(query):
                    first = found.get((system, row.value))
                    if first is None:
                        found[system, row.value] = KnownDelivery(
                            row.answered_id,
                            bytes(row.digest),
                            bool(row.is_array),
                            tuple(orjson.loads(row.answered_external_ids)),
                            bool(row.is_unrouted),
                        )
                    elif not row.is_unrouted:
                        found[system, row.value] = replace(first, is_unrouted=False)
        return found

    async def states(self, connection: AsyncConnection, group: Sequence[Delivery]) -> dict[Key, CachedState]:
        """The newest states of the group's records."""
        keys: dict[str, Key] = {}
        for one in group:
            for record in one.records:
                key = (one.system_id, record.mapping_id, record.external_id)
                keys[_place(key)] = key
        found: dict[Key, CachedState] = {}
        for some in parts(keys):
            for row in await connection.execute(select(STATES).where(STATES.c.place.in_(some))):
                state = CachedState(0, 1, row.version_key, bytes(row.digest), row.delivery_id, Status.PENDING)
                found[keys[row.place]] = state
        return found

    async def put(self, connection: AsyncConnection, folded: Fold) -> None:
        """Remembers the states that a group brings."""
        rows = [
            {
                "place": _place(key),
                "digest": state.record.digest,
                "version_key": state.version_key,
                "delivery_id": state.delivery_id,
            }
            for key, state in folded.states.items()
        ]
        if rows:
            change = sqlite.insert(STATES)
            newer = {name: change.excluded[name] for name in ("digest", "version_key", "delivery_id")}
            await connection.execute(change.on_conflict_do_update(index_elements=["place"], set_=newer), rows)

    async def forget(self, connection: AsyncConnection, ids: Sequence[int]) -> None:
        """Forgets the states that these deliveries brought: what comes next is compared by the database."""
        theirs = select(DELIVERIES.c.delivery_id).where(DELIVERIES.c.id.in_(ids))
        answered = select(DELIVERIES.c.answered_id).where(DELIVERIES.c.id.in_(ids))
        gone = or_(STATES.c.delivery_id.in_(theirs), STATES.c.delivery_id.in_(answered))
        await connection.execute(delete(STATES).where(gone))


def parts(values: Iterable[Any]) -> Iterator[list[Any]]:
    """The values, in order, in lists of a length that a statement takes."""
    ordered = sorted(values)
    for start in range(0, len(ordered), _MOST_VALUES):
        yield ordered[start : start + _MOST_VALUES]


def _place(key: Key) -> str:
    return orjson.dumps(key).decode()
