"""The SQL that tells how far the chain is behind the log: by the numbers of rows, along their keys."""

from dataclasses import dataclass

from sqlalchemy import func, select

from intertie_audit.migrations.chain_tables import ChainTables
from intertie_audit.tables import query_logs
from intertie_chassis.database import Database
from intertie_chassis.metrics import MOST_COUNTED


@dataclass(frozen=True, slots=True)
class Unsealed:
    """How far the chain is behind the log."""

    #: the highest number of a row in the log; 0: none
    newest: int
    #: the highest number of one that has a link
    sealed: int
    #: rows behind that, up to `MOST_COUNTED`
    entries: int


class UnsealedStore:
    """The log beside its chain."""

    def __init__(self, database: Database) -> None:
        self._database = database
        logs, tables = query_logs(database.table_prefix).c, ChainTables(database.table_prefix)
        self._id = logs.id
        self._newest = select(func.max(logs.id))
        self._sealed = select(func.max(tables.chain.c.entry_id))
        self._found = select(func.max(tables.origin.c.found_up_to))

    async def read(self) -> Unsealed:
        """How far it is. Raises Unavailable."""
        async with self._database.read() as connection:
            newest, sealed, found = [
                int(await connection.scalar(query) or 0) for query in (self._newest, self._sealed, self._found)
            ]
            # What was there before the chain is sealed in blocks, whose links bear no row's number.
            sealed = max(sealed, found)
            behind = select(self._id).where(self._id > sealed).limit(MOST_COUNTED).subquery()
            entries = int(await connection.scalar(select(func.count()).select_from(behind)) or 0)
        return Unsealed(newest, sealed, entries)
