"""What the stores of the cache share: the database's clock, a fingerprint of the data, and changes by row number."""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import DateTime, bindparam, func, literal_column, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.clock import utc_now
from intertie_chassis.database import Database
from intertie_ingest.tables import Tables

_CLOCK_SECONDS = 10.0
_CLOCK_MARGIN = timedelta(milliseconds=50)


def database_clock(is_mysql: bool) -> Any:
    """The database's own time, as an expression: workers' clocks decide nothing."""
    if is_mysql:
        return func.now(literal_column("6"))
    # Read when the statement runs, so that a statement can be made once.
    return bindparam("now", callable_=utc_now, type_=DateTime(), unique=True)


class CacheRows:
    """The rows of the cache, on either kind of database."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self.table = tables.cache
        self.is_mysql = database.dialect == "mysql"

    def clock(self) -> Any:
        """The database's own time, as an expression."""
        return database_clock(self.is_mysql)

    def fingerprint(self) -> Any:
        """Of the data, as an expression: tells whether it was changed under a lease; SQLite has none."""
        return func.crc32(self.table.c.data_json) if self.is_mysql else null()

    def touched(self) -> dict[str, Any]:
        """What an UPDATE must say so that `updated_at` follows; MySQL does it by itself."""
        return {} if self.is_mysql else {"updated_at": literal_column("CURRENT_TIMESTAMP")}

    async def change(self, connection: AsyncConnection, ids: Sequence[int], **values: Any) -> None:
        """Gives these columns of these rows the same values, in one statement and in the order of their numbers."""
        statement = update(self.table).where(self.table.c.id.in_(sorted(ids))).values(values | self.touched())
        await connection.execute(statement)


class NearClock:
    """The database's clock, asked now and then only."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._offset = timedelta()
        self._until = 0.0

    async def now(self) -> datetime:
        """The database's time, a little earlier: a record released ahead of the claim's clock would wait for a poll."""
        if self._database.dialect == "sqlite":
            return utc_now()
        if time.monotonic() > self._until:
            async with self._database.read() as connection:
                theirs = await connection.scalar(select(func.now(literal_column("6"))))
            if isinstance(theirs, datetime):
                self._offset = theirs - utc_now()
                self._until = time.monotonic() + _CLOCK_SECONDS
        return utc_now() + self._offset - _CLOCK_MARGIN
