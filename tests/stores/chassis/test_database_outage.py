"""A server that hangs, dies, falls silent or is full: met once, told at once, found back within five seconds."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
import pytest
import structlog
import uvloop
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

import requirement
from intertie_chassis import command, metrics
from intertie_chassis.database import Database
from intertie_chassis.errors import Unavailable
from intertie_chassis.settings import Settings
from intertie_registry.migrations import MIGRATIONS
from mariadb import MariaDBServer, find
from passage import Passage
from waiting import eventually

pytestmark = pytest.mark.usefixtures("usual_limits")
SENDERS = 8


@pytest.fixture(scope="module")
def _own_server() -> Iterator[MariaDBServer | None]:
    """A server that this file may stop and kill."""
    mariadbd, install_db = find("mariadbd"), find("mariadb-install-db")
    if mariadbd is None or install_db is None:
        yield None
        return
    server = MariaDBServer.launch(mariadbd, install_db)
    yield server
    os.kill(server.pid, signal.SIGCONT)  # a test that failed may have left it stopped
    server.stop()


@dataclass
class Scene:
    """A server, the way to it, and an empty database there."""

    server: MariaDBServer
    passage: Passage
    name: str

    @property
    def url(self) -> str:
        """The database's, through the passage."""
        return self.server.url(self.name).replace(f":{self.server.port}/", f":{self.passage.port}/")

    def execute(self, statement: str) -> None:
        """Runs a statement as the server's administrator, past the passage."""
        with self.server.connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def killed(self) -> int:
        """Kills every connection to the database."""
        with self.server.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s", [self.name])
            numbers = [row[0] for row in cursor.fetchall()]
            for number in numbers:
                with suppress(pymysql.err.OperationalError):  # gone by itself meanwhile
                    cursor.execute(f"KILL {number}")
        return len(numbers)


@pytest.fixture
def scene(_own_server: MariaDBServer | None) -> Iterator[Scene]:
    if _own_server is None:
        requirement.missing("mariadb", "install mariadb-server")
    name = _own_server.create_database()
    with _own_server.connect(name) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (id INT PRIMARY KEY) ENGINE=InnoDB")
    with Passage(_own_server.port) as passage:
        yield Scene(_own_server, passage, name)
    _own_server.drop_database(name)


@pytest.fixture
async def database(scene: Scene) -> AsyncIterator[Database]:
    opened = await Database.open(scene.url, pool_size=4, name="outage")
    yield opened
    await opened.close()


