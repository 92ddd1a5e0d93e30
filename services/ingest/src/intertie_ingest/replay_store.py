"""The SQL of what was signed without an id: of which delivery it is a replay when it comes again."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import and_, delete, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.many_rows import ManyRows, Write
from intertie_ingest.folding import ReplayKey
from intertie_ingest.model import Delivery, KnownDelivery
from intertie_ingest.tables import Tables


class Replays:
    """Reads and writes within the caller's transaction; asks nothing for deliveries that carry an id of their own."""

    def __init__(self, tables: Tables) -> None:
        self._table = tables.replays
        self._deliveries = tables.deliveries
        self._insert = ManyRows(insert(tables.replays), [column.name for column in tables.replays.columns])

    async def of(self, connection: AsyncConnection, group: Sequence[Delivery]) -> dict[ReplayKey, KnownDelivery]:
        """The deliveries that deliveries of the group would be replays of, in one statement."""
        marks: dict[int, set[bytes]] = defaultdict(set)
        for delivery in group:
            if delivery.replay_mark is not None:
                marks[delivery.system_id].add(delivery.replay_mark)
        if not marks:
            return {}
        table, deliveries = self._table.c, self._deliveries.c
        asked = [
            and_(table.system_id == system, table.mark.in_(sorted(wanted))) for system, wanted in sorted(marks.items())
        ]
        query = (
            select(
                table.system_id,
                table.mark,
                table.delivery_id,
                deliveries.digest,
                deliveries.is_array,
                deliveries.external_ids,
                deliveries.records,
            )
            .join_from(self._table, self._deliveries, deliveries.delivery_id == table.delivery_id, isouter=True)
            .where(or_(*asked))
        )
        rows = (await connection.execute(query)).all()
        return {(row.system_id, bytes(row.mark)): _known(row) for row in rows}

    def add(self, replays: Mapping[ReplayKey, str]) -> Write:
        """What remembers marks, which are not known yet."""
        return self._insert, [
            {"system_id": system, "mark": mark, "delivery_id": delivery_id}
            # In the order of the key, so that two groups never wait for each other in a circle.
            for (system, mark), delivery_id in sorted(replays.items())
        ]

    async def forget(self, connection: AsyncConnection, delivery_ids: Sequence[str]) -> None:
        """Forgets the marks of deliveries that are forgotten."""
        await connection.execute(delete(self._table).where(self._table.c.delivery_id.in_(sorted(delivery_ids))))


def _known(row: Any) -> KnownDelivery:
    if row.digest is None:
        # Somebody has deleted the delivery: what was signed is a replay all the same.
        return KnownDelivery(row.delivery_id, b"", False, (), False)
    return KnownDelivery(
        row.delivery_id,
        bytes(row.digest),
        bool(row.is_array),
        tuple(orjson.loads(row.external_ids)),
        row.records == "[]",
    )
