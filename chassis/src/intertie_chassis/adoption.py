"""Taking over the tables of an existing MySQL or MariaDB deployment: a plan of statements, each with its reason.

An owner's adopter looks at what is there and asks for what it needs; whatever is so already plans nothing. So a second
run plans nothing at all, and one that broke off goes on where it stopped. No owner's tables are known here.
"""

import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TextIO

import structlog
from sqlalchemy import Table as SqlTable
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateTable

from intertie_chassis.database import Database
from intertie_chassis.database_errors import is_away
from intertie_chassis.errors import FailedPrecondition
from intertie_chassis.existing import Column, ForeignKey, Index, Table, literal, quote, read_tables
from intertie_chassis.migrations import Migrations

__all__ = [
    "KEEP",
    "Adopter",
    "Column",
    "ForeignKey",
    "Index",
    "Plan",
    "Step",
    "Table",
    "adopt_database",
    "literal",
    "quote",
]

_log = structlog.get_logger()


class _Keep:
    """Stands for an attribute that stays as it is."""


KEEP = _Keep()


@dataclass(frozen=True, slots=True)
class Step:
    """One statement of a plan."""

    statement: str
    reason: str
    #: whether the adoption goes on, with a remark, when the server does not allow it
    may_be_refused: bool = False


class Plan:
    """What an adoption will do, collected in order. Table names are given without the prefix."""

    def __init__(self, connection: AsyncConnection, prefix: str, tables: dict[str, Table], is_mariadb: bool) -> None:
        self.connection = connection
        """For reading what the decisions need; it changes nothing until the plan is executed."""
        self.prefix = prefix
        self.is_mariadb = is_mariadb
        self.steps: list[Step] = []
        self.remarks: list[str] = []
        """What the operator should look at, each in one line; nothing is done about it."""
        self._tables = tables

    def name(self, table: str) -> str:
        """The full, quoted name of a table."""
        return quote(self.prefix + table)

    def table(self, table: str) -> Table | None:
        """The table as it will stand after the steps planned so far; None when there is none."""
        return self._tables.get(self.prefix + table)

    def has_column(self, table: str, column: str) -> bool:
        """Whether the table has, or will have, the column."""
        present = self.table(table)
        return present is not None and column in present.columns

    def run(self, statement: str, reason: str, *, may_be_refused: bool = False) -> None:
        """Plans any statement; the caller has found out that it is needed."""
        self.steps.append(Step(statement, reason, may_be_refused))

    def remark(self, text: str) -> None:
        """Has the operator told of something that no statement mends."""
        self.remarks.append("".join(one if one.isprintable() else " " for one in text))

    async def run_when(self, probe: str, statement: str, reason: str) -> None:
        """Plans a statement on rows when the query `probe` gives a row whose first value is neither 0 nor NULL.

        The probe is asked now, so it may only name columns that exist already.
        """
        result = await self.connection.exec_driver_sql(probe, execution_options={"no_parameters": True})
        row = result.first()
        if row is not None and row[0]:
            self.run(statement, reason)

    def create_table(self, table: SqlTable, reason: str) -> None:
        """Plans a table (its `name` with the prefix) and its indexes, each unless it is there."""
        if table.name not in self._tables:
            dialect = self.connection.dialect
            self.run(str(CreateTable(table).compile(dialect=dialect)).strip(), reason)
            found = Table(table.name, {}, {}, {})
            for column in table.columns:
                default = None if column.server_default is None else "…"
                found.columns[column.name] = Column(
                    column.name, column.type.compile(dialect), bool(column.nullable), default
                )
            self._tables[table.name] = found
        # Statements of their own: a run may have broken off between the table and its indexes.
        present = self._tables[table.name].columns
        for index in sorted(table.indexes, key=lambda each: str(each.name)):
            columns = [column.name for column in index.columns]
            if present.keys() >= set(columns):
                name = table.name.removeprefix(self.prefix)
                self.add_index(name, str(index.name), columns, reason, unique=bool(index.unique))

    def require(self, *tables: str) -> None:
        """Raises FailedPrecondition that names the first of these tables that is missing."""
        for table in tables:
            self._need(table)

    def make_transactional(self, *tables: str) -> None:
        """Plans that these tables move to InnoDB, where they are there with an engine that cannot roll back."""
        for table in tables:
            present = self.table(table)
            if present is not None and present.engine.lower() != "innodb":
                reason = f"{present.engine} keeps no transactions: half of what was refused would stay"
                self._alter(table, "ENGINE = InnoDB", reason)
                present.engine = "InnoDB"

    def add_column(self, table: str, column: str, definition: str, reason: str, *, after: str | None = None) -> bool:
        """Plans a column unless it is there; gives whether it was missing."""
        present = self._need(table)
        if column in present.columns:
            return False
        place = f" AFTER {quote(after)}" if after else ""
        self._alter(table, f"ADD COLUMN {quote(column)} {definition}{place}", reason)
        nullable = "NOT NULL" not in definition.upper()
        present.columns[column] = Column(column, definition.split()[0], nullable, None)
        return True

    def modify_column(
        self,
        table: str,
        column: str,
        reason: str,
        *,
        type: str | _Keep = KEEP,
        nullable: bool | _Keep = KEEP,
        default: str | _Keep | None = KEEP,
        collation: str | _Keep | None = KEEP,
        comment: str | _Keep = KEEP,
    ) -> bool:
        """Plans a change of these attributes; all others of the column stay. Gives whether anything differed.

        `default` is DDL (``'pending'`` with its quotes, ``CURRENT_TIMESTAMP``), None for no default.
        """
        present = self._need(table)
        now = present.columns[column]
        asked: dict[str, object] = {
            "type": type,
            "is_nullable": nullable,
            "default": default,
            "collation": collation,
            "comment": comment,
        }
        changes = {
            attribute: value
            for attribute, value in asked.items()
            if not isinstance(value, _Keep) and not _same(getattr(now, attribute), value)
        }
        if not changes:
            return False
        if "collation" in changes:
            changes["charset"] = None
        changed = now.with_changes(**changes)
        self._alter(table, f"MODIFY COLUMN {quote(column)} {changed.ddl()}", reason)
        present.columns[column] = changed
        return True

    def add_index(self, table: str, name: str, columns: Sequence[str], reason: str, *, unique: bool = False) -> bool:
        """Plans an index unless one over the same columns, as unique, is there; gives whether it was missing."""
        present = self._need(table)
        if name in present.indexes or present.index_on(*columns, unique=unique):
            return False
        kind = "UNIQUE INDEX" if unique else "INDEX"
        self._alter(table, f"ADD {kind} {quote(name)} ({quote(*columns)})", reason)
        present.indexes[name] = Index(name, tuple(columns), unique)
        return True

    def add_unique(self, table: str, name: str, columns: Sequence[str], reason: str) -> bool:
        """Plans a unique key unless it is there. Plan the mending of rows that break it first."""
        return self.add_index(table, name, columns, reason, unique=True)

    def drop_index(self, table: str, name: str, reason: str) -> bool:
        """Plans that an index goes, if it is there. Plan what replaces it first: foreign keys need one."""
        present = self._need(table)
        if name not in present.indexes:
            return False
        self._alter(table, f"DROP INDEX {quote(name)}", reason)
        del present.indexes[name]
        return True

    def add_foreign_key(
        self,
        table: str,
        name: str,
        columns: Sequence[str],
        referred_table: str,
        referred_columns: Sequence[str],
        reason: str,
        *,
        on_delete: str = "RESTRICT",
        on_update: str = "RESTRICT",
    ) -> bool:
        """Plans a foreign key unless one of these columns to that table is there with the same rules."""
        present = self._need(table)
        full = self.prefix + referred_table
        for key in present.foreign_keys_on(*columns):
            rules = _rule(key.on_delete), _rule(key.on_update)
            if key.referred_table == full and rules == (_rule(on_delete), _rule(on_update)):
                return False
        self._alter(
            table,
            f"ADD CONSTRAINT {quote(name)} FOREIGN KEY ({quote(*columns)}) REFERENCES {quote(full)}"
            f" ({quote(*referred_columns)}) ON DELETE {on_delete} ON UPDATE {on_update}",
            reason,
        )
        present.foreign_keys[name] = ForeignKey(
            name, tuple(columns), full, tuple(referred_columns), on_delete.upper(), on_update.upper()
        )
        return True

    def drop_foreign_key(self, table: str, name: str, reason: str) -> bool:
        """Plans that a foreign key goes, if it is there. Its index stays."""
        present = self._need(table)
        if name not in present.foreign_keys:
            return False
        self._alter(table, f"DROP FOREIGN KEY {quote(name)}", reason)
        del present.foreign_keys[name]
        return True

    def _alter(self, table: str, clause: str, reason: str) -> None:
        self.run(f"ALTER TABLE {self.name(table)} {clause}", reason)

    def _need(self, table: str) -> Table:
        present = self.table(table)
        if present is None:
            raise FailedPrecondition(f"the table {self.prefix}{table} is missing, so this deployment cannot be adopted")
        return present