@dataclass
class Load:
    """Callers that write one row after another, and remember what was acknowledged."""

    database: Database
    acknowledged: set[int] = field(default_factory=set)
    refused: int = 0
    reasons: set[tuple[str, float | None]] = field(default_factory=set)
    _next: int = 0

    async def _send(self) -> None:
        while True:
            self._next += 1
            number = self._next

            async def work(connection: AsyncConnection, number: int = number) -> None:
                await connection.execute(text("INSERT INTO t VALUES (:id)"), {"id": number})

            try:
                await self.database.transaction(work, timeout=4)
            except Unavailable as error:
                self.reasons.add((error.reason, error.retry_after))
                self.refused += 1
                await asyncio.sleep(0.01)
            else:
                self.acknowledged.add(number)

    async def more(self, count: int, *, timeout: float) -> None:
        """Waits until so many more are acknowledged."""
        wanted = len(self.acknowledged) + count
        await eventually(lambda: len(self.acknowledged) >= wanted, timeout=timeout)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Sends while the block runs."""
        tasks = [asyncio.create_task(self._send()) for _ in range(SENDERS)]
        try:
            yield
            assert not [task for task in tasks if task.done()]
        finally:
            for task in tasks:
                task.cancel()

    async def stored(self) -> set[int]:
        """What the database has."""
        async with self.database.read() as connection:
            return set(await connection.scalars(text("SELECT id FROM t")))


def _stop(scene: Scene) -> None:
    os.kill(scene.server.pid, signal.SIGSTOP)


def _continue(scene: Scene) -> None:
    os.kill(scene.server.pid, signal.SIGCONT)


HARMS: dict[str, tuple[Callable[[Scene], None], Callable[[Scene], None]]] = {
    "hangs": (_stop, _continue),
    "falls silent": (lambda scene: scene.passage.narrow(0), lambda scene: scene.passage.widen()),
    "cannot be reached": (lambda scene: scene.passage.shut(), lambda scene: scene.passage.open()),
}


async def _is_met_once(scene: Scene, database: Database, harm: str) -> None:
    begin, end = HARMS[harm]
    load = Load(database)
    with load.running():
        await load.more(50, timeout=20)
        begin(scene)
        try:
            await eventually(lambda: database._availability.is_away, timeout=10)
            assert metrics.REGISTRY.get_sample_value("intertie_database_available", {"database": "outage"}) == 0
            # So many would take minutes if each waited for itself.
            for _ in range(100):
                with pytest.raises(Unavailable):
                    async with database.read():
                        pytest.fail("let in")
            await eventually(lambda: load.refused > 200, timeout=10)
        finally:
            end(scene)
        await load.more(50, timeout=5)
        assert metrics.REGISTRY.get_sample_value("intertie_database_available", {"database": "outage"}) == 1
    assert load.acknowledged <= await load.stored()
    assert load.reasons == {("STORE_UNAVAILABLE", 1)}


@pytest.mark.parametrize("harm", HARMS)
async def test_a_server_that_is_away_is_met_once_and_loses_nothing(scene: Scene, database: Database, harm: str) -> None:
    """Who waits when it goes is answered soon, all others at once; five seconds after its return all is as before."""
    await _is_met_once(scene, database, harm)


def test_under_uvloop_it_is_the_same(scene: Scene) -> None:
    async def scenario() -> None:
        database = await Database.open(scene.url, pool_size=4, name="outage")
        for harm in HARMS:
            await _is_met_once(scene, database, harm)
            scene.execute(f"TRUNCATE TABLE `{scene.name}`.t")
        await database.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())


async def test_a_server_that_is_killed_under_load_has_what_was_acknowledged(scene: Scene, database: Database) -> None:
    load = Load(database)
    with load.running():
        await load.more(50, timeout=20)
        scene.server.kill()
        await eventually(lambda: database._availability.is_away, timeout=10)
        scene.server.start()
        # Not five seconds: most of this is the server's own start.
        await load.more(50, timeout=60)
    assert load.acknowledged <= await load.stored()


async def test_a_hung_server_does_not_hold_a_read(scene: Scene, database: Database) -> None:
    """A read has no limit of its own; it ends when the server is found away."""
    reading = asyncio.Event()

    async def read() -> None:
        async with database.read() as connection:
            reading.set()
            await connection.scalar(text("SELECT SLEEP(25)"))

    task = asyncio.create_task(read())
    await reading.wait()
    scene.passage.narrow(0)
    with pytest.raises(Unavailable):
        await asyncio.wait_for(task, 15)
    scene.passage.widen()


async def test_killed_connections_under_load_are_no_outage(scene: Scene, database: Database) -> None:
    load = Load(database)
    with structlog.testing.capture_logs() as logs, load.running():
        for _ in range(5):
            await load.more(20, timeout=20)
            assert scene.killed()
        await load.more(20, timeout=20)
    assert not [line for line in logs if "AWAY" in line["event"]]
    assert load.acknowledged <= await load.stored()


async def test_a_slow_network_is_no_outage(scene: Scene, database: Database) -> None:
    """A look has not the time to get through there, but the callers do."""
    load = Load(database)
    with structlog.testing.capture_logs() as logs, load.running():
        await load.more(20, timeout=20)
        scene.passage.slow(0.3)
        await load.more(12, timeout=60)
        scene.passage.slow(0)
        await load.more(20, timeout=20)
    assert not [line for line in logs if "AWAY" in line["event"]]
    assert load.acknowledged <= await load.stored()


async def test_slow_work_and_a_full_pool_are_no_outage(scene: Scene, database: Database) -> None:
    """Every caller takes longer than a look may, and more of them wait for a connection than get one."""

    async def slow(connection: AsyncConnection) -> None:
        await connection.execute(text("SELECT SLEEP(2.5)"))

    with structlog.testing.capture_logs() as logs:
        answers = await asyncio.gather(*(database.transaction(slow) for _ in range(8)), return_exceptions=True)
    assert [type(answer) for answer in answers].count(type(None)) == 4  # as many as the pool has
    assert not [line for line in logs if "AWAY" in line["event"]]
    await database.transaction(_select)


async def test_a_server_without_a_free_connection_keeps_those_that_it_has(scene: Scene, database: Database) -> None:
    """Who is inside works on; who comes is unavailable until somebody leaves."""
    await asyncio.gather(*(database.transaction(_select) for _ in range(4)))
    with scene.server.connect() as administrator, administrator.cursor() as cursor:
        cursor.execute("SET GLOBAL max_connections = 10")
        held: list[Any] = []
        try:
            _take_all(scene, held)
            late = await Database.open(scene.url, pool_size=1)
            with pytest.raises(Unavailable):
                await late.transaction(_select)
            database._availability.suspect()
            for _ in range(50):
                await database.transaction(_select)
            assert not database._availability.is_away
        finally:
            for connection in held:
                connection.close()
            cursor.execute("SET GLOBAL max_connections = 400")
    await eventually(lambda: _succeeds(late), timeout=5)
    await late.close()


async def test_a_server_that_refuses_to_write_is_not_ready_and_recovers(scene: Scene) -> None:
    """Read-only, as after a failover: reads go on, and three writes in a row are reason to send work elsewhere."""
    scene.execute("CREATE USER writer@127.0.0.1 IDENTIFIED BY 'w'")
    scene.execute(f"GRANT SELECT, INSERT ON `{scene.name}`.* TO writer@127.0.0.1")
    database = await Database.open(f"mysql://writer:w@127.0.0.1:{scene.server.port}/{scene.name}", pool_size=2)
    try:
        scene.execute("SET GLOBAL read_only = 1")
        for number in range(3):
            assert database.why_not_ready() is None
            with pytest.raises(Unavailable):
                await database.transaction(_inserts(number))
        assert "refuses to write" in str(database.why_not_ready())
        async with database.read() as connection:
            assert await connection.scalar(text("SELECT COUNT(*) FROM t")) == 0
        scene.execute("SET GLOBAL read_only = 0")
        await database.transaction(_inserts(1))
        assert database.why_not_ready() is None
    finally:
        scene.execute("SET GLOBAL read_only = 0")
        await database.close()
        scene.execute("DROP USER writer@127.0.0.1")


async def test_a_server_that_commits_nothing_is_tried_by_one_at_a_time(scene: Scene, database: Database) -> None:
    """It answers, so it is not away; but a backup's lock, or a disk that hangs, lets no transaction end."""
    with scene.server.connect() as administrator, administrator.cursor() as cursor:
        cursor.execute("FLUSH TABLES WITH READ LOCK")
        stuck = [database.transaction(_inserts(number), timeout=1) for number in range(3)]
        assert {type(answer) for answer in await asyncio.gather(*stuck, return_exceptions=True)} == {Unavailable}
        trial = asyncio.create_task(database.transaction(_inserts(3), timeout=10))
        await asyncio.sleep(0)
        for number in range(4, 104):  # a hundred seconds, if each were let in
            with pytest.raises(Unavailable):
                await database.transaction(_inserts(number), timeout=1)
        async with database.read() as connection:
            await connection.scalar(text("SELECT 1"))
        cursor.execute("UNLOCK TABLES")
    await trial
    await asyncio.gather(*(database.transaction(_inserts(number)) for number in range(200, 204)))


