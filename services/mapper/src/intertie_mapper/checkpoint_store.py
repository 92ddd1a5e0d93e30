"""Every statement on the checkpoint tables: how the exchange of each target row with each system stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.bulk_cursor import RowStatement
from intertie_mapper.columns import CheckpointTable, SqlValue
from intertie_mapper.statements import Dialect, chunks

CONFIRMED = "confirmed"
FAILED = "failed"
STATES = ("pending", "sent", "acknowledged", CONFIRMED, FAILED)

_CHANGED = "COALESCE(updated_at, '1970-01-01 00:00:00')"  # PHP's table lets it be NULL
_READ = (
    "id", "subsystem_type", "integration_status", "sent_data", "received_data", "last_sync_at", "sync_attempts",
    "error_message", "created_at", "updated_at",
)  # fmt: skip
_NOTED = 8
_ASSIGNED = [
    *((name, "{new}") for name in ("subsystem_type", "integration_status", "last_sync_at", "updated_at")),
    ("sync_attempts", "{old} + 1"),
]
"""How the columns of `_noted` change where there is a checkpoint already."""
_NO_ERROR = ("error_message", "NULL")
"""In the text and not as a value: many rows go to a server that must learn a type of each of their columns."""


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


class Note(NamedTuple):
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
        stamp = now.isoformat(" ", timespec="seconds")
        is_failure = status == FAILED
        rows: list[tuple[SqlValue, ...]] = [
            (
                note.row_id, note.system_id, note.system, status, stamp, 1, stamp, stamp,
                note.error if is_failure else _text(note.received),
            )
            for note in sorted(notes, key=lambda note: note[:2])
        ]  # fmt: skip
        kept = "error_message" if is_failure else "received_data"
        assignments = [(kept, "{new}")] if is_failure else [(kept, "{new}"), _NO_ERROR]
        await self._upsert(connection, table, (*_noted(table), kept), rows, assignments)

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
        stamp = now.isoformat(" ", timespec="seconds")
        said = {"sent_data": _text(sent), "received_data": _text(note.received), "error_message": note.error}
        given = {name: value for name, value in said.items() if value is not None}
        noted: tuple[SqlValue, ...] = (note.row_id, note.system_id, note.system, status, stamp, 1, stamp, stamp)
        assignments = [(name, "{new}") for name in given]
        if note.error is None:
            assignments.append(_NO_ERROR)
        await self._upsert(connection, table, (*_noted(table), *given), [(*noted, *given.values())], assignments)

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
        end = sql.upsert([table.row_column, "system_id"], [*_ASSIGNED, *assignments])
        statement = RowStatement(
            f"INSERT INTO {sql.quote(table.name)} ({sql.names(names)}) VALUES {sql.row(len(names))}{end}"
        )
        for some in chunks(rows, range(_NOTED, len(names))):
            await connection.exec_driver_sql(statement, some)


def _noted(table: CheckpointTable) -> tuple[str, ...]:
    """The columns of which every exchange has something to say."""
    return (
        table.row_column, "system_id", "subsystem_type", "integration_status", "last_sync_at", "sync_attempts",
        "created_at", "updated_at",
    )  # fmt: skip


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
