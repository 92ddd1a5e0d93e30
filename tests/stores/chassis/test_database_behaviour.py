"""What a Database promises, on SQLite and on MariaDB alike."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis import database_errors
from intertie_chassis.database import Database
from intertie_chassis.errors import StartupError, Unavailable
from waiting import eventually


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open database with a table of counters."""
    opened = await Database.open(database_url)

    async def work(connection: AsyncConnection) -> None:
        await connection.execute(
            text("CREATE TABLE counters (id INT PRIMARY KEY, name VARCHAR(40) UNIQUE, value INT NOT NULL)")
        )
        await connection.execute(text("INSERT INTO counters VALUES (1, 'one', 0), (2, 'two', 0)"))

    await opened.transaction(work)
    yield opened
    await opened.close()


async def _value(database: Database, counter: int = 1) -> int:
    async with database.read() as connection:
        return int(await connection.scalar(text("SELECT value FROM counters WHERE id = :id"), {"id": counter}) or 0)


def _for_update(database: Database) -> str:
    return " FOR UPDATE" if database.dialect == "mysql" else ""


async def test_no_update_is_lost(database: Database) -> None:
    """6 tasks add 1 to one row 15 times by reading and writing: 90. SQLAlchemy's default on SQLite gives 15."""

    async def add(connection: AsyncConnection) -> None:
        value = await connection.scalar(text(f"SELECT value FROM counters WHERE id = 1{_for_update(database)}"))
        await asyncio.sleep(0)
        await connection.execute(
            text("UPDATE counters SET value = :value WHERE id = 1"), {"value": int(value or 0) + 1}
        )

    async def adds() -> None:
        for _ in range(15):
            await database.transaction(add)

    await asyncio.gather(*(adds() for _ in range(6)))
    assert await _value(database) == 90


async def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    async def work(connection: AsyncConnection) -> None:
        await connection.execute(text("UPDATE counters SET value = 7 WHERE id = 1"))
        raise LookupError("of our own")

    with pytest.raises(LookupError):
        await database.transaction(work)
    assert await _value(database) == 0


async def test_a_cancelled_caller_leaves_no_open_transaction(database: Database) -> None:
    inside, release = asyncio.Event(), asyncio.Event()

    async def work(connection: AsyncConnection) -> None:
        await connection.execute(text("UPDATE counters SET value = 5 WHERE id = 1"))
        inside.set()
        await release.wait()

    caller = asyncio.create_task(database.transaction(work))
    await inside.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    release.set()

    async def add(connection: AsyncConnection) -> None:
        await connection.execute(text("UPDATE counters SET value = value + 1 WHERE id = 1"))

    await database.transaction(add)  # would wait for ever behind a transaction left open
    assert await _value(database) == 6


async def test_a_storm_of_cancellations_crosses_no_answers(database: Database) -> None:
    """Whoever is answered at all is answered with his own number, and afterwards everything still works."""
    numbers = random.Random(7)
    answered = 0

    async def ask(number: int) -> None:
        nonlocal answered

        async def work(connection: AsyncConnection) -> int:
            await connection.execute(text("UPDATE counters SET value = value + 1 WHERE id = 2"))
            return int(await connection.scalar(text("SELECT :number + 0"), {"number": number}) or 0)

        assert await database.transaction(work) == number
        async with database.read() as connection:
            assert await connection.scalar(text("SELECT :number + 0"), {"number": number}) == number
        answered += 1

    async def storm() -> None:
        for _ in range(25):
            task = asyncio.create_task(ask(numbers.randrange(1_000_000)))
            await asyncio.sleep(numbers.uniform(0, 0.01))
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                continue

    await asyncio.gather(*(storm() for _ in range(8)))
    before = await _value(database, 2)
    await asyncio.gather(*(ask(number) for number in range(20)))
    await eventually(lambda: _reaches(database, before + 20), timeout=10)


async def _reaches(database: Database, least: int) -> bool:
    return await _value(database, 2) >= least


async def test_a_reader_waits_for_no_writer_and_sees_only_what_is_committed(database: Database) -> None:
    inside, release = asyncio.Event(), asyncio.Event()

    async def work(connection: AsyncConnection) -> None:
        await connection.execute(text("UPDATE counters SET value = 9 WHERE id = 1"))
        inside.set()
        await release.wait()

    writer = asyncio.create_task(database.transaction(work))
    await inside.wait()
    async with asyncio.timeout(5):
        assert await _value(database) == 0
    release.set()
    await writer
    assert await _value(database) == 9


async def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises((exc.DBAPIError, Unavailable)):
        async with database.read() as connection:
            await connection.execute(text("UPDATE counters SET value = 1 WHERE id = 1"))
    assert await _value(database) == 0


async def test_writers_in_great_number_all_get_their_turn(database: Database) -> None:
    async def add(connection: AsyncConnection) -> None:
        await connection.execute(text("UPDATE counters SET value = value + 1 WHERE id = 1"))

    await asyncio.gather(*(database.transaction(add) for _ in range(60)))
    assert await _value(database) == 60


async def test_duplicates_and_data_faults_are_told_apart(database: Database) -> None:
    async def fails(statement: str) -> BaseException:
        async def work(connection: AsyncConnection) -> None:
            await connection.execute(text(statement))

        with pytest.raises(exc.DBAPIError) as caught:
            await database.transaction(work)
        return caught.value

    primary = await fails("INSERT INTO counters VALUES (1, 'other', 0)")
    unique = await fails("INSERT INTO counters VALUES (3, 'one', 0)")
    null = await fails("INSERT INTO counters VALUES (3, 'three', NULL)")
    unknown = await fails("INSERT INTO no_such_table VALUES (1)")
    assert [database_errors.is_duplicate_key(error) for error in (primary, unique, null, unknown)] == [
        True,
        True,
        False,
        False,
    ]
    assert [database_errors.is_data_error(error) for error in (primary, null, unknown)] == [True, True, False]