async def test_a_server_that_comes_back_with_weaker_settings_is_told_of(scene: Scene, database: Database) -> None:
    """What was checked at the start holds for the server that was there then."""

    def degraded() -> float | None:
        return metrics.REGISTRY.get_sample_value("intertie_durability_degraded", {"database": "outage"})

    assert (database.weaknesses, degraded()) == ((), 0)
    try:
        scene.passage.shut()
        with pytest.raises(Unavailable):
            await database.transaction(_select)
        await eventually(lambda: database._availability.is_away)
        scene.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 2")
        scene.passage.open()
        await eventually(lambda: degraded() == 1, timeout=5)
        assert "innodb_flush_log_at_trx_commit" in database.weaknesses[0]
    finally:
        scene.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 1")


def _take_all(scene: Scene, held: list[Any]) -> None:
    """Takes connections until the server has no more."""
    while True:
        try:
            held.append(scene.server.connect())
        except pymysql.err.OperationalError as error:
            if error.args[0] != pymysql.constants.ER.CON_COUNT_ERROR:
                raise
            return


def test_the_status_of_the_tables_tells_of_weak_settings(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Where operators look who have no metrics: `intertie db status` shows these warnings."""
    monkeypatch.setenv("INTERTIE_DATABASE_URL", scene.url)
    monkeypatch.setenv("INTERTIE_DATA_DIR", str(tmp_path))
    scene.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 0")
    try:
        assert command.main("registry", _serve_nothing, Settings, MIGRATIONS, arguments=["status"]) == 0
    finally:
        scene.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
    (warning,) = json.loads(capsys.readouterr().out.splitlines()[-1])["warnings"]
    assert "innodb_flush_log_at_trx_commit is 0" in warning


async def _serve_nothing(_settings: Settings) -> None:
    return None


async def _select(connection: AsyncConnection) -> None:
    await connection.execute(text("SELECT 1"))


def _inserts(number: int) -> Callable[[AsyncConnection], Any]:
    async def work(connection: AsyncConnection) -> None:
        await connection.execute(text("INSERT INTO t VALUES (:id)"), {"id": number})

    return work


async def _succeeds(database: Database) -> bool:
    try:
        await database.transaction(_select)
    except Unavailable:
        return False
    return True
