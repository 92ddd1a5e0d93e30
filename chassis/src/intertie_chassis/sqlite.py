"""How a SQLite file is opened: one writer that commits durably, one at a time of all processes; readers that cannot."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import event, make_url
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from intertie_chassis import durability
from intertie_chassis.errors import StartupError
from intertie_chassis.sqlite_connection import ReaderConnection, WriterConnection, connector

_BUSY_MS = 5000
_FIRST_SECONDS = 60.0
_COMMON = ("PRAGMA foreign_keys=ON", f"PRAGMA busy_timeout={_BUSY_MS}", "PRAGMA mmap_size=0")


def writer_engine(url: str) -> AsyncEngine:
    """The engine of the one writing connection.

    Every transaction takes the write lock at its start: a read that becomes a write later would fail at once
    (BUSY_SNAPSHOT), and pysqlite's own BEGIN comes too late to stop lost updates.
    """
    engine = create_async_engine(
        url,
        pool_size=1,
        max_overflow=0,
        pool_timeout=5,
        hide_parameters=True,
        connect_args={"async_creator_fn": connector(WriterConnection)},
    )
    # FULL: NORMAL loses every commit since the last checkpoint when the power fails.
    _prepare(engine, "PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", *_COMMON, begin="BEGIN IMMEDIATE")
    return engine


def reader_engine(url: str, pool_size: int) -> AsyncEngine:
    """The engine of the readers, which never checkpoint."""
    engine = create_async_engine(
        url,
        pool_size=min(pool_size, 4),
        max_overflow=0,
        pool_timeout=2,
        hide_parameters=True,
        connect_args={"async_creator_fn": connector(ReaderConnection)},
    )
    _prepare(engine, *_COMMON, "PRAGMA wal_autocheckpoint=0", "PRAGMA query_only=ON", begin="BEGIN")
    return engine


def _prepare(engine: AsyncEngine, *pragmas: str, begin: str) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(pragma)
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)


def make_directory(url: str) -> None:
    """Makes the directory of the file, open to its owner alone.

    Raises StartupError when it cannot, and for a database in memory.
    """
    path = make_url(url).database
    if not path or path == ":memory:" or path.startswith("file:"):
        raise StartupError("a SQLite database must be a file: sqlite:////path/to/file.db")
    try:
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(f"the directory {Path(path).parent} cannot be made ({error.strerror})") from error


async def check(engine: AsyncEngine) -> tuple[dict[str, str], tuple[str, ...]]:
    """The version, for the log, and which settings would lose what is committed (`durability`).

    Raises TimeoutError when another process does not let us in for a minute.
    """
    try:
        async with asyncio.timeout(_FIRST_SECONDS), engine.connect() as connection:
            synchronous = int((await connection.exec_driver_sql("PRAGMA synchronous")).scalar_one())
            journal_mode = str((await connection.exec_driver_sql("PRAGMA journal_mode")).scalar_one())
    except TimeoutError:
        raise TimeoutError(f"another process has been writing to it for {_FIRST_SECONDS:.0f} seconds") from None
    bug = "present; one writer at a time avoids it" if has_wal_reset_bug(sqlite3.sqlite_version_info) else "no"
    facts = {"version": sqlite3.sqlite_version, "wal_reset_bug": bug, "journal_mode": journal_mode}
    return facts, durability.of_file(journal_mode, synchronous)


def has_wal_reset_bug(version: tuple[int, ...]) -> bool:
    """Whether two connections that write or checkpoint at once may corrupt the file (sqlite.org/wal.html)."""
    return version < (3, 51, 3) and version not in ((3, 44, 6), (3, 50, 7))