async def test_an_error_shows_no_values(database: Database) -> None:
    async def work(connection: AsyncConnection) -> None:
        await connection.execute(text("INSERT INTO counters VALUES (1, :name, 0)"), {"name": "hunter2"})

    with pytest.raises(exc.DBAPIError) as caught:
        await database.transaction(work)
    assert "hunter2" not in str(caught.value)


async def test_a_transaction_has_an_end(database: Database) -> None:
    async def work(connection: AsyncConnection) -> None:
        await connection.execute(text("UPDATE counters SET value = 3 WHERE id = 1"))
        await asyncio.Event().wait()

    with pytest.raises(Unavailable) as caught:
        await database.transaction(work, timeout=0.2)
    assert caught.value.reason == "STORE_UNAVAILABLE"
    assert await _value(database) == 0

    async def add(connection: AsyncConnection) -> None:
        await connection.execute(text("UPDATE counters SET value = value + 1 WHERE id = 1"))

    await database.transaction(add)
    assert await _value(database) == 1


async def test_closing_waits_for_what_runs(database_url: str) -> None:
    database = await Database.open(database_url)

    async def make(connection: AsyncConnection) -> None:
        await connection.execute(text("CREATE TABLE kept (id INT PRIMARY KEY)"))

    await database.transaction(make)
    inside, release = asyncio.Event(), asyncio.Event()

    async def work(connection: AsyncConnection) -> None:
        inside.set()
        await release.wait()
        await connection.execute(text("INSERT INTO kept VALUES (1)"))

    caller = asyncio.create_task(database.transaction(work))
    await inside.wait()
    caller.cancel()
    closing = asyncio.create_task(database.close())
    release.set()
    await closing
    again = await Database.open(database_url)
    async with again.read() as connection:
        assert await connection.scalar(text("SELECT COUNT(*) FROM kept")) == 1
    await again.close()


async def test_one_at_a_time_holds_the_schema(database_url: str) -> None:
    first, second = await Database.open(database_url), await Database.open(database_url)
    order: list[str] = []

    async def change(database: Database, name: str) -> None:
        async with database.exclusive("registry"):
            order.append(f"{name} in")
            await asyncio.sleep(0.05)
            order.append(f"{name} out")

    await asyncio.gather(change(first, "a"), change(second, "b"))
    assert order in (["a in", "a out", "b in", "b out"], ["b in", "b out", "a in", "a out"])
    await first.close()
    await second.close()


class TestSQLite:
    """What is so on SQLite only."""

    async def test_commits_are_durable_and_keys_are_checked(self, sqlite_url: str) -> None:
        database = await Database.open(sqlite_url)

        async def work(connection: AsyncConnection) -> list[Any]:
            pragmas = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "mmap_size")
            return [(await connection.exec_driver_sql(f"PRAGMA {name}")).scalar() for name in pragmas]

        assert await database.transaction(work) == ["wal", 2, 1, 5000, 0]
        await database.close()

    async def test_the_data_version_tells_of_every_commit(self, sqlite_url: str) -> None:
        database, other = await Database.open(sqlite_url), await Database.open(sqlite_url)

        async def make(connection: AsyncConnection) -> None:
            await connection.execute(text("CREATE TABLE t (id INT)"))

        async def insert(connection: AsyncConnection) -> None:
            await connection.execute(text("INSERT INTO t VALUES (1)"))

        await database.transaction(make)
        seen = [await database.data_version()]
        assert seen[0] == await database.data_version()
        for writer in (database, other):
            await writer.transaction(insert)
            seen.append(await database.data_version())
        assert len(set(seen)) == 3
        await database.close()
        await other.close()

    async def test_two_processes_can_write_one_file(self, sqlite_url: str) -> None:
        """The second waits for the first's write lock (here: another Database, as another process would be)."""
        first, second = await Database.open(sqlite_url), await Database.open(sqlite_url)

        async def make(connection: AsyncConnection) -> None:
            await connection.execute(text("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT)"))

        async def insert(connection: AsyncConnection) -> None:
            await connection.execute(text("INSERT INTO t DEFAULT VALUES"))

        await first.transaction(make)
        await asyncio.gather(*(database.transaction(insert) for database in (first, second) * 20))
        async with first.read() as connection:
            assert await connection.scalar(text("SELECT COUNT(*) FROM t")) == 40
        await first.close()
        await second.close()

    @pytest.mark.parametrize(
        "url", ["sqlite://", "sqlite:///:memory:", "postgresql://u:p@h/d", "nonsense", "mysql://[::1"]
    )
    async def test_a_url_that_cannot_work_is_refused_in_words(self, url: str) -> None:
        with pytest.raises(StartupError) as caught:
            await Database.open(url)
        assert ":p@" not in str(caught.value)

    async def test_a_file_that_is_no_database_is_refused_in_words(self, tmp_path: Any) -> None:
        (tmp_path / "x.db").write_bytes(b"this is text and no database" * 100)
        with pytest.raises(StartupError, match=r"x\.db"):
            await Database.open(f"sqlite:///{tmp_path / 'x.db'}")
