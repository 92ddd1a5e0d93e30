"""Checkpoints as callers see them: pages over all checkpoint tables, one row, and states that modules report."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from intertie_chassis.clock import utc_now
from intertie_chassis.database import Database
from intertie_chassis.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied, Unavailable
from intertie_chassis.identity import Principal
from intertie_chassis.outbox import Outbox
from intertie_mapper.batch_store import BatchStore
from intertie_mapper.checkpoint_store import Checkpoint, Note
from intertie_mapper.columns import CheckpointTable, TargetTable
from intertie_mapper.configuration import Configuration, SystemEntry
from intertie_mapper.target_store import Connection
from intertie_mapper.target_tables import TargetTables

Found = tuple[str, Checkpoint]
"""A target table's name, and a row of its checkpoint table."""


@dataclass(frozen=True, slots=True)
class Report:
    """A state that a module (or an operator) reports."""

    target_table: str
    row_id: int
    system: str
    status: str
    sent: bytes | None
    received: bytes | None
    error: str


class Checkpoints:
    """Reads and records checkpoints."""

    def __init__(
        self,
        database: Database,
        targets: TargetTables,
        store: BatchStore,
        outbox: Outbox,
        configuration: Configuration,
        audit_entry: Callable[..., bytes],
    ) -> None:
        """`audit_entry` makes the audit's batch for a recorded state."""
        self._database = database
        self._targets = targets
        self._store = store
        self._outbox = outbox
        self._configuration = configuration
        self._audit_entry = audit_entry

    async def page(
        self, size: int, target_table: str, system: str, status: str, row_id: int, after: tuple[str, str, int] | None
    ) -> list[Found]:
        """The newest changes first, over all tables or one; `after` is the position of the last one given.

        Raises NotFound when the table that is named has no checkpoints.
        """
        if target_table:
            name = self._targets.full_name(target_table)
            tables = [(name, await self._table(name))]
        else:
            tables = await self._targets.with_checkpoints()
        found: list[Found] = []
        async with self._database.read() as connection:
            for name, table in tables:
                rows = await self._store.checkpoints.page(
                    connection, table, size, system=system, status=status, row_id=row_id, before=_before(name, after)
                )
                found += [(name, row) for row in rows]
        # Newest first; rows of one second by table and, within it, by number.
        found.sort(key=lambda one: one[1].id, reverse=True)
        found.sort(key=lambda one: one[0])
        found.sort(key=lambda one: position(one)[0], reverse=True)
        return found[:size]

    async def get(self, target_table: str, row_id: int, system: str) -> Found:
        """The checkpoint of a row and a system. Raises NotFound."""
        name = self._targets.full_name(target_table)
        table = await self._table(name)
        async with self._database.read() as connection:
            found = await self._store.checkpoints.get(connection, table, row_id, system)
        if found is None:
            raise NotFound(
                f"{name} {row_id} has no checkpoint of the system {system}",
                reason="CHECKPOINT_NOT_FOUND",
                metadata={"target_table": name, "target_id": str(row_id), "system": system},
            )
        return name, found

    async def record(self, principal: Principal, report: Report) -> Found:
        """Keep a reported state.

        Raises PermissionDenied for a module without a grant to write, NotFound when system, table or row are not there.
        """
        system = self._system(principal, report.system)
        name = self._targets.full_name(report.target_table)
        checkpoint = await self._table(name)
        table = await self._targets.describe(name)
        note = Note(report.row_id, system.id, system.name, report.received, report.error or None)
        now = utc_now()
        module = principal.name if principal.role == "module" else ""
        entry = self._audit_entry(
            system.id,
            system.name,
            name,
            report.row_id,
            report.status,
            principal.label,
            module,
            int(now.timestamp() * 1000),
        )

        async def work(connection: Connection) -> Checkpoint | None:
            if not await self._store.targets.read(connection, table, [(report.row_id,)], ()):
                return None
            await self._store.checkpoints.record(connection, checkpoint, note, report.status, report.sent, now)
            await self._outbox.append(connection, entry)
            return await self._store.checkpoints.get(connection, checkpoint, report.row_id, system.name)

        found = await self._database.transaction(work)
        if found is None:
            raise NotFound(
                f"{name} has no row {report.row_id}", metadata={"target_table": name, "target_id": str(report.row_id)}
            )
        self._outbox.wake()
        return name, found

    def _system(self, principal: Principal, name: str) -> SystemEntry:
        if not self._configuration.is_known:
            raise Unavailable(
                "the configuration has not arrived from registry yet; try again", reason="NO_SNAPSHOT", retry_after=1
            )
        system = self._configuration.system_named(name)
        # Permission before existence: a module learns nothing of systems that it has no grant on.
        if principal.role == "module":
            _require_grant(system, principal.name, name)
        if system is None:
            raise NotFound(f"there is no system {name}", reason="SYSTEM_NOT_FOUND", metadata={"system": name})
        return system

    async def _table(self, name: str) -> CheckpointTable:
        table: TargetTable = await self._targets.describe(name)
        if table.checkpoint is None:
            raise FailedPrecondition(
                f"{name} has no checkpoint table; one is called like its singular, with _integration_checkpoints",
                metadata={"target_table": name},
            )
        return table.checkpoint


def _require_grant(system: SystemEntry | None, module: str, name: str) -> None:
    """Raises PermissionDenied unless the module may write to the system now, and the system is switched on."""
    metadata = {"system": name[:100], "module": module}
    if system is None or not system.is_active or module not in system.writers:
        raise PermissionDenied(f"the module {module} has no grant to write to the system {name}", metadata=metadata)
    if system.writers[module] <= time.time():
        raise PermissionDenied(
            f"the grant of the module {module} for the system {name} has ended",
            reason="GRANT_EXPIRED",
            metadata=metadata,
        )


def position(found: Found) -> tuple[str, str, int]:
    """Where a checkpoint stands in the order of `page`: its time of change, table and number."""
    name, row = found
    when = row.updated_at.isoformat(" ", timespec="seconds") if row.updated_at else "1970-01-01 00:00:00"
    return when, name, row.id


def read_position(parts: list[str | int] | None) -> tuple[str, str, int] | None:
    """The position in a page token. Raises InvalidArgument when it is none of ours."""
    if parts is None:
        return None
    match parts:
        case [str(when), str(name), int(number)]:
            return when, name, number
    raise InvalidArgument("page_token is not one that this list gave", reason="INVALID_PAGE_TOKEN")


def _before(name: str, after: tuple[str, str, int] | None) -> tuple[str, int] | None:
    """Where to go on in one table: rows of the same second have been given in tables that come before by name."""
    if after is None:
        return None
    when, table, number = after
    if name == table:
        return when, number
    return (when, 0) if name < table else (when, 2**62)
