"""The SQL of how deliveries stand: what became of their records, derived from the cache and from the endings."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_ingest.model import ENDING_OF_STATUS, Ending, Fault, RecordReason, Reference, Route, Status
from intertie_ingest.shown_model import RecordState, StoredDelivery
from intertie_ingest.tables import Tables

_MOST_KEYS = 500
_REMOVED = Fault(RecordReason.RECORD_REMOVED.value, "", RecordReason.RECORD_REMOVED.sentence)


class Standings:
    """Tells how deliveries stand."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        table = tables.deliveries
        #: what a delivery is read by, without its body
        self.columns: list[Any] = [column for column in table.columns if column.name != "body"]
        self.columns.append(table.c.body.is_(None).label("is_body_expired"))

    async def of(self, connection: AsyncConnection, rows: Sequence[Any]) -> list[StoredDelivery]:
        """Each delivery with how its records stand: as the cache while it holds their state, else as they ended.

        The rows have `columns`, and `body` where it is wanted.
        """
        places = {row.delivery_id: [Reference(*place) for place in orjson.loads(row.records)] for row in rows}
        keys = {
            (row.system_id, place.mapping_id, place.external_id) for row in rows for place in places[row.delivery_id]
        }
        live = await self._live(connection, sorted(keys))
        ended: dict[tuple[str, Reference], RecordState] = {}
        ids = [row.delivery_id for row in rows]
        if ids:
            endings = self._tables.endings
            query = select(endings).where(endings.c.delivery_id.in_(ids)).order_by(endings.c.id)
            for row in await connection.execute(query):
                place = Reference(row.mapping_id, row.external_id, row.revision)
                fault = Fault(row.reason, row.field or "", row.message or "") if row.reason else None
                ended[row.delivery_id, place] = RecordState(
                    place, Ending(row.ending), fault, row.superseded_by, is_over=True, ended_at=row.ended_at
                )
        return [
            StoredDelivery(
                row.delivery_id,
                row.system_id,
                Route(row.route),
                row.delivery_key,
                bytes(row.digest),
                row.size,
                row.content_type,
                row.source,
                row.received_at,
                bytes(body) if (body := row._mapping.get("body")) is not None else None,
                tuple(
                    ended.get((row.delivery_id, place))
                    or _standing(place, live.get((row.system_id, place.mapping_id, place.external_id)))
                    for place in places[row.delivery_id]
                ),
                bool(row.is_body_expired),
            )
            for row in rows
        ]

    async def _live(
        self, connection: AsyncConnection, keys: Sequence[tuple[int, int, str]]
    ) -> dict[tuple[int, int, str], Any]:
        cache = self._tables.cache.c
        found: dict[tuple[int, int, str], Any] = {}
        for start in range(0, len(keys), _MOST_KEYS):
            grouped: dict[tuple[int, int], list[str]] = defaultdict(list)
            for system, mapping, external_id in keys[start : start + _MOST_KEYS]:
                grouped[system, mapping].append(external_id)
            asked = [
                and_(cache.system_id == system, cache.mapping_id == mapping, cache.external_id.in_(external_ids))
                for (system, mapping), external_ids in grouped.items()
            ]
            query = select(
                cache.system_id,
                cache.mapping_id,
                cache.external_id,
                cache.revision,
                cache.sync_status,
                cache.delivery_id,
                cache.error_reason,
                cache.error_field,
                cache.sync_error,
            ).where(or_(*asked))
            for row in (await connection.execute(query)).all():
                found[row.system_id, row.mapping_id, row.external_id] = row
        return found


def _standing(place: Reference, row: Any) -> RecordState:
    if row is None:
        return RecordState(place, Ending.SET_ASIDE, _REMOVED, is_over=True)
    if row.revision != place.revision:
        return RecordState(place, Ending.SUPERSEDED, None, row.delivery_id, is_over=True)
    ending = ENDING_OF_STATUS[Status(row.sync_status)]
    fault = None
    if ending in (Ending.SET_ASIDE, Ending.SUPERSEDED):
        fault = Fault(row.error_reason or "", row.error_field or "", row.sync_error or "")
    return RecordState(place, ending, fault)
