"""Several processes and objects that write to one SQLite file: one at a time, in turns, freed by death."""

import asyncio
import fcntl
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

import processes
import sqlite_writer
from intertie_chassis.database import Database
from intertie_chassis.errors import StartupError, Unavailable
from intertie_chassis.file_lock import FileLock
from waiting import eventually

TRANSACTIONS = 2000


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A file with an empty counter."""
    found = tmp_path / "shared.db"
    database = await Database.open(f"sqlite:///{found}")
    async with database.exclusive("test") as connection:
        for statement in (*sqlite_writer.TABLES, "INSERT INTO counter VALUES (0)"):
            await connection.execute(text(statement))
    await database.close()
    return found


@pytest.fixture
async def two(path: Path) -> AsyncIterator[tuple[Database, Database]]:
    """Two objects on one file in this process."""
    one, other = await Database.open(f"sqlite:///{path}"), await Database.open(f"sqlite:///{path}")
    yield one, other
    await one.close()
    await other.close()


def _start(path: Path, count: int, log: Path) -> subprocess.Popen[bytes]:
    return processes.start([sys.executable, sqlite_writer.__file__, str(path), str(count)], log=log)


async def _add(connection: AsyncConnection) -> None:
    await connection.execute(text("UPDATE counter SET value = value + 1"))


def _counted(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT value FROM counter").fetchone()[0])


def _is_taken(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


async def test_two_processes_lose_nothing_and_never_meet(path: Path, tmp_path: Path) -> None:
    """Every transaction of both counts, none had to be run again, and the file is whole."""
    logs = [tmp_path / "one.log", tmp_path / "other.log"]
    writers = [_start(path, TRANSACTIONS, log) for log in logs]
    assert [await asyncio.to_thread(writer.wait, 300) for writer in writers] == [0, 0], [
        log.read_text() for log in logs
    ]
    assert [log.read_text().splitlines()[-1] for log in logs] == ["ran again: 0"] * 2
    assert _counted(path) == 2 * TRANSACTIONS
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT count(*) FROM entries").fetchone() == (2 * TRANSACTIONS,)


async def test_a_killed_process_frees_the_file_at_once(path: Path, tmp_path: Path) -> None:
    """What waits for it goes on, and nothing of its transaction is there."""
    log = tmp_path / "holder.log"
    holder = _start(path, 0, log)
    await eventually(lambda: "holding" in log.read_text())
    waiting = asyncio.ensure_future(_open_and_add(path))
    await eventually(lambda: _is_taken(Path(f"{path}.writer.next")))
    holder.kill()
    holder.wait()
    await waiting
    assert _counted(path) == 1


async def _open_and_add(path: Path) -> None:
    database = await Database.open(f"sqlite:///{path}")
    await database.transaction(_add)
    await database.close()


async def test_who_waits_too_long_is_told_and_what_came_too_late_goes_back(
    two: tuple[Database, Database], path: Path
) -> None:
    """Unavailable within the transaction's time; then both can write, so the lock that arrived late was given back."""
    one, other = two
    is_in, may_end = asyncio.Event(), asyncio.Event()

    async def hold(connection: AsyncConnection) -> None:
        await _add(connection)
        is_in.set()
        await may_end.wait()

    holding = asyncio.ensure_future(one.transaction(hold))
    await is_in.wait()
    for _ in range(3):
        with pytest.raises(Unavailable) as refused:
            await other.transaction(_add, timeout=0.05)
        assert refused.value.reason == "STORE_UNAVAILABLE"
    with pytest.raises(Unavailable):
        async with other.exclusive("test", wait=0.05):
            raise AssertionError("two processes are in")
    may_end.set()
    await holding
    await one.transaction(_add)
    await other.transaction(_add)
    assert _counted(path) == 3


async def test_a_cancelled_writer_holds_nobody_up(two: tuple[Database, Database], path: Path) -> None:
    """Transactions cut off at any point, again and again: after them everyone still gets a turn."""
    one, other = two
    for turn in range(60):
        task = asyncio.ensure_future(one.transaction(_add, timeout=turn * 0.0002))
        rival = asyncio.ensure_future(other.transaction(_add))
        await asyncio.gather(task, return_exceptions=True)
        await rival
    before = _counted(path)
    await one.transaction(_add)
    assert _counted(path) == before + 1


async def test_turns_are_taken(tmp_path: Path) -> None:
    """One who comes back at once does not overtake one who waits."""
    one, other = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    hold, order = await one.acquire(), []

    async def ask(lock: FileLock, name: str) -> None:
        held = await lock.acquire()
        order.append(name)
        held.release()

    first = asyncio.ensure_future(ask(other, "waits"))
    await eventually(lambda: _is_taken(tmp_path / "lock.next"))
    second = asyncio.ensure_future(ask(one, "comes back"))
    await asyncio.sleep(0)
    hold.release()
    await asyncio.gather(first, second)
    assert order == ["waits", "comes back"]


async def test_one_who_gives_up_leaves_the_lock_to_others(tmp_path: Path) -> None:
    """A lock that comes when nobody wants it any more goes back; one who asks meanwhile gets it."""
    one, other = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    hold = await one.acquire()
    for _ in range(3):
        gives_up = asyncio.ensure_future(other.acquire())
        await asyncio.sleep(0)
        gives_up.cancel()
        await asyncio.gather(gives_up, return_exceptions=True)
    stays = asyncio.ensure_future(other.acquire())
    await asyncio.sleep(0)
    hold.release()
    (await stays).release()
    (await one.acquire()).release()


async def test_the_files_are_their_owners_alone(two: tuple[Database, Database], path: Path) -> None:
    """Whoever could lock them could stop every write."""
    await two[0].transaction(_add)
    for name in (f"{path}.writer", f"{path}.writer.next"):
        assert stat.S_IMODE(Path(name).stat().st_mode) == 0o600


async def test_a_lock_file_that_cannot_be_made_is_told_at_the_start(tmp_path: Path) -> None:
    """In words, and with the file's name."""
    (tmp_path / "new.db.writer.next").mkdir()
    with pytest.raises(StartupError, match="lock file"):
        await Database.open(f"sqlite:///{tmp_path / 'new.db'}")
