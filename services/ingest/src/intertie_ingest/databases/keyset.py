"""The statements that read a table page by page in the order of some columns, each page from behind the last row.

Never by OFFSET: rows that come and go meanwhile would move the others across the border between two pages.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from intertie_ingest.databases.catalogue import Column, Table, quoted
from intertie_ingest.databases.statements import Statement

_LIMITS = {"mssql": "", "oracle": " FETCH FIRST {} ROWS ONLY"}
_MARKS = {"mysql": "%s", "postgresql": "${}", "oracle": ":{}"}
# What MySQL sends of these is not what it compares: single precision is cut to six digits, and an ENUM is ordered by
# its number but compared as a text.
_MYSQL_EXPRESSIONS = {"float": "({} + 0e0)", "enum": "({} + 0)", "set": "({} + 0)"}


@dataclass(frozen=True, slots=True)
class OrderColumn:
    """A column that rows are ordered by."""

    name: str
    #: what stands for it in statements
    sql: str
    is_nullable: bool
    #: whether `sql` is not the column itself, so that its value must be asked for besides the row
    is_extra: bool


@dataclass
class _Text:
    """A statement being written, with its arguments."""

    driver: str
    arguments: list[Any] = field(default_factory=list)

    def mark(self, value: Any) -> str:
        self.arguments.append(value)
        return _MARKS.get(self.driver, "?").format(len(self.arguments))


@dataclass(frozen=True, slots=True)
class Bounds:
    """Which rows are meant, by their cursor."""

    cursor: OrderColumn | None = None
    #: True: only those without one, False: only those with one, None: both
    is_unset: bool | None = None
    #: the least value, None: no bound
    start: Any = None
    #: the value to stop before
    end: Any = None
    #: the largest value, which still belongs to it
    upper: Any = None


class Keyset:
    """Writes the statements for one table."""

    def __init__(self, driver: str, table: Table) -> None:
        self._driver = driver
        self._names = frozenset({table.name})
        parts = [table.name] if driver == "sqlite" else [table.schema, table.name]
        self._from = ".".join(quoted(driver, part) for part in parts)

    def order_column(self, column: Column) -> OrderColumn:
        """How rows are ordered by this column."""
        name = quoted(self._driver, column.name)
        expression = _MYSQL_EXPRESSIONS.get(column.type) if self._driver == "mysql" else None
        sql = expression.format(name) if expression else name
        return OrderColumn(column.name, sql, column.is_nullable, is_extra=expression is not None)

    def page(
        self, order: Sequence[OrderColumn], bounds: Bounds, after: Sequence[Any] | None, limit: int
    ) -> tuple[Statement, list[Any]]:
        """The next rows: all columns, then those of the order that are extra."""
        text = _Text(self._driver)
        extras = "".join(f", {column.sql} AS intertie_key_{n}" for n, column in enumerate(order) if column.is_extra)
        top = f"TOP ({limit}) " if self._driver == "mssql" else ""
        conditions = self._bounds(text, bounds)
        if after is not None:
            conditions.append(self._behind(text, order, after))
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        sql = (
            f"SELECT {top}t.*{extras} FROM {self._from} t{where} ORDER BY {', '.join(column.sql for column in order)}"
            f"{_LIMITS.get(self._driver, ' LIMIT {}').format(limit)}"
        )
        return self._statement(sql), text.arguments

    def maximum(self, column: OrderColumn) -> Statement:
        """The largest value of the column."""
        return self._statement(f"SELECT MAX({column.sql}) FROM {self._from}")

    def count_at(self, order: Sequence[OrderColumn], values: Sequence[Any]) -> tuple[Statement, list[Any]]:
        """How many rows the database takes for equal by these columns: its collations decide."""
        text = _Text(self._driver)
        conditions = [
            f"{column.sql} IS NULL" if value is None else f"{column.sql} = {text.mark(value)}"
            for column, value in zip(order, values, strict=True)
        ]
        return self._statement(f"SELECT COUNT(*) FROM {self._from} WHERE {' AND '.join(conditions)}"), text.arguments

    def _statement(self, sql: str) -> Statement:
        return Statement(kind="select", sql=sql, parameters=(), tables=self._names)

    def _bounds(self, text: _Text, bounds: Bounds) -> list[str]:
        if bounds.cursor is None:
            return []
        cursor = bounds.cursor.sql
        conditions = []
        if bounds.is_unset is not None and bounds.cursor.is_nullable:
            conditions.append(f"{cursor} IS NULL" if bounds.is_unset else f"{cursor} IS NOT NULL")
        for sign, value in ((">=", bounds.start), ("<", bounds.end), ("<=", bounds.upper)):
            if value is not None:
                conditions.append(f"{cursor} {sign} {text.mark(value)}")
        return conditions

    def _behind(self, text: _Text, order: Sequence[OrderColumn], after: Sequence[Any]) -> str:
        """The condition of the rows behind these values, each column alone deciding only where those before are equal.

        `a >= x AND (a > x OR b > y)` and not `a > x OR (a = x AND b > y)`: from the first every planner sees where in
        the index to begin.
        """
        column, value = order[0], after[0]
        is_last = len(order) == 1
        # PostgreSQL and Oracle have NULL behind all values, the others before; so have their indexes.
        nulls_last = self._driver in ("postgresql", "oracle")
        if value is None:
            rest = "" if is_last else self._behind(text, order[1:], after[1:])
            if nulls_last:
                return f"({column.sql} IS NULL AND {rest})" if rest else "1 = 0"
            return f"({column.sql} IS NOT NULL OR {rest})" if rest else f"{column.sql} IS NOT NULL"
        if is_last:
            behind = f"{column.sql} > {text.mark(value)}"
        else:
            least, more = text.mark(value), text.mark(value)
            rest = self._behind(text, order[1:], after[1:])
            behind = f"({column.sql} >= {least} AND ({column.sql} > {more} OR {rest}))"
        return f"({behind} OR {column.sql} IS NULL)" if nulls_last and column.is_nullable else behind
