"""What happens to a Database when MariaDB deadlocks, drops connections, or is away."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote

import pytest
import uvloop
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis import database_errors
from intertie_chassis.database import Database
from intertie_chassis.errors import StartupError, StoreBusy, Unavailable
from intertie_chassis.mysql import LockWait
from waiting import eventually


async def _open(mariadb_url: str) -> Database:
    opened = await Database.open(mariadb_url, pool_size=4)

    async def work(connection: AsyncConnection) -> None:
        await connection.execute(text("CREATE TABLE t (id INT PRIMARY KEY, value INT NOT NULL) ENGINE=InnoDB"))
        await connection.execute(text("INSERT INTO t VALUES (1, 0), (2, 0)"))

    await opened.transaction(work)
    return opened


@pytest.fixture
async def database(mariadb_url: str) -> AsyncIterator[Database]:
    """An open database with two rows."""
    opened = await _open(mariadb_url)
    yield opened
    await opened.close()


@pytest.fixture
def administrator(mariadb_server: Any, mariadb_url: str) -> Iterator[Any]:
    """A connection beside the suite's, to do harm with."""
    connection = mariadb_server.connect(mariadb_url.rpartition("/")[2])
    yield connection
    connection.close()


def _kill_others(administrator: Any) -> int:
    with administrator.cursor() as cursor:
        cursor.execute("SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()")
        ids = [row[0] for row in cursor.fetchall()]
        for identifier in ids:
            cursor.execute(f"KILL {identifier}")
    return len(ids)


async def test_a_deadlock_is_run_again(database: Database) -> None:
    barrier = asyncio.Barrier(2)
    runs: list[int] = []

    def crossing(first: int, second: int) -> Any:
        met = False

        async def work(connection: AsyncConnection) -> None:
            nonlocal met
            runs.append(first)
            await connection.execute(text("UPDATE t SET value = value + 1 WHERE id = :id"), {"id": first})
            if not met:
                met = True
                await barrier.wait()
            await connection.execute(text("UPDATE t SET value = value + 1 WHERE id = :id"), {"id": second})

        return work

    await asyncio.gather(database.transaction(crossing(1, 2)), database.transaction(crossing(2, 1)))
    assert len(runs) == 3  # one of the two ran twice
    async with database.read() as connection:
        assert list(await connection.scalars(text("SELECT value FROM t ORDER BY id"))) == [2, 2]


@pytest.mark.parametrize("lock", ["BEGIN; SELECT * FROM t WHERE id = 1 FOR UPDATE", "LOCK TABLES t WRITE"])
async def test_who_will_not_wait_twice_is_told_that_the_store_is_busy(
    mariadb_url: str, administrator: Any, lock: str
) -> None:
    """After one run; and the session is as it was for whoever has it next."""
    database = await _open(mariadb_url)
    await database.close()
    database = await Database.open(mariadb_url, pool_size=1)
    runs: list[int] = []

    async def work(connection: AsyncConnection) -> Any:
        runs.append(1)
        await connection.execute(text("UPDATE t SET value = value + 1 WHERE id = 1"))
        return await connection.scalar(text("SELECT CONCAT_WS(' ', @@innodb_lock_wait_timeout, @@lock_wait_timeout)"))

    with administrator.cursor() as cursor:
        for statement in lock.split("; "):
            cursor.execute(statement)
        with pytest.raises(StoreBusy) as caught:
            await database.transaction(work, lock_wait=1)
        assert (caught.value.reason, caught.value.retry_after, len(runs)) == ("STORE_UNAVAILABLE", 1, 1)
        cursor.execute("ROLLBACK")
        cursor.execute("UNLOCK TABLES")
    assert await database.transaction(work) == "5 5"
    assert await database.transaction(work, lock_wait=1) == "1 1"
    assert await database.transaction(work, lock_wait=LockWait(rows=2, tables=3)) == "2 3"
    assert await database.transaction(work) == "5 5"
    await database.close()


async def test_killed_connections_are_replaced_unnoticed(database: Database, administrator: Any) -> None:
    for _ in range(3):
        async with database.read() as connection:
            await connection.scalar(text("SELECT 1"))
        assert _kill_others(administrator) >= 2
        async with database.read() as connection:
            assert await connection.scalar(text("SELECT COUNT(*) FROM t")) == 2

        async def add(connection: AsyncConnection) -> None:
            await connection.execute(text("UPDATE t SET value = value + 1 WHERE id = 1"))

        await database.transaction(add)
    async with database.read() as connection:
        assert await connection.scalar(text("SELECT value FROM t WHERE id = 1")) == 3


