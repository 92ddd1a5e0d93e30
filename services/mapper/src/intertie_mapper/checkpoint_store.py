"""Every statement on the checkpoint tables: how the exchange of each target row with each system stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_mapper.columns import CheckpointTable, SqlValue
from intertie_mapper.statements import Dialect, chunks, flat

CONFIRMED = "confirmed"
FAILED = "failed"
STATES = ("pending", "sent", "acknowledged", CONFIRMED, FAILED)

_CHANGED = "COALESCE(updated_at, '1970-01-01 00:00:00')"  # PHP's table lets it be NULL
_READ = (
    "id", "subsystem_type", "integration_status", "sent_data", "received_data", "last_sync_at", "sync_attempts",
    "error_message", "created_at", "updated_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A row of a checkpoint table."""

    id: int
    table: CheckpointTable
    row_id: int
    system: str
    status: str
    sent_data: bytes
    received_data: bytes
    last_sync_at: datetime | None
    sync_attempts: int
    error_message: str
    created_at: datetime | None
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class Note:
    """What is to be kept of one exchange."""

    row_id: int
    system_id: int
    system: str
    received: bytes | None = None
    error: str | None = None


class CheckpointStore:
    """The checkpoint tables in one database; every method works on the caller's connection."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    async def note(
        self, connection: AsyncConnection, table: CheckpointTable, status: str, notes: Sequence[Note], now: datetime
    ) -> None:
        """Say of each row and system that an exchange was confirmed or has failed.

        `confirmed` keeps what came and clears the error; `failed` keeps the error and leaves what came before.
        """
        names = [
            table.row_column, "system_id", "subsystem_type", "integration_status", "last_sync_at", "sync_attempts",
            "error_message", "created_at", "updated_at",
        ]  # fmt: skip
        assignments = [
            (name, "{new}") for name in ("subsystem_type", "integration_status", "last_sync_at", "error_message")
        ]
        assignments += [("sync_attempts", "{old} + 1"), ("updated_at", "{new}")]
        if status == CONFIRMED:
            names.append("received_data")
            assignments.append(("received_data", "{new}"))
        stamp = now.isoformat(" ", timespec="seconds")
        rows: list[tuple[SqlValue, ...]] = []
        for note in sorted(notes, key=lambda note: (note.row_id, note.system_id)):
            row = (note.row_id, note.system_id, note.system, status, stamp, 1, note.error, stamp, stamp)
            rows.append((*row, _text(note.received)) if status == CONFIRMED else row)
        await self._upsert(connection, table, names, rows, assignments)

    async def record(
        self,
        connection: AsyncConnection,
        table: CheckpointTable,
        note: Note,
        status: str,
        sent: bytes | None,
        now: datetime,
    ) -> None:
        """Keep a state that a module reports; data that it does not send stays as it is."""
        names = [
            table.row_column, "system_id", "subsystem_type", "integration_status", "last_sync_at", "sync_attempts",
            "error_message", "created_at", "updated_at",
        ]  # fmt: skip
        stamp = now.isoformat(" ", timespec="seconds")
        row: list[SqlValue] = [note.row_id, note.system_id, note.system, status, stamp, 1, note.error, stamp, stamp]
        updated = ["subsystem_type", "integration_status", "last_sync_at", "error_message", "updated_at"]
        for name, value in (("sent_data", sent), ("received_data", note.received)):
            if value is not None:
                names.append(name)
                row.append(_text(value))
                updated.append(name)
        assignments = [(name, "{new}") for name in updated] + [("sync_attempts", "{old} + 1")]
        await self._upsert(connection, table, names, [tuple(row)], assignments)

    async def get(
        self, connection: AsyncConnection, table: CheckpointTable, row_id: int, system: str
    ) -> Checkpoint | None:
        """The checkpoint of a row and a system; of several (PHP keeps no key) the newest."""
        found = await self.page(connection, table, 1, row_id=row_id, system=system)
        return found[0] if found else None

    async def page(
        self,
        connection: AsyncConnection,
        table: CheckpointTable,
        size: int,
        *,
        system: str = "",
        status: str = "",
        row_id: int = 0,
        before: tuple[str, int] | None = None,
    ) -> list[Checkpoint]:
        """The newest changes first; `before` continues after a row's time of change (as text) and number."""
        sql = self._dialect
        conditions: list[str] = []
        parameters: list[SqlValue] = []
        for name, value in (("subsystem_type", system), ("integration_status", status), (table.row_column, row_id)):
            if value:
                conditions.append(f"{sql.quote(name)} = {sql.mark}")
                parameters.append(value)
        if before is not None:
            conditions.append(f"({_CHANGED} < {sql.mark} OR ({_CHANGED} = {sql.mark} AND id < {sql.mark}))")
            parameters += [before[0], before[0], before[1]]
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        result = await connection.exec_driver_sql(
            f"SELECT {sql.names([*_READ, table.row_column])} FROM {sql.quote(table.name)}{where} "
            f"ORDER BY {_CHANGED} DESC, id DESC LIMIT {int(size)}",
            tuple(parameters),
        )
        return [_checkpoint(table, tuple(row)) for row in result.all()]

    async def _upsert(
        self,
        connection: AsyncConnection,
        table: CheckpointTable,
        names: Sequence[str],
        rows: Sequence[tuple[SqlValue, ...]],
        assignments: Sequence[tuple[str, str]],
    ) -> None:
        sql = self._dialect
        end = sql.upsert([table.row_column, "system_id"], assignments)
        for some in chunks(rows):
            await connection.exec_driver_sql(
                f"INSERT INTO {sql.quote(table.name)} ({sql.names(names)}) "
                f"VALUES {sql.rows(len(some), len(names))}{end}",
                flat(some),
            )


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "replace")


def _checkpoint(table: CheckpointTable, row: tuple[Any, ...]) -> Checkpoint:
    number, system, status, sent, received, last, attempts, error, created, updated, row_id = row
    return Checkpoint(
        number, table, row_id, system, status, _bytes(sent), _bytes(received), _time(last), attempts, error or "",
        _time(created), _time(updated),
    )  # fmt: skip


def _bytes(value: object) -> bytes:
    return b"" if value is None else value if isinstance(value, bytes) else str(value).encode()


def _time(value: object) -> datetime | None:
    """SQLite keeps times as text."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value if isinstance(value, datetime) else None
