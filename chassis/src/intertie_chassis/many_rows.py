"""An INSERT or UPDATE for many rows at once, compiled once: what it costs must be the database's work, not ours.

For each row of a list SQLAlchemy gathers the parameters anew, which costs nearly as much as the row costs the database.
Here its compiler makes the text once, and the rows go to the driver as tuples; to MariaDB in its binary protocol
(`bulk_cursor`), which knows no type of a column that is NULL in every row: there NULL stands in the text.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import DateTime, Insert, LargeBinary, String, Update, null
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis import direct
from intertie_chassis.bulk_cursor import RowStatement

Row = Mapping[str, Any]
Values = tuple[Any, ...]

_MOST_SHAPES = 32
"""Statements kept for what is NULL in all rows; beyond that rows go as text."""
_MOST_BYTES = 1 << 20
"""Of one statement, about: servers refuse packets beyond their max_allowed_packet."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """A statement as the driver gets it."""

    text: RowStatement
    #: the row's values in the order of the placeholders
    values: Callable[[Row], Values]
    #: placeholders of times that must be made text here, as SQLAlchemy does for SQLite
    times: tuple[int, ...]
    #: placeholders of what may be long
    long: tuple[int, ...]
    names: tuple[str, ...]


class ManyRows:
    """A statement with two placeholders or more, for rows of one shape."""

    def __init__(self, statement: Insert | Update, columns: Sequence[str] | None = None) -> None:
        """`columns`: what an INSERT gets of each row; an UPDATE names its own bind parameters.

        An UPDATE's parameters bear the names of the columns that they are for; in its conditions nothing is NULL. On
        MySQL an INSERT is one round trip only while its VALUES are nothing but placeholders, an UPDATE never is.
        """
        self._statement = statement
        self._columns = columns
        self._shapes: dict[tuple[str, ...], _Shape] = {}

    async def execute(self, connection: AsyncConnection, rows: Sequence[Row]) -> int:
        """Runs it for the rows, which have a value for each placeholder; gives how many rows it inserted or found.

        Raises what the database does.
        """
        return await execute_all(connection, [(self, rows)])

    def for_driver(self, connection: AsyncConnection, rows: Sequence[Row]) -> Iterator[direct.Writing]:
        """The statements of as many packets as the rows need; nothing without rows."""
        if not rows:
            return
        shape = self._shape(connection, ())
        values = list(map(shape.values, rows))
        if shape.times:
            values = [_with_times_as_text(one, shape.times) for one in values]
        elif empty := _empty(shape, values):
            known = self._shapes.get(empty)
            if known is not None or len(self._shapes) < _MOST_SHAPES:
                shape = known or self._shape(connection, empty)
                values = list(map(shape.values, rows))
        if connection.dialect.name == "sqlite":
            yield shape.text, values
            return
        for some in _within(_MOST_BYTES, values, shape.long):
            yield shape.text, some

    def _shape(self, connection: AsyncConnection, empty: tuple[str, ...]) -> _Shape:
        shape = self._shapes.get(empty)
        if shape is None:
            shape = self._shapes[empty] = self._compile(connection, empty)
        return shape

    def _compile(self, connection: AsyncConnection, empty: tuple[str, ...]) -> _Shape:
        statement: Any = self._statement
        columns = self._columns
        if empty:
            statement = statement.values({name: null() for name in empty})
            columns = None if columns is None else [name for name in columns if name not in empty]
        compiled: Any = statement.compile(dialect=connection.dialect, column_keys=columns)
        names: tuple[str, ...] = tuple(compiled.positiontup)
        types = [compiled.binds[name].type for name in names]
        is_sqlite = connection.dialect.name == "sqlite"
        return _Shape(
            RowStatement(compiled),
            itemgetter(*names) if len(names) > 1 else lambda row: (row[names[0]],),
            tuple(n for n, kind in enumerate(types) if is_sqlite and isinstance(kind, DateTime)),
            tuple(n for n, kind in enumerate(types) if _is_long(kind)),
            names,
        )


Write = tuple[ManyRows, Sequence[Row]]
"""A statement, and rows for it."""


async def execute_all(connection: AsyncConnection, writes: Sequence[Write]) -> int:
    """Runs statements for their rows, in this order, where MariaDB is asked in one round trip; gives how many rows they
    inserted or found.

    After an error the transaction must be rolled back: what stands behind the statement that failed may have run.
    Raises what the database does.
    """
    writings = [one for statement, rows in writes for one in statement.for_driver(connection, rows)]
    if connection.dialect.name != "sqlite":
        return await direct.write_all(connection, writings)
    return sum([(await connection.exec_driver_sql(text, values)).rowcount for text, values in writings])


def _empty(shape: _Shape, rows: Sequence[Values]) -> tuple[str, ...]:
    """Names of what is NULL in all of the rows."""
    return tuple(
        shape.names[place]
        for place, value in enumerate(rows[0])
        if value is None and all(row[place] is None for row in rows)
    )


def _is_long(kind: Any) -> bool:
    return isinstance(kind, LargeBinary) or (isinstance(kind, String) and not kind.length)


def _within(most: int, rows: Sequence[Values], long: Sequence[int]) -> Iterator[Sequence[Values]]:
    """The rows in runs whose long values have about so many bytes; one that has more by itself."""
    if not long:
        yield rows
        return
    start = total = 0
    for number, row in enumerate(rows):
        size = sum(len(value) for place in long if (value := row[place]) is not None)
        if number > start and total + size > most:
            yield rows[start:number]
            start, total = number, 0
        total += size
    yield rows[start:]


def _with_times_as_text(values: Values, times: tuple[int, ...]) -> Values:
    changed = list(values)
    for position in times:
        moment = changed[position]
        if isinstance(moment, datetime):
            changed[position] = moment.isoformat(" ", "microseconds")
    return tuple(changed)