def test_under_uvloop_killed_connections_are_replaced_as_well(mariadb_url: str, administrator: Any) -> None:
    """uvloop raises another exception from a dead connection, which older drivers let out (asyncmy #158)."""

    async def scenario() -> None:
        database = await _open(mariadb_url)
        await test_killed_connections_are_replaced_unnoticed(database, administrator)
        await test_a_connection_that_dies_before_the_commit_is_never_a_success(database, administrator)
        await test_a_read_whose_connection_dies_is_unavailable(database, administrator)
        await database.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())


async def test_a_connection_that_dies_before_the_commit_is_never_a_success(
    database: Database, administrator: Any
) -> None:
    async def work(connection: AsyncConnection) -> None:
        await connection.execute(text("UPDATE t SET value = 8 WHERE id = 2"))
        _kill_others(administrator)

    with pytest.raises(Unavailable) as caught:
        await database.transaction(work)
    assert (caught.value.reason, caught.value.retry_after) == ("STORE_UNAVAILABLE", 1)
    async with database.read() as connection:
        assert await connection.scalar(text("SELECT value FROM t WHERE id = 2")) == 0


async def test_a_read_whose_connection_dies_is_unavailable(database: Database, administrator: Any) -> None:
    async def read() -> None:
        async with database.read() as connection:
            await connection.scalar(text("SELECT 1"))
            _kill_others(administrator)
            await connection.scalar(text("SELECT 1"))

    with pytest.raises(Unavailable):
        await read()


async def test_a_crowded_pool_is_unavailable_within_its_time(database: Database) -> None:
    release = asyncio.Event()
    inside = 0

    async def hold(_connection: AsyncConnection) -> None:
        nonlocal inside
        inside += 1
        await release.wait()

    held = [asyncio.create_task(database.transaction(hold)) for _ in range(4)]
    await eventually(lambda: inside == 4, timeout=10)
    with pytest.raises(Unavailable) as caught:
        await database.transaction(hold)
    assert caught.value.reason == "STORE_UNAVAILABLE"
    release.set()
    await asyncio.gather(*held)


class _Proxy:
    """Passes bytes between a Database and the server, until it swallows them without a word."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        self._open.set()

    async def serve(self) -> asyncio.Server:
        """Starts to listen on a free port."""
        return await asyncio.start_server(self._join, "127.0.0.1", 0)

    def swallow(self, is_swallowing: bool) -> None:
        """Stops or resumes passing bytes; no connection notices."""
        if is_swallowing:
            self._open.clear()
        else:
            self._open.set()

    async def close(self) -> None:
        """Ends every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.create_task(self._pass(reader, writer)))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            await asyncio.gather(self._pump(reader, server_writer), self._pump(server_reader, writer))
        finally:
            writer.close()
            server_writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            return
        finally:
            writer.close()


