"""Where a statement on SQLite runs: in the caller's thread while nothing can make it wait, else in the connection's."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import aiosqlite
import pytest

from intertie_chassis.sqlite_connection import ReaderConnection, WriterConnection, connector


async def _opened(path: Path, kind: type[WriterConnection] | type[ReaderConnection]) -> aiosqlite.Connection:
    connection = await connector(kind)(str(path), isolation_level=None)
    await connection.create_function("thread", 0, threading.get_ident)
    return connection


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[aiosqlite.Connection]:
    """A writer's connection to an empty file."""
    connection = await _opened(tmp_path / "test.db", WriterConnection)
    await connection.execute("CREATE TABLE t (a INTEGER)")
    yield connection
    await connection.close()


async def _thread(connection: aiosqlite.Connection) -> int:
    async with connection.execute("SELECT thread()") as cursor:
        row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def test_a_transaction_runs_where_it_is_called_and_waits_elsewhere(writer: aiosqlite.Connection) -> None:
    """Inside of a transaction no statement changes threads; what begins one, and what stands alone, does."""
    here = threading.get_ident()
    assert await _thread(writer) != here
    await writer.execute("BEGIN IMMEDIATE")
    assert await _thread(writer) == here
    await writer.execute("INSERT INTO t VALUES (1)")
    await writer.commit()
    assert await _thread(writer) != here


async def test_a_begin_that_waits_for_another_process_stops_nobody_else(
    writer: aiosqlite.Connection, tmp_path: Path
) -> None:
    """While the lock is another's, this process goes on; the transaction begins once it is free."""
    other = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    begin = asyncio.ensure_future(writer.execute("BEGIN IMMEDIATE"))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not begin.done()
    other.execute("COMMIT")
    other.close()
    await begin
    await writer.rollback()


async def test_calls_keep_their_order_when_one_was_cancelled(writer: aiosqlite.Connection) -> None:
    """A cancelled BEGIN runs on in its thread; what follows comes after it, not into the middle of it."""
    begin = asyncio.ensure_future(writer.execute("BEGIN IMMEDIATE"))
    await asyncio.sleep(0)
    begin.cancel()
    await asyncio.gather(begin, return_exceptions=True)
    await writer.execute("INSERT INTO t VALUES (1)")
    await writer.rollback()
    async with writer.execute("SELECT count(*) FROM t") as cursor:
        assert await cursor.fetchone() == (0,)


async def test_questions_that_may_take_long_leave_the_callers_thread(
    writer: aiosqlite.Connection, tmp_path: Path
) -> None:
    """A reader's query goes to its thread also inside of a transaction."""
    reader = await _opened(tmp_path / "test.db", ReaderConnection)
    await reader.execute("BEGIN")
    assert await _thread(reader) != threading.get_ident()
    await reader.rollback()
    await reader.close()
