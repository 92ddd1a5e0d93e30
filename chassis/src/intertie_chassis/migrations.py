"""An owner's schema: its numbered scripts, the version table that says how far they ran, and whether the tables fit.

Alembic does the work, without ini file or env.py. An owner's package holds ``versions/0001_….py`` with ``revision``,
``down_revision`` and ``upgrade()``, which use ``alembic.op`` and `prefix`. On SQLite all pending scripts run in one
transaction; on MySQL each statement commits by itself, so write them to bear running again (``if_not_exists=True``).
"""

import importlib.resources
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from alembic import op
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.database import Database
from intertie_chassis.errors import FailedPrecondition, Unavailable

_log = structlog.get_logger()


def prefix() -> str:
    """For migration scripts: what the table names begin with."""
    return str(op.get_context().opts["table_prefix"])


@dataclass(frozen=True, slots=True)
class SchemaState:
    """How an owner's tables stand to the code."""

    current: str | None
    """The revision of the tables; None when there is none yet."""
    head: str
    """The revision that the code was written for."""
    pending: tuple[str, ...]
    """The revisions to run, in order."""
    foreign: tuple[str, ...]
    """The owner's tables that are there although we did not make them; empty otherwise."""
    is_ahead: bool = False
    """Whether newer code has migrated the tables: older code goes on, as during a rolling upgrade."""

    @property
    def state(self) -> str:
        """``current``, ``empty``, ``behind``, ``ahead`` or ``foreign``."""
        if self.foreign:
            return "foreign"
        if self.is_ahead:
            return "ahead"
        if self.current is None:
            return "empty"
        return "behind" if self.pending else "current"


class Migrations:
    """The migrations of one owner."""

    def __init__(self, owner: str, package: str, own_tables: Sequence[str] = ()) -> None:
        """Args:
        owner: registry, ingest, mapper or audit.
        package: the package that holds ``versions/``, such as ``intertie_registry.migrations``.
        own_tables: names, without prefix, of the owner's tables that an existing deployment may hold.
        """
        self.owner = owner
        self._package = package
        self._own_tables = tuple(own_tables)
        self._scripts: ScriptDirectory | None = None

    def version_table(self, table_prefix: str) -> str:
        """The name of the owner's version table."""
        return f"{table_prefix}{self.owner}_schema_versions"

    async def state(self, database: Database, table_prefix: str) -> SchemaState:
        """How the tables stand. Raises Unavailable when the store is away."""
        script = self._script()
        async with database.read() as connection:
            return await connection.run_sync(self._state, script, table_prefix)

    async def at_head(self, database: Database, table_prefix: str) -> bool:
        """Whether this code can serve on these tables: they are at its revision, or a newer one."""
        return (await self.state(database, table_prefix)).state in ("current", "ahead")

    def readiness(self, database: Database, table_prefix: str) -> Callable[[], Awaitable[str | None]]:
        """A ready check for `Server.ready_when`: why the tables cannot be worked on; if they do not fit, which command
        mends it."""

        async def check() -> str | None:
            try:
                state = await self.state(database, table_prefix)
            except Unavailable as error:
                return error.message
            return database.why_not_ready() if state.state in ("current", "ahead") else self._remedy(state)

        return check

    async def upgrade(self, database: Database, table_prefix: str) -> tuple[str, ...]:
        """Runs what is pending, under a lock, so that many may ask at once; gives the revisions that ran.

        Raises FailedPrecondition (SCHEMA_FOREIGN) on tables that we did not make.
        """
        script = self._script()
        async with database.exclusive(self.owner) as connection:
            state = await connection.run_sync(self._state, script, table_prefix)
            if state.foreign:
                raise FailedPrecondition(
                    self._remedy(state), reason="SCHEMA_FOREIGN", metadata={"tables": ",".join(state.foreign)}
                )
            if state.pending and not state.is_ahead:
                await connection.run_sync(self._upgrade, script, table_prefix)
                _log.info("migrated", owner=self.owner, revisions=list(state.pending))
            return () if state.is_ahead else state.pending

    async def stamp(self, connection: AsyncConnection, table_prefix: str, revision: str = "head") -> None:
        """Says that the tables are at a revision, without running anything: the end of an adoption."""
        script = self._script()

        def work(sync: Connection) -> None:
            self._context(sync, table_prefix).stamp(script, revision)

        await connection.run_sync(work)

    def _remedy(self, state: SchemaState) -> str:
        if state.state == "foreign":
            return (
                f"the database holds tables that Intertie did not make ({', '.join(state.foreign)}); "
                "`intertie db adopt` takes them over and keeps every row (`--dry-run` shows the statements)"
            )
        at = state.current or "none"
        return (
            f"the {self.owner} tables are at revision {at}, this version needs {state.head}: run `intertie db migrate`"
        )

    def _script(self) -> ScriptDirectory:
        if self._scripts is None:  # kept: loading executes every script, and readiness asks each second
            root = Path(str(importlib.resources.files(self._package)))
            self._scripts = ScriptDirectory(str(root), version_locations=[str(root / "versions")])
        return self._scripts

    def _context(self, connection: Connection, table_prefix: str) -> MigrationContext:
        return MigrationContext.configure(connection, opts=self._options(connection, table_prefix))

    def _options(self, connection: Connection, table_prefix: str) -> dict[str, Any]:
        return {
            "version_table": self.version_table(table_prefix),
            "table_prefix": table_prefix,
            # The caller's transaction is the transaction: SQLite's DDL takes part in it, MySQL's commits by itself.
            "transactional_ddl": connection.dialect.name == "sqlite",
        }

    def _state(self, connection: Connection, script: ScriptDirectory, table_prefix: str) -> SchemaState:
        head = script.get_current_head()
        if head is None:
            raise ValueError(f"{self._package} holds no migrations")
        version_table = self.version_table(table_prefix)
        inspector = inspect(connection)
        if not inspector.has_table(version_table):
            present = set(inspector.get_table_names())
            foreign = tuple(name for own in self._own_tables if (name := table_prefix + own) in present)
            return SchemaState(None, head, _revisions(script, None), foreign)
        current = self._context(connection, table_prefix).get_current_revision()
        try:
            return SchemaState(current, head, _revisions(script, current), ())
        except ResolutionError:
            return SchemaState(current, head, (), (), is_ahead=True)

    def _upgrade(self, connection: Connection, script: ScriptDirectory, table_prefix: str) -> None:
        def steps(revision: Any, _context: MigrationContext) -> Any:
            return script._upgrade_revs("head", revision)

        with EnvironmentContext(Config(), script, fn=steps) as environment:
            environment.configure(connection=connection, **self._options(connection, table_prefix))
            environment.run_migrations()


def _revisions(script: ScriptDirectory, current: str | None) -> tuple[str, ...]:
    """The revisions after `current`, oldest first. Raises ResolutionError when `current` is not one of ours."""
    if current is not None:
        script.revision_map.get_revision(current)
    steps = script.iterate_revisions("head", current or "base")
    return tuple(reversed([step.revision for step in steps]))
