"""Entries of queries on their way to the audit log: messages in ingest's outbox."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.database import Database
from intertie_chassis.outbox import Outbox
from intertie_ingest.tables import Tables


class JournalStore:
    """Writes them."""

    def __init__(self, database: Database, tables: Tables, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox
        self._looked_at = select(tables.outbox.c.id).limit(1)

    async def append(self, message: bytes) -> None:
        """Commits a message. Raises Unavailable."""

        async def work(connection: AsyncConnection) -> None:
            await self._outbox.append(connection, message)

        await self._database.transaction(work)
        self._outbox.wake()

    async def look(self) -> None:
        """Raises Unavailable when the store is away."""
        async with self._database.read() as connection:
            await connection.execute(self._looked_at)
