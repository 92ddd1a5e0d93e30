"""The SQL of settlements: what became of leased records, fenced by their lease."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, literal, literal_column, null, select, update
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.database import Database
from intertie_chassis.many_rows import ManyRows
from intertie_ingest.cache_store import CacheRows
from intertie_ingest.lease_model import Outcome, Settlement
from intertie_ingest.model import Status
from intertie_ingest.synced_store import NotAllHeld, SyncedRows
from intertie_ingest.tables import Tables


class SettlementStore:
    """Where leased records are taken back."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        self._rows = CacheRows(database, tables)
        cache = self._rows.table
        self._read = (
            select(
                *(cache.c[name] for name in _SETTLED_COLUMNS),
                cache.c.lease_crc.is_(None).label("is_unsure"),
                (cache.c.lease_crc == self._rows.fingerprint()).label("is_unchanged"),
                self._rows.clock().label("now"),
            )
            .where(cache.c.id.in_(bindparam("ids", expanding=True)), cache.c.lease_token == bindparam("token"))
            .order_by(cache.c.id)
            .with_for_update()
        )
        self._write = self._settling()
        self._synced = SyncedRows(self._rows)

    async def settle(self, token: str, settlements: Sequence[Settlement]) -> list[int]:
        """Writes what became of leased records; gives the numbers of those whose settlement did not hold.

        It does not hold when the lease has passed to another, the record has a newer state, or its data was changed
        under the lease (as the PHP application may): then the record is pending and available. Raises Unavailable.
        """
        by_id = {settlement.id: settlement for settlement in settlements}
        if not by_id:
            return []
        if await self._all_synced(token, list(by_id.values())):
            return []

        async def work(connection: AsyncConnection) -> list[int]:
            rows = (await connection.execute(self._read, {"ids": sorted(by_id), "token": token})).all()
            rows = [row for row in rows if row.revision == by_id[row.id].revision]
            held = [row for row in rows if row.is_unsure or row.is_unchanged]
            changed = [row.id for row in rows if not (row.is_unsure or row.is_unchanged)]
            if held:
                await self._write.execute(connection, [self._settled(row, by_id[row.id]) for row in held])
            if changed:
                now = literal(rows[0].now)
                await self._rows.change(
                    connection, changed, available_at=now, lease_token=null(), attempts=literal_column("0")
                )
            return sorted(set(by_id) - {row.id for row in held})

        return await self._database.transaction(work)

    async def _all_synced(self, token: str, settlements: Sequence[Settlement]) -> bool:
        """Whether all are synced and held, and so are settled; otherwise nothing is written."""
        if any(settlement.outcome is not Outcome.SYNCED for settlement in settlements):
            return False
        if self._rows.is_mysql and not self._database.is_mariadb:
            return False  # MySQL takes a changed row at a time: a round trip for each
        try:
            await self._database.transaction(lambda connection: self._synced.settle(connection, token, settlements))
        except NotAllHeld:
            return False
        return True

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
        # What was not tried stays where it was: the claim's attempt is given back, and a suspect remains alone.
        untried = settlement.is_untried
        values["attempts"] = max(row.attempts - 1, 0) if untried else row.attempts
        values["lease_solo"] = row.lease_solo if untried else False
        values["crashes"] = row.crashes if untried else 0
        if self._rows.is_mysql:
            # Required of an INSERT; the row is there and locked, so none of them is ever written.
            return {"id": row.id, "system_id": 0, "mapping_id": 0, "external_id": "", "data_json": "{}", **values}
        return {"row": row.id, **values}

    def _settling(self) -> ManyRows:
        cache = self._rows.table
        freed = {"lease_token": "NULL", "lease_crc": "NULL"}
        constants: dict[str, Any] = {name: literal_column(value) for name, value in freed.items()}
        if self._rows.is_mysql:
            rows: Any = mysql.insert(cache)
            rows = rows.on_duplicate_key_update(
                **{name: rows.inserted[name] for name in _SETTLEMENT_COLUMNS}, **constants
            )
            return ManyRows(rows, [*_REQUIRED_COLUMNS, *_SETTLEMENT_COLUMNS])
        return ManyRows(
            update(cache)
            .where(cache.c.id == bindparam("row"))
            .values({name: bindparam(name) for name in _SETTLEMENT_COLUMNS} | constants | self._rows.touched())
        )


_SETTLED_COLUMNS = [
    "id",
    "revision",
    "local_id",
    "local_key",
    "last_synced_at",
    "attempts",
    "lease_solo",
    "crashes",
]
_REQUIRED_COLUMNS = ["id", "system_id", "mapping_id", "external_id", "data_json"]
_SETTLEMENT_COLUMNS = [
    "sync_status",
    "local_id",
    "local_key",
    "last_synced_at",
    "sync_error",
    "error_reason",
    "error_field",
    "available_at",
    "attempts",
    "lease_solo",
    "crashes",
]
_STATUS = {
    Outcome.SYNCED: Status.SYNCED,
    Outcome.RETRY: Status.PENDING,
    Outcome.SET_ASIDE: Status.ERROR,
    Outcome.SUPERSEDED: Status.OUTDATED,
}
