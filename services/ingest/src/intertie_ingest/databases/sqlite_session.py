"""Sessions on SQLite files, by aiosqlite: a thread for each, which SQLite itself keeps to reading."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Collection, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import aiosqlite

from intertie_ingest.databases import sqlite_rules
from intertie_ingest.databases.session import Rows, Session
from intertie_ingest.databases.sqlite_file import checked, uri
from intertie_ingest.databases.statements import Statement
from intertie_ingest.databases.values import Encoder
from intertie_ingest.databases.volume import PART_BYTES, weight
from intertie_ingest.errors import QueryFailed, QueryRefused
from intertie_ingest.external import ExternalConnection

_BUSY_SECONDS = 2.0


async def connect(connection: ExternalConnection, forbidden: Collection[Path]) -> SQLiteSession:
    """A session that reads the file. Raises ConnectionUnusable and SQLite's errors."""
    session = SQLiteSession(connection, forbidden)
    try:
        await session._open()
    except BaseException:
        await session.close()
        raise
    return session


class SQLiteSession(Session):
    """A connection that reads; for each statement that writes one of its own is opened."""

    def __init__(self, connection: ExternalConnection, forbidden: Collection[Path]) -> None:
        self._connection, self._forbidden = connection, forbidden
        self._clock = sqlite_rules.Clock()
        self._driver = self._thread("ro")
        self._seconds = 0.0
        self._is_closed = False
        self._cursor: aiosqlite.Cursor | None = None

    async def begin(self, statement: Statement, arguments: Sequence[Any], seconds: float) -> Encoder:
        self._seconds = seconds
        self._clock.start(seconds)
        await self._driver.execute("BEGIN")
        await self._rule(sqlite_rules.reading)
        values = _bound(arguments, statement.parameters)
        await self._driver._execute(lambda: sqlite_rules.limit_row(self._driver._conn, statement.sql, values))  # type: ignore[no-untyped-call]
        self._cursor = await self._driver.execute(statement.sql, values)
        return Encoder([column[0] for column in self._cursor.description or ()], is_flat=True)

    async def fetch(self, most: int) -> Rows:
        self._clock.start(self._seconds)  # what the rows' taker needs is not the statement's time
        if self._cursor is None:
            return []
        rows: Rows = await self._driver._execute(_taken, self._cursor._cursor, most)  # type: ignore[no-untyped-call]
        return rows

    async def finish(self) -> None:
        if self._cursor is not None:
            await self._cursor.close()
        await self._rule(None)
        await self._driver.rollback()

    async def change(self, statement: Statement, arguments: Sequence[Any], seconds: float, most: int) -> int:
        writer = self._thread("rw")
        self._clock.start(seconds)
        try:
            await writer
            await writer.execute("BEGIN IMMEDIATE")
            await writer._execute(lambda: writer._conn.set_authorizer(sqlite_rules.writing(statement)))  # type: ignore[no-untyped-call]
            cursor = await writer.execute(statement.sql, _bound(arguments, statement.parameters))
            await cursor.fetchall()
            changed = max(cursor.rowcount, 0)
            await cursor.close()
            await writer._execute(lambda: writer._conn.set_authorizer(None))  # type: ignore[no-untyped-call]
            if changed > most:
                raise QueryRefused(f"the statement would change more than {most} rows; nothing is changed")
            await writer.commit()
            return changed
        finally:
            await _ended(writer)  # without a commit it is rolled back

    async def catalogue(self, sql: str, arguments: Sequence[Any]) -> Rows:
        self._clock.start(_BUSY_SECONDS)
        async with self._driver.execute(sql, tuple(arguments)) as cursor:
            return list(await cursor.fetchall())

    async def ping(self) -> None:
        """The file may have been replaced by another one meanwhile; then it must be opened again."""
        path = checked(self._connection.db_name, self._forbidden)
        if path.stat().st_ino != self._inode:
            raise QueryFailed("the file is another one now")

    async def abandon(self) -> None:
        self._clock.stop()
        await self.close()

    async def close(self) -> None:
        if self._is_closed:
            return  # a second one would wait for a thread that has ended
        self._is_closed = True
        await _ended(self._driver)

    async def _open(self) -> None:
        await self._driver
        # Looks at the file for the first time: what is no database says so now.
        await self.catalogue("SELECT count(*) FROM sqlite_master", ())

    async def _rule(self, authorizer: sqlite_rules.Authorizer | None) -> None:
        await self._driver._execute(lambda: self._driver._conn.set_authorizer(authorizer))  # type: ignore[no-untyped-call]

    def _thread(self, mode: str) -> aiosqlite.Connection:
        def opened() -> sqlite3.Connection:
            path = checked(self._connection.db_name, self._forbidden)
            self._inode = path.stat().st_ino
            connection = sqlite3.connect(
                uri(path, mode), uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(connection, mode)
            except BaseException:
                connection.close()
                raise
            return connection

        made = aiosqlite.Connection(opened, 64)
        made._thread.daemon = True
        return made

    def _prepare(self, connection: sqlite3.Connection, mode: str) -> None:
        sqlite_rules.limit(connection)
        if hasattr(connection, "enable_load_extension"):  # some Pythons are built without
            connection.enable_load_extension(False)
        # What is stored as text but is no UTF-8 is shown as far as it can be.
        connection.text_factory = partial(str, encoding="utf-8", errors="replace")
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.execute("PRAGMA foreign_keys=ON")
        if mode == "ro":
            connection.execute("PRAGMA query_only=ON")
        self._clock.watch(connection)


async def _ended(driver: aiosqlite.Connection) -> None:
    """Closes behind what still runs, and waits for the thread: it must not outlive the event loop that it calls."""
    if not driver._thread.is_alive():
        return
    if driver._running:
        driver.stop()
    await asyncio.get_running_loop().run_in_executor(None, driver._thread.join)


def _taken(cursor: sqlite3.Cursor, most: int) -> Rows:
    """The next rows: as many, or fewer when they are large."""
    rows: list[Sequence[Any]] = []
    size = 0
    while len(rows) < most and size < PART_BYTES and (row := cursor.fetchone()) is not None:
        rows.append(row)
        size += weight(row)
    return rows


def _bound(arguments: Sequence[Any], names: Sequence[str]) -> tuple[Any, ...]:
    values = []
    for index, value in enumerate(arguments):
        if isinstance(value, Decimal):
            value = int(value) if value == value.to_integral_value() else float(value)
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            name = names[index] if index < len(names) else ""
            raise QueryFailed(f"the parameter {name} must be a number of 64 bits")
        values.append(value)
    return tuple(values)
