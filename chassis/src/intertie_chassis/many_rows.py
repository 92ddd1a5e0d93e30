"""An INSERT or UPDATE for many rows at once, compiled once: what it costs must be the database's work, not ours.

For each row of a list SQLAlchemy gathers the parameters anew, which costs nearly as much as the row costs the database.
Here its compiler makes the text once, and the rows go to the driver as tuples.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import DateTime, Insert, Update
from sqlalchemy.ext.asyncio import AsyncConnection

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Compiled:
    text: str
    #: the row's values in the order of the placeholders
    values: Callable[[Row], tuple[Any, ...]]
    #: placeholders of times that must be made text here, as SQLAlchemy does for SQLite
    times: tuple[int, ...]


class ManyRows:
    """A statement with two placeholders or more, for rows of one shape."""

    def __init__(self, statement: Insert | Update, columns: Sequence[str] | None = None) -> None:
        """`columns`: what an INSERT gets of each row; an UPDATE names its own bind parameters.

        On MySQL an INSERT is one round trip only while its VALUES are nothing but placeholders.
        """
        self._statement = statement
        self._columns = columns
        self._compiled: _Compiled | None = None

    async def execute(self, connection: AsyncConnection, rows: Sequence[Row]) -> None:
        """Runs it for the rows, which have a value for each placeholder. Raises what the database does."""
        if not rows:
            return
        compiled = self._compiled = self._compiled or self._compile(connection)
        parameters = list(map(compiled.values, rows))
        if compiled.times:
            parameters = [_with_times_as_text(values, compiled.times) for values in parameters]
        await connection.exec_driver_sql(compiled.text, parameters)

    def _compile(self, connection: AsyncConnection) -> _Compiled:
        compiled: Any = self._statement.compile(dialect=connection.dialect, column_keys=self._columns)
        names: list[str] = compiled.positiontup
        times: tuple[int, ...] = ()
        if connection.dialect.name == "sqlite":
            times = tuple(
                position for position, name in enumerate(names) if isinstance(compiled.binds[name].type, DateTime)
            )
        return _Compiled(str(compiled), itemgetter(*names), times)


def _with_times_as_text(values: tuple[Any, ...], times: tuple[int, ...]) -> tuple[Any, ...]:
    changed = list(values)
    for position in times:
        moment = changed[position]
        if isinstance(moment, datetime):
            changed[position] = moment.isoformat(" ", "microseconds")
    return tuple(changed)
