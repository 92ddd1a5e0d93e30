"""The SQL of reading the cache as modules do: what is synced and has not expired, in the order of its keys.

By key, never by time or OFFSET: a record that changes while somebody reads stays where it is, so none is missed or met
twice. Each read is short, of so many rows that their data stays near 1 MiB, whatever the cache holds.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, case, null, or_, select

from intertie_chassis.clock import utc_now
from intertie_chassis.database import Database
from intertie_ingest.browse_store import stored_record
from intertie_ingest.model import Status
from intertie_ingest.shown_model import CachePosition, StoredRecord
from intertie_ingest.tables import Tables

_FIRST_ROWS = 16
_MOST_ROWS = 500
_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class CacheFilter:
    """Which records of a system; what is None does not narrow."""

    system_id: int
    mapping_ids: tuple[int, ...] | None = None
    external_id: str | None = None


class CacheWalk:
    """Reads the cache from a place on."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        self._cache = tables.cache

    async def batches(
        self, wanted: CacheFilter, after: CachePosition | None = None
    ) -> AsyncIterator[list[StoredRecord]]:
        """The records behind the place, some at a time, none of them empty. Raises Unavailable."""
        rows = _FIRST_ROWS
        while True:
            found, after, is_last = await self._read(wanted, after, rows)
            if found:
                yield found
            if is_last:
                return
            size = sum(len(record.data_json) for record in found)
            rows = min(_MOST_ROWS, 4 * rows, max(1, _BYTES * len(found) // size) if size else _MOST_ROWS)

    async def page(
        self, wanted: CacheFilter, after: CachePosition | None, size: int, most_bytes: int
    ) -> tuple[list[StoredRecord], CachePosition | None]:
        """At most so many records with at most so much data (but one at least), and where the next page begins.

        None when there is no next page. Raises Unavailable.
        """
        page: list[StoredRecord] = []
        held = 0
        async for batch in self.batches(wanted, after):
            for record in batch:
                held += len(record.data_json)
                if page and (len(page) == size or held > most_bytes):
                    return page, _place(page[-1])
                page.append(record)
        return page, None

    async def _read(
        self, wanted: CacheFilter, after: CachePosition | None, rows: int
    ) -> tuple[list[StoredRecord], CachePosition | None, bool]:
        """What is to be seen of the next rows, the last one's place, and whether there are no more.

        What decides whether a row is seen stands in no WHERE: else one read might look at a million rows, or the
        database might choose an index that gives another order.
        """
        cache = self._cache.c
        seen: ColumnElement[bool] = and_(
            cache.sync_status == Status.SYNCED.value, or_(cache.expires_at.is_(None), cache.expires_at > utc_now())
        )
        others = [column for column in cache if column.name != "data_json"]
        query = (
            select(*others, case((seen, cache.data_json), else_=null()).label("data_json"))
            .where(cache.system_id == wanted.system_id)
            .order_by(cache.external_id, cache.mapping_id)
            .limit(rows)
        )
        if wanted.mapping_ids is not None:
            query = query.where(cache.mapping_id.in_(sorted(wanted.mapping_ids)))
        if wanted.external_id is not None:
            query = query.where(cache.external_id == wanted.external_id)
        if after is not None:
            query = query.where(
                cache.external_id >= after.external_id,
                or_(cache.external_id > after.external_id, cache.mapping_id > after.mapping_id),
            )
        async with self._database.read() as connection:
            read: Sequence[Any] = (await connection.execute(query)).all()
        place = CachePosition(read[-1].external_id, read[-1].mapping_id) if read else after
        return [stored_record(row) for row in read if row.data_json is not None], place, len(read) < rows


def _place(record: StoredRecord) -> CachePosition:
    return CachePosition(record.external_id, record.mapping_id)
