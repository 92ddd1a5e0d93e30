"""The only SQL that changes the log: payloads that have expired become NULL, a few rows at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, exc, null, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_audit.migrations.chain_tables import ChainTables
from intertie_audit.tables import query_logs
from intertie_chassis.database import Database
from intertie_chassis.database_errors import is_denied
from intertie_chassis.errors import PermissionDenied

MOST_ROWS = 500
"""Rows of one look."""
MOST_DROPPED = 100
"""Rows of one transaction: their payloads may have 512 KB each, and a database writes what it drops into its log."""

_AGE_INDEX = "intertie_created_at"


@dataclass(frozen=True, slots=True)
class AgedEntry:
    """A row of the log, of some age."""

    created_at: datetime
    id: int
    has_payload: bool


class RetentionStore:
    """Where payloads are dropped. Every method raises Unavailable when the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._logs = query_logs(database.table_prefix)
        self._chain = ChainTables(database.table_prefix).chain

    async def aged(self, before: datetime, after: AgedEntry | None) -> list[AgedEntry]:
        """The next entries from before a time (naive, UTC), the oldest first; at most MOST_ROWS."""
        async with self._database.read() as connection:
            rows = (await connection.execute(self.aging(before, after))).all()
        return [AgedEntry(row.created_at, row.id, bool(row.has_payload)) for row in rows]

    def aging(self, before: datetime, after: AgedEntry | None) -> Select[Any]:
        """What `aged` asks; a test looks at how the databases answer it."""
        logs = self._logs.c
        query = select(logs.created_at, logs.id, self._has_payload().label("has_payload"))
        query = query.where(logs.created_at < before)
        if after is not None:
            behind = and_(logs.created_at == after.created_at, logs.id > after.id)
            query = query.where(logs.created_at >= after.created_at, or_(logs.created_at > after.created_at, behind))
        # Without the hint a server may read, and sort, all that is old.
        query = query.with_hint(self._logs, f"FORCE INDEX ({_AGE_INDEX})", "mysql")
        return query.order_by(logs.created_at, logs.id).limit(MOST_ROWS)

    async def sealed(self, ids: Sequence[int], up_to: int) -> set[int]:
        """Those of these rows that a link of their own seals, at a place up to this one."""
        chain = self._chain.c
        query = select(chain.entry_id).where(chain.entry_id.in_(sorted(ids)), chain.sequence <= up_to)
        async with self._database.read() as connection:
            return set((await connection.scalars(query)).all())

    async def drop_payloads(self, ids: Sequence[int]) -> int:
        """Drops the payloads of these rows, all else of them stays; gives how many had any.

        Raises PermissionDenied when the database's account may not.
        """
        logs = self._logs
        statement = (
            update(logs)
            .where(logs.c.id.in_(sorted(ids)), self._has_payload())
            .values(request_payload=null(), response_payload=null())
        )

        async def work(connection: AsyncConnection) -> int:
            return int((await connection.execute(statement)).rowcount)

        try:
            return await self._database.transaction(work)
        except exc.DBAPIError as error:
            if not is_denied(error):
                raise
            raise PermissionDenied(
                f"the account may not drop payloads: GRANT UPDATE (request_payload, response_payload) ON {logs.name} "
                "mends it, or INTERTIE_AUDIT_PAYLOAD_DAYS=0"
            ) from error

    def _has_payload(self) -> Any:
        return or_(self._logs.c.request_payload.is_not(None), self._logs.c.response_payload.is_not(None))
