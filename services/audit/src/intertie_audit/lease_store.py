"""Who seals: one process at a time, by an advisory lock of the MySQL server; an SQLite file has one audit process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.database import Database
from intertie_chassis.errors import Unavailable

SEALER = "audit_sealer"
RETENTION = "audit_retention"
_ASK_SECONDS = 10.0


class Lease:
    """The right to seal, or to other work of one process, for as long as `held` is entered."""

    def __init__(self, database: Database, name: str = SEALER) -> None:
        """`name`: of the right, which other work than sealing may have, too."""
        self._database = database
        self._name = name
        self._connection: AsyncConnection | None = None
        self._asked_at = 0.0

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Holds it. Raises Unavailable when another process has it, or the store is away."""
        if self._database.dialect == "sqlite":
            yield
            return
        async with self._database.exclusive(self._name, wait=0) as connection:
            self._connection = connection
            try:
                yield
            finally:
                self._connection = None

    async def keep(self) -> None:
        """Shows the server that the session lives, now and then. Raises Unavailable when it has ended."""
        now = asyncio.get_running_loop().time()
        if self._connection is None or now - self._asked_at < _ASK_SECONDS:
            return
        self._asked_at = now
        try:
            await self._connection.execute(text("SELECT 1"))
        except exc.SQLAlchemyError as error:
            raise Unavailable("the session that held this right has ended", retry_after=1) from error
