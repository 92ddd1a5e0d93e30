"""An INSERT of many rows into a table whose rows the database numbers, without holes in the numbers.

`many_rows` costs least, but MariaDB takes its rows one by one: not knowing how many will come, it reserves numbers for
twice as many each time and drops what is left, up to half of all. Where a missing number means that a row may still
appear, or that one was deleted, that will not do. Here a statement has its rows in it and reserves as many as it has.
"""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Insert
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.bulk_cursor import PreparedStatement
from intertie_chassis.many_rows import ManyRows

_PREPARED = (64, 32, 16)
"""Rows of the statements that are prepared; fewer go as text, which costs them less than another round trip."""


class NumberedRows:
    """An INSERT for rows of one shape, of two columns or more."""

    def __init__(self, statement: Insert, columns: Sequence[str]) -> None:
        """`columns`: what each row has a value for."""
        self._statement = statement
        self._columns = columns
        self._values = itemgetter(*columns)
        self._one_by_one = ManyRows(statement, columns)
        self._texts: dict[int, str] = {}

    async def execute(self, connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Stores the rows, of which 64 must fit into a packet, in their order. Raises what the database does."""
        if connection.dialect.name == "sqlite":
            await self._one_by_one.execute(connection, rows)
            return
        start = 0
        while left := len(rows) - start:
            count = next((size for size in _PREPARED if size <= left), left)
            values = [value for row in rows[start : start + count] for value in self._values(row)]
            await connection.exec_driver_sql(self._text(connection, count), tuple(values))
            start += count

    def _text(self, connection: AsyncConnection, count: int) -> str:
        text = self._texts.get(count)
        if text is None:
            one = str(self._statement.compile(dialect=connection.dialect, column_keys=list(self._columns)))
            insert, row = one.split(" VALUES ")
            text = f"{insert} VALUES {', '.join([row] * count)}"
            self._texts[count] = text = PreparedStatement(text) if count in _PREPARED else text
        return text
