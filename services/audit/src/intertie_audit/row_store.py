"""Rows of the log as the chain has them: canonical bytes, digests of payloads, and whether a link seals them."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import TextClause, exc, func, select, text

from intertie_audit import projection_store
from intertie_audit.migrations.chain_tables import ChainTables
from intertie_audit.tables import query_logs
from intertie_chassis.database import Database

_SPAN = 10_000


class LogRow(NamedTuple):
    """A row of the log, as its link will have it. A tuple, since one is made for each row of the log."""

    id: int
    #: whether it has a link already
    is_sealed: bool
    #: canonical bytes of its columns
    row: bytes
    #: digests of its payloads (`chain.payload_digests`)
    digests: bytes

    @property
    def size(self) -> int:
        """Bytes that its link takes."""
        return len(self.row) + len(self.digests) + 100


class _Query(NamedTuple):
    """Rows, and the same rows where a column of one holds what JSON has no form for (`projection_store.tolerant_row`).

    Made once: a text of that length costs SQLAlchemy as much as a hundred rows.
    """

    usual: TextClause
    tolerant: TextClause


class RowStore:
    """The log, read for the chain."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._logs = query_logs(database.table_prefix)
        chain_name = ChainTables(database.table_prefix).chain.name
        self._dialect = database.dialect
        self.most_a_look = 200 if database.dialect == "sqlite" else 500
        """How many rows are read at once: on SQLite their payloads come along, elsewhere their digests alone."""
        self._joined = joined = f"FROM {self._logs.name} l LEFT JOIN {chain_name} c ON c.entry_id = l.id"
        self._rows_after = self._query("l.id > :after ORDER BY l.id LIMIT :limit")
        self._rows_up_to = self._query("l.id > :after AND l.id <= :last ORDER BY l.id LIMIT :limit")
        self._waiting = text(
            f"SELECT l.id {joined} WHERE l.id > :after AND l.id <= :last AND c.sequence IS NULL ORDER BY l.id"
        )

    async def rows_after(self, after: int, limit: int) -> list[LogRow]:
        """At most `limit` rows of the log above a number, the lowest first, sealed or not."""
        return await self._read(self._rows_after, {"after": after, "limit": limit})

    async def rows_between(self, after: int, last: int, limit: int) -> list[LogRow]:
        """The same, up to a last number."""
        return await self._read(self._rows_up_to, {"after": after, "last": last, "limit": limit})

    async def rows_of(self, ids: Sequence[int]) -> list[LogRow]:
        """Those of these rows that are in the log."""
        found: list[LogRow] = []
        for start in range(0, len(ids), self.most_a_look):
            some = ", ".join(str(int(number)) for number in ids[start : start + self.most_a_look])
            found += await self._read(self._query(f"l.id IN ({some}) ORDER BY l.id"), {})
        return found

    async def waiting(self, after: int, last: int) -> tuple[list[int], int]:
        """Numbers of rows without a link above `after`, and up to where was looked: some 10,000 numbers, or `last`."""
        ids = self._logs.c.id
        async with self._database.read() as connection:
            first = await connection.scalar(select(func.min(ids)).where(ids > after, ids <= last))
            if first is None:
                return [], last
            bound = min(last, int(first) + _SPAN - 1)
            found = await connection.scalars(self._waiting, {"after": after, "last": bound})
            return list(found.all()), bound

    def _query(self, where: str) -> _Query:
        rest = f"{projection_store.digests(self._dialect)} {self._joined} WHERE {where}"
        rows = projection_store.row(self._dialect), projection_store.tolerant_row()
        return _Query(*(text(f"SELECT l.id, c.sequence, {row}, {rest}") for row in rows))

    async def _read(self, query: _Query, values: dict[str, int]) -> list[LogRow]:
        try:
            rows = await self._all(query.usual, values)
        except exc.DBAPIError:
            if self._dialect != "sqlite":
                raise
            rows = await self._all(query.tolerant, values)
        if self._dialect == "sqlite":
            # Payloads are hashed here, of which each may have 512 KB.
            return await asyncio.to_thread(self._log_rows, rows)
        return self._log_rows(rows)

    def _log_rows(self, rows: Sequence[Any]) -> list[LogRow]:
        return [
            LogRow(
                number,
                sequence is not None,
                projection_store.normal(row),
                projection_store.digest_values(self._dialect, first, second),
            )
            for number, sequence, row, first, second in rows
        ]

    async def _all(self, query: TextClause, values: dict[str, int]) -> Sequence[Any]:
        async with self._database.read() as connection:
            return (await connection.execute(query, values)).all()