async def test_a_store_that_stops_answering_is_unavailable_and_heals(mariadb_server: Any, mariadb_url: str) -> None:
    proxy = _Proxy(mariadb_server.port)
    listening = await proxy.serve()
    port = listening.sockets[0].getsockname()[1]
    database = await Database.open(mariadb_url.replace(f":{mariadb_server.port}/", f":{port}/"), pool_size=2)

    async def work(connection: AsyncConnection) -> int:
        return int(await connection.scalar(text("SELECT 7")) or 0)

    assert await database.transaction(work) == 7
    proxy.swallow(True)
    answers = await asyncio.gather(*(database.transaction(work, timeout=0.5) for _ in range(6)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {Unavailable}
    proxy.swallow(False)

    async def healed() -> bool:
        try:
            return await database.transaction(work, timeout=1) == 7
        except Unavailable:
            return False

    await eventually(healed, timeout=5)
    await database.close()
    listening.close()
    await proxy.close()


def test_under_uvloop_a_server_that_hangs_up_at_once_is_away() -> None:
    """A server without a free connection does; the driver then has an error of its own that says nothing of it."""

    async def main() -> None:
        async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.abort()

        listening = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        database = await Database.open(f"mysql://u:p@127.0.0.1:{port}/d")
        for _ in range(20):
            with pytest.raises(Unavailable):
                async with database.read():
                    pytest.fail("connected to nothing")
        await database.close()
        listening.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


async def test_a_server_that_is_away_is_waited_for(free_port: int) -> None:
    database = await Database.open(f"mysql://nobody:hunter2@127.0.0.1:{free_port}/nothing")
    with pytest.raises(Unavailable) as caught:
        async with database.read():
            pytest.fail("connected to nothing")
    assert "hunter2" not in str(caught.value)
    await database.close()


async def test_a_wrong_password_is_said_at_once_and_not_repeated(mariadb_server: Any, mariadb_url: str) -> None:
    database_name = mariadb_url.rpartition("/")[2]
    with pytest.raises(StartupError) as caught:
        await Database.open(f"mariadb://intertie:hunter2@127.0.0.1:{mariadb_server.port}/{database_name}")
    assert "hunter2" not in str(caught.value)
    assert database_name in str(caught.value)


async def test_a_right_that_is_granted_later_is_used_at_once(
    database: Database, mariadb_server: Any, mariadb_url: str
) -> None:
    """The server gives it to new sessions only, so those that were denied are not kept."""
    name = mariadb_url.rpartition("/")[2]
    account = f"'{name}'@'127.0.0.1'"

    async def work(connection: AsyncConnection) -> None:
        await connection.execute(text("UPDATE t SET value = 5 WHERE id = 1"))

    with mariadb_server.connect() as administrator, administrator.cursor() as cursor:
        cursor.execute(f"CREATE USER {account} IDENTIFIED BY 'least'")
        cursor.execute(f"GRANT SELECT ON `{name}`.* TO {account}")
        least = await Database.open(f"mysql://{name}:least@127.0.0.1:{mariadb_server.port}/{name}", pool_size=1)
        with pytest.raises(exc.DBAPIError) as caught:
            await least.transaction(work)
        assert database_errors.is_denied(caught.value)
        assert not database_errors.is_data_error(caught.value)
        cursor.execute(f"GRANT UPDATE ON `{name}`.* TO {account}")
        await least.transaction(work)
        await least.close()
        cursor.execute(f"DROP USER {account}")
    async with database.read() as connection:
        assert await connection.scalar(text("SELECT value FROM t WHERE id = 1")) == 5


async def test_a_password_may_hold_any_character(mariadb_server: Any, mariadb_url: str) -> None:
    password, name = "p@ss:w/o%rd#?é☂+ x", mariadb_url.rpartition("/")[2]
    with mariadb_server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE USER '{name}'@'127.0.0.1' IDENTIFIED BY %s", [password])
        cursor.execute(f"GRANT SELECT ON `{name}`.* TO '{name}'@'127.0.0.1'")
    database = await Database.open(f"mysql://{name}:{quote(password, safe='')}@127.0.0.1:{mariadb_server.port}/{name}")
    async with database.read() as connection:
        assert await connection.scalar(text("SELECT DATABASE()")) == name
    await database.close()
    with mariadb_server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP USER '{name}'@'127.0.0.1'")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://u:hunter2@127.0.0.1:1", "names no database"),
        ("mysql://u:hunter2@127.0.0.1:1/", "names no database"),
        ("mysql://u:hunter2@127.0.0.1:1/d?sslmode=on", "sslmode"),
        ("mysql://u:hunter2@127.0.0.1:1/d?ssl_ca=/is/not/here.pem", "ssl_ca"),
        ("mysql://u:hunter2#@127.0.0.1:x/d", "percent form"),
    ],
)
async def test_a_url_that_can_never_work_is_said_at_once(url: str, told: str) -> None:
    with pytest.raises(StartupError, match=told) as caught:
        await Database.open(url)
    assert "hunter2" not in str(caught.value)


async def test_the_character_set_of_the_url_loses_nothing(mariadb_url: str) -> None:
    database = await Database.open(f"{mariadb_url}?charset=utf8")
    async with database.read() as connection:
        assert await connection.scalar(text("SELECT @@character_set_client")) == "utf8mb4"
    await database.close()


async def test_sessions_are_strict_and_in_utc(database: Database) -> None:
    query = "SELECT @@time_zone, @@innodb_lock_wait_timeout, @@sql_mode, @@tx_isolation, @@character_set_client"

    async def work(connection: AsyncConnection) -> Any:
        return (await connection.execute(text(query))).one()

    zone, lock_wait, mode, isolation, charset = await database.transaction(work)
    assert (zone, lock_wait, isolation, charset) == ("+00:00", 5, "READ-COMMITTED", "utf8mb4")
    assert "STRICT_TRANS_TABLES" in mode
    assert database.is_mariadb


async def test_what_does_not_fit_is_an_error_and_not_cut(database: Database) -> None:
    async def work(connection: AsyncConnection) -> None:
        await connection.execute(text("INSERT INTO t VALUES (99999999999, 1)"))

    with pytest.raises(exc.DBAPIError) as caught:
        await database.transaction(work)
    assert database_errors.is_data_error(caught.value)