Adopter = Callable[[Plan], Awaitable[None]]
"""An owner's part: looks at the plan's tables and asks for what it needs."""


async def adopt_database(
    database: Database,
    table_prefix: str,
    migrations: Migrations,
    adopter: Adopter,
    *,
    dry_run: bool,
    out: TextIO | None = None,
) -> list[Step]:
    """Plans the adoption and, unless it is a dry run, executes it under the owner's lock and says it is at head.

    Each statement is printed with its reason, and behind them the remarks. Gives the steps. Raises
    FailedPrecondition with nothing to adopt.
    """
    stream = out or sys.stdout
    if database.dialect != "mysql":
        raise FailedPrecondition("only MySQL and MariaDB databases can be adopted; an embedded one migrates by itself")
    async with database.exclusive(migrations.owner) as connection:
        tables = await read_tables(connection, table_prefix)
        plan = Plan(connection, table_prefix, tables, database.is_mariadb)
        is_known = migrations.version_table(table_prefix) in tables
        if not is_known and not (await migrations.state(database, table_prefix)).foreign:
            raise FailedPrecondition(
                f"the database holds no {migrations.owner} tables to adopt: run `intertie db migrate`"
            )
        await adopter(plan)
        for step in plan.steps:
            stream.write(f"-- {step.reason}\n{step.statement};\n")
            if not dry_run:
                await _execute(connection, step, plan)
        if not dry_run and not is_known:
            await migrations.stamp(connection, table_prefix)
        if not plan.steps:
            stream.write(f"-- {migrations.owner}: nothing to do\n")
        for remark in plan.remarks:
            stream.write(f"-- LOOK AT THIS: {remark}\n")
    _log.info("adopted", owner=migrations.owner, statements=len(plan.steps), dry_run=dry_run)
    return plan.steps


async def _execute(connection: AsyncConnection, step: Step, plan: Plan) -> None:
    try:
        await connection.exec_driver_sql(step.statement, execution_options={"no_parameters": True})
    except exc.DBAPIError as error:
        if not step.may_be_refused or is_away(error):
            raise
        plan.remark(f"the server refused this ({error.orig}): {step.statement}")


def _same(now: object, asked: object) -> bool:
    if isinstance(now, str) and isinstance(asked, str):
        return _plain(now) == _plain(asked)
    return now == asked


def _plain(ddl: str) -> str:
    """DDL text so that the spellings of one meaning compare equal; values inside quotes keep their case."""
    parts = ddl.split("'")
    parts[::2] = [
        part.lower().replace(" ", "").replace("current_timestamp()", "current_timestamp") for part in parts[::2]
    ]
    return "'".join(parts)


def _rule(rule: str) -> str:
    """InnoDB treats NO ACTION as RESTRICT, and servers report either."""
    return "RESTRICT" if rule.upper() == "NO ACTION" else rule.upper()
