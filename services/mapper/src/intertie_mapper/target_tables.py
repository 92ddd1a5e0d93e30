"""The tables that mappings may write to, as the database has them: reflected, allow-listed, cached for a while."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.database import Database
from intertie_chassis.errors import NotFound
from intertie_mapper import mysql_tables, sqlite_tables
from intertie_mapper.columns import CheckpointTable, TargetTable
from intertie_mapper.errors import Refusal, TargetReason

_log = structlog.get_logger()

CHECKPOINTS = "_integration_checkpoints"
OWN_TABLES = (
    "external_systems", "external_system_connections", "external_data_mappings", "module_system_mappings",
    "external_data_cache", "inbound_deliver*", "rejected_deliveries", "integration_query_*", "integration_audit_*",
    "external_record_links", f"*{CHECKPOINTS}", "*_outbox", "*_schema_versions", "sync_runs", "sync_cursors",
)  # fmt: skip
"""The suite's own tables, without prefix: never a target, whatever the setting says."""
ACCOUNT_TABLES = (
    "users",
    "user_*",
    "roles",
    "role_*",
    "permissions",
    "password_*",
    "personal_access_tokens",
    "sessions",
)
"""Left out by default, because a row there is a right; the setting can name them."""


class TargetTables:
    """Finds target tables by name."""

    def __init__(
        self, database: Database, prefix: str, allowed: Sequence[str] = (), *, keep_seconds: float = 10.0
    ) -> None:
        """Args:
        allowed: patterns (`*`, `?`) of full table names; none: all with the prefix but those of accounts.
        keep_seconds: how long a table that was looked at is taken to be as it was.
        """
        self._database = database
        self._prefix = prefix
        self._allowed = tuple(allowed)
        self._keep = keep_seconds
        self._cache: dict[str, tuple[float, TargetTable | None]] = {}
        self._lock = asyncio.Lock()
        embedded = database.dialect == "sqlite"
        self._read_table = sqlite_tables.read_table if embedded else mysql_tables.read_table
        self._table_names = sqlite_tables.table_names if embedded else mysql_tables.table_names

    def is_allowed(self, name: str) -> bool:
        """Whether mappings may write to a table of that name, be it there or not."""
        # Many databases take names in any case for the same table: what is forbidden is so in all of them.
        folded, prefix = name.casefold(), self._prefix.casefold()
        short = folded.removeprefix(prefix)
        if folded.startswith(prefix) and any(fnmatchcase(short, own) for own in OWN_TABLES):
            return False
        if self._allowed:
            return any(fnmatchcase(name, pattern) for pattern in self._allowed)
        return name.startswith(self._prefix) and not any(fnmatchcase(short, pattern) for pattern in ACCOUNT_TABLES)

    async def get(self, name: str) -> TargetTable:
        """The table, at most `keep_seconds` old.

        Raises Refusal(target_not_found) when it is not there, has no primary key, keeps no transactions or is
        not allowed; Unavailable.
        """
        if not self.is_allowed(name):
            raise Refusal(
                TargetReason.TARGET_NOT_FOUND,
                "",
                f"mappings may not write to {name}; see INTERTIE_TARGET_TABLES",
            )
        known = self._cache.get(name)
        if known is None or time.monotonic() - known[0] > self._keep:
            async with self._lock:
                known = self._cache.get(name)
                if known is None or time.monotonic() - known[0] > self._keep:
                    known = (time.monotonic(), await self._read(name))
                    self._cache[name] = known
        table = known[1]
        if table is None:
            raise Refusal(TargetReason.TARGET_NOT_FOUND, "", f"there is no table {name} in the target database")
        if not table.primary_key:
            raise Refusal(
                TargetReason.TARGET_NOT_FOUND, "", f"{name} has no primary key, so its rows cannot be told apart"
            )
        if not table.transactional:
            raise Refusal(
                TargetReason.TARGET_NOT_FOUND,
                "",
                f"the engine of {name} keeps no transactions, so half of a batch could stay in it: "
                f"ALTER TABLE {name} ENGINE = InnoDB mends it",
            )
        return table

    async def look(self, name: str) -> TargetTable:
        """The table as it is at this moment; otherwise as `get`."""
        self.forget(name)
        return await self.get(name)

    async def describe(self, name: str) -> TargetTable:
        """The table as it is at this moment, for a caller. Raises NotFound (TARGET_NOT_FOUND) and Unavailable."""
        try:
            return await self.look(name)
        except Refusal as refusal:
            raise NotFound(refusal.message, reason="TARGET_NOT_FOUND", metadata={"table": name}) from None

    def forget(self, name: str) -> None:
        """Look anew the next time."""
        self._cache.pop(name, None)

    def full_name(self, name: str) -> str:
        """The name with its prefix, whether it came with it or not."""
        return name if name.startswith(self._prefix) else self._prefix + name

    async def with_checkpoints(self) -> list[tuple[str, CheckpointTable]]:
        """All target tables that have a checkpoint table, with it, in order of their names."""
        async with self._database.read() as connection:
            names = await self._table_names(connection, self._prefix)
            candidates = [name for name in names if self.is_allowed(name)]
            found = [(name, await self._checkpoint(connection, name, set(names))) for name in candidates]
        return [(name, checkpoint) for name, checkpoint in found if checkpoint is not None]

    async def _read(self, name: str) -> TargetTable | None:
        async with self._database.read() as connection:
            table = await self._read_table(connection, name)
            if table is None or not table.has_integer_key:
                return table
            return replace(table, checkpoint=await self._checkpoint(connection, name))

    async def _checkpoint(
        self, connection: AsyncConnection, name: str, names: set[str] | None = None
    ) -> CheckpointTable | None:
        """The first table that is called like a singular of this one's name, if it has the columns that are needed."""
        short = name.removeprefix(self._prefix)
        for singular in singulars(short):
            checkpoint_name = f"{self._prefix}{singular}{CHECKPOINTS}"
            if names is not None and checkpoint_name not in names:
                continue
            found = await self._read_table(connection, checkpoint_name)
            if found is None:
                continue
            row_column = f"{singular}_id"
            if row_column in found.by_name and any(
                set(key.columns) == {row_column, "system_id"} for key in found.uniques
            ):
                return CheckpointTable(checkpoint_name, row_column)
            _log.warning(
                "checkpoints are not written: the table has not been adopted; run `intertie db adopt`",
                table=checkpoint_name,
            )
        return None


def singulars(plural: str) -> tuple[str, ...]:
    """What one row may be called: events → event, categories → category, statuses → status, staff → staff."""
    found = []
    if plural.endswith("ies"):
        found.append(plural[:-3] + "y")
    if plural.endswith("s"):
        found.append(plural[:-1])
    if plural.endswith("es"):
        found.append(plural[:-2])
    return (*found, plural)
