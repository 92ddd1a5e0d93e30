"""Settles records that are all synced by one statement, which also finds out whether each settlement holds.

Nearly every settlement is of that kind. The other way (`settlement_store`) reads and locks the rows first, which costs
the database more than writing them.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import DateTime, bindparam, func, literal_column, null, or_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.clock import utc_now
from intertie_chassis.many_rows import ManyRows
from intertie_ingest.cache_store import CacheRows
from intertie_ingest.lease_model import Settlement
from intertie_ingest.model import Status


class NotAllHeld(Exception):
    """Of some record the settlement does not hold; what was written must be rolled back."""


class SyncedRows:
    """Rows of the cache that mapper has landed."""

    def __init__(self, rows: CacheRows) -> None:
        self._is_mysql = rows.is_mysql
        cache = rows.table
        now: Any = rows.clock() if rows.is_mysql else bindparam("now", type_=DateTime())
        self._write = ManyRows(
            update(cache)
            .where(
                cache.c.id == bindparam("row"),
                cache.c.lease_token == bindparam("token"),
                cache.c.revision == bindparam("held_revision"),
                or_(cache.c.lease_crc.is_(None), cache.c.lease_crc == rows.fingerprint()),
            )
            .values(
                sync_status=literal_column(f"'{Status.SYNCED.value}'"),
                local_id=bindparam("local_id"),
                local_key=bindparam("local_key"),
                last_synced_at=func.now() if rows.is_mysql else bindparam("synced_at", type_=DateTime()),
                available_at=now,
                **{name: literal_column("0") for name in ("crashes", "lease_solo")},
                **{name: null() for name in _FREED},
                **rows.touched(),
            )
        )

    async def settle(self, connection: AsyncConnection, token: str, settlements: Sequence[Settlement]) -> None:
        """Writes the settlements of different records. Raises NotAllHeld."""
        rows: list[dict[str, Any]] = [
            {
                "row": one.id,
                "token": token,
                "held_revision": one.revision,
                "local_id": one.local_id,
                "local_key": one.local_key,
            }
            # In the order of their numbers, as all who lock more than one of them.
            for one in sorted(settlements, key=_number)
        ]
        if not self._is_mysql:
            now = utc_now()
            times = {"now": now, "synced_at": now.replace(microsecond=0)}
            rows = [row | times for row in rows]
        if await self._write.execute(connection, rows) != len(rows):
            raise NotAllHeld


def _number(settlement: Settlement) -> int:
    return settlement.id


_FREED = ("sync_error", "error_reason", "error_field", "lease_token", "lease_crc")
