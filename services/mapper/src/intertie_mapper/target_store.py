"""Every statement on the modules' tables: rows are read, inserted and updated, and nothing else.

Never ON DUPLICATE KEY here: a clash with a row that is not this record's must fail.
"""

from collections.abc import Sequence
from typing import TypeAlias

from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.bulk_cursor import RowStatement
from intertie_mapper.columns import Column, Key, Kind, SqlValue, TargetTable
from intertie_mapper.keys import canonical, key_of
from intertie_mapper.statements import Dialect, chunks, flat

Connection: TypeAlias = AsyncConnection
"""What the stores work on, for those who hand it on and speak no SQL."""

Row = dict[str, SqlValue]

_ROWS_A_CASE = 50
_MATCHES_A_STATEMENT = 50
_TEXTS = {Kind.TEXT, Kind.JSON, Kind.BINARY, Kind.OTHER}


class TargetStore:
    """The modules' tables in one database; every method works on the caller's connection."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    async def read(
        self, connection: AsyncConnection, table: TargetTable, keys: Sequence[Key], columns: Sequence[str]
    ) -> dict[Key, Row]:
        """The rows with these keys, as far as they are there, with these columns."""
        sql = self._dialect
        names = [*table.primary_key, *columns]
        found: dict[Key, Row] = {}
        for some in chunks(keys, _long(table, table.primary_key)):
            result = await connection.exec_driver_sql(
                f"SELECT {sql.names(names)} FROM {sql.quote(table.name)} "
                f"WHERE {sql.is_in(table.primary_key, len(some))}",
                flat(some),
            )
            width = len(table.primary_key)
            for row in map(tuple, result.all()):
                found[key_of(table, row[:width])] = self._row(table, columns, row[width:])
        return found

    async def match(
        self,
        connection: AsyncConnection,
        table: TargetTable,
        match_columns: Sequence[str],
        wanted: Sequence[tuple[SqlValue, ...]],
        columns: Sequence[str],
    ) -> list[list[tuple[Key, Row]]]:
        """For each tuple of values the rows that have them in `match_columns`: none, one, or two for "more than one".

        The database compares, by the columns' own collations, so each tuple is a query of its own under one UNION ALL.
        """
        sql = self._dialect
        condition = " AND ".join(f"{sql.quote(name)} = {sql.mark}" for name in match_columns)
        names = sql.names([*table.primary_key, *columns])
        found: list[list[tuple[Key, Row]]] = [[] for _ in wanted]
        for start in range(0, len(wanted), _MATCHES_A_STATEMENT):
            some = wanted[start : start + _MATCHES_A_STATEMENT]
            parts = [
                f"SELECT * FROM (SELECT {start + offset} AS intertie_position, {names} FROM {sql.quote(table.name)} "
                f"WHERE {condition} LIMIT 2) AS one{offset}"
                for offset in range(len(some))
            ]
            result = await connection.exec_driver_sql(" UNION ALL ".join(parts), flat(some))
            for row in result.all():
                position, *rest = tuple(row)
                values = self._row(table, columns, tuple(rest[len(table.primary_key) :]))
                found[position].append((key_of(table, tuple(rest)), values))
        return found

    async def insert(
        self,
        connection: AsyncConnection,
        table: TargetTable,
        names: Sequence[str],
        rows: Sequence[tuple[SqlValue, ...]],
    ) -> list[Key]:
        """Insert rows of these columns; give their keys in the same order, however the database makes them."""
        generated = [column for column in table.key_columns if column.name not in names]
        if any(not column.auto_increment for column in generated):
            return [await self._insert_one(connection, table, names, row, generated) for row in rows]
        keys: list[Key] = []
        for some in chunks(rows, _long(table, names)):
            if self._dialect.returning and generated:
                keys += await self._insert_returning(connection, table, names, some)
            else:
                keys += await self._insert_counting(connection, table, names, some, generated)
        return keys

    async def update(
        self,
        connection: AsyncConnection,
        table: TargetTable,
        names: Sequence[str],
        rows: Sequence[tuple[Key, tuple[SqlValue, ...]]],
    ) -> None:
        """Set these columns of the rows with these keys; a row that is gone is passed over."""
        sql = self._dialect
        many = [(*values, *key) for key, values in rows]
        is_bulk = sql.embedded or (sql.bulk and not _has_large_integers(many))
        # MySQL evaluates SET from left to right with the new values in view, so a key is only changed row by row.
        if is_bulk or len(many) == 1 or set(names) & set(table.primary_key):
            await self._update_by_row(connection, table, names, many, is_bulk=is_bulk)
            return
        for start in range(0, len(many), _ROWS_A_CASE):
            for some in chunks(many[start : start + _ROWS_A_CASE], _long(table, names)):
                await self._update_by_case(connection, table, names, some)

    async def _update_by_row(
        self,
        connection: AsyncConnection,
        table: TargetTable,
        names: Sequence[str],
        rows: Sequence[tuple[SqlValue, ...]],
        *,
        is_bulk: bool,
    ) -> None:
        sql = self._dialect
        values = dict.fromkeys(names, sql.mark)
        if is_bulk:
            # A column of which the server learns no type, being NULL in all rows, is NULL in the text.
            empty = [place for place in range(len(names)) if all(row[place] is None for row in rows)]
            values |= {names[place]: "NULL" for place in empty}
            if empty:
                rows = [tuple(value for place, value in enumerate(row) if place not in empty) for row in rows]
        assignments = ", ".join(f"{sql.quote(name)} = {value}" for name, value in values.items())
        by_key = " AND ".join(f"{sql.quote(name)} = {sql.mark}" for name in table.primary_key)
        text = f"UPDATE {sql.quote(table.name)} SET {assignments} WHERE {by_key}"
        if is_bulk:
            for some in chunks(rows, _long(table, [name for name in names if values[name] == sql.mark])):
                await connection.exec_driver_sql(RowStatement(text), some)
            return
        for row in rows:
            await connection.exec_driver_sql(text, row)

    async def _update_by_case(
        self,
        connection: AsyncConnection,
        table: TargetTable,
        names: Sequence[str],
        rows: Sequence[tuple[SqlValue, ...]],
    ) -> None:
        """One UPDATE for rows of different values: to MySQL the driver would send them one by one (360 µs each).

        A join with a derived table was rejected: its text columns take the connection's collation, and MySQL refuses to
        compare two collations that are both a column's.
        """
        sql, width = self._dialect, len(names)
        if len(table.primary_key) == 1:
            case, when = f"CASE {sql.quote(table.primary_key[0])}", sql.mark
        else:
            case, when = "CASE", " AND ".join(f"{sql.quote(name)} = {sql.mark}" for name in table.primary_key)
        assignments = []
        parameters: list[SqlValue] = []
        for position, name in enumerate(names):
            branches = f" WHEN {when} THEN {sql.mark}" * len(rows)
            assignments.append(f"{sql.quote(name)} = {case}{branches} ELSE {sql.quote(name)} END")
            for row in rows:
                parameters += (*row[width:], row[position])
        parameters += flat([row[width:] for row in rows])
        await connection.exec_driver_sql(
            f"UPDATE {sql.quote(table.name)} SET {', '.join(assignments)} "
            f"WHERE {sql.is_in(table.primary_key, len(rows))}",
            tuple(parameters),
        )

    async def _insert_returning(
        self,
        connection: AsyncConnection,
        table: TargetTable,
        names: Sequence[str],
        rows: Sequence[tuple[SqlValue, ...]],
    ) -> list[Key]:
        result = await connection.exec_driver_sql(
            f"{self._insert_text(table, names, len(rows))} RETURNING {self._dialect.names(table.primary_key)}",
            flat(rows),
        )
        keys = [key_of(table, tuple(row)) for row in result.all()]
        # The order of RETURNING is promised nowhere; that generated numbers ascend in the order of VALUES is.
        position = next(index for index, column in enumerate(table.key_columns) if column.name not in names)
        return sorted(keys, key=lambda key: int(key[position] or 0))

    async def _insert_counting(
        self,
        connection: AsyncConnection,
        table: TargetTable,
        names: Sequence[str],
        rows: Sequence[tuple[SqlValue, ...]],
        generated: Sequence[Column],
    ) -> list[Key]:
        """Without RETURNING: LAST_INSERT_ID is the first row's number, and those of one INSERT … VALUES follow it in
        steps of auto_increment_increment under every innodb_autoinc_lock_mode, since their count is known beforehand.
        """
        result = await connection.exec_driver_sql(self._insert_text(table, names, len(rows)), flat(rows))
        first = result.lastrowid if generated else 0
        step = 1
        if generated and len(rows) > 1:
            step = int((await connection.exec_driver_sql("SELECT @@auto_increment_increment")).scalar_one())
        return [
            tuple(
                row[names.index(column.name)] if column.name in names else first + index * step
                for column in table.key_columns
            )
            for index, row in enumerate(rows)
        ]

    async def _insert_one(
        self,
        connection: AsyncConnection,
        table: TargetTable,
        names: Sequence[str],
        row: tuple[SqlValue, ...],
        generated: Sequence[Column],
    ) -> Key:
        """A row whose key a default makes (a UUID): several at once could not be told apart.

        Without RETURNING the default's expression is evaluated first and its value inserted.
        """
        if self._dialect.returning:
            result = await connection.exec_driver_sql(
                f"{self._insert_text(table, names, 1)} RETURNING {self._dialect.names(table.primary_key)}", row
            )
            return key_of(table, tuple(result.one()))
        expressions = [column for column in generated if column.default_expression is not None]
        text = ", ".join(f"({column.default_expression})".replace("%", "%%") for column in expressions)
        made = (await connection.exec_driver_sql(f"SELECT {text}", ())).one()
        all_names = [*names, *(column.name for column in expressions)]
        remaining = [column for column in generated if column.default_expression is None]
        return (await self._insert_counting(connection, table, all_names, [(*row, *made)], remaining))[0]

    def _insert_text(self, table: TargetTable, names: Sequence[str], count: int) -> str:
        sql = self._dialect
        if not names:
            return f"INSERT INTO {sql.quote(table.name)} " + ("DEFAULT VALUES" if sql.embedded else "() VALUES ()")
        return f"INSERT INTO {sql.quote(table.name)} ({sql.names(names)}) VALUES {sql.rows(count, len(names))}"

    @staticmethod
    def _row(table: TargetTable, columns: Sequence[str], values: tuple[object, ...]) -> Row:
        return {name: canonical(table.by_name[name], value) for name, value in zip(columns, values, strict=True)}


def _long(table: TargetTable, names: Sequence[str]) -> list[int]:
    """The places of columns whose values may be long."""
    return [place for place, name in enumerate(names) if table.by_name[name].kind in _TEXTS]


def _has_large_integers(rows: Sequence[Sequence[SqlValue]]) -> bool:
    """Whether there is one beyond 63 bits: the driver says of all integers of many rows that they are signed."""
    return any(type(value) is int and value >= 2**63 for row in rows for value in row)
