"""A private PostgreSQL server for one test run: own data directory, own port of the loopback, nothing kept."""

import asyncio
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

from processes import free_port, start, stop

T = TypeVar("T")
_AS_CHILD = ("--clear-groups", "--pdeathsig=KILL")

USER = "intertie"
STARTUP_SECONDS = 60
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "32MB",
    "max_connections": "100",
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
    "autovacuum": "off",
    "jit": "off",
}


def find_directory() -> Path | None:
    """The directory of the newest server's programs, which Debian keeps off everyone's PATH."""
    newest = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if newest:
        return newest[-1].parent
    found = shutil.which("initdb")
    directory = Path(found).resolve().parent if found else None
    return directory if directory and (directory / "postgres").exists() else None


class PostgreSQLServer:
    """One running server; ``create_database`` gives each test an empty database of its own."""

    def __init__(self, port: int, password: str, process: "subprocess.Popen[bytes]", directory: Path) -> None:
        self.port = port
        self.password = password
        self._process = process
        self._directory = directory

    @classmethod
    def launch(cls, programs: Path, tls: tuple[bytes, bytes] | None = None) -> "PostgreSQLServer":
        """Create the cluster and start the server, with this certificate and key if there are some.

        RuntimeError with the end of its log when that fails.
        """
        directory = Path(tempfile.mkdtemp(prefix="intertie-postgresql-"))
        data, log, password = directory / "data", directory / "log", secrets.token_hex(16)
        secret = directory / "password"
        secret.write_text(password)
        values = dict(_SETTINGS)
        for name, content in zip(("ssl_cert_file", "ssl_key_file"), tls or (), strict=False):
            (directory / name).write_bytes(content)
            (directory / name).chmod(0o600)
            values |= {"ssl": "on", name: str(directory / name)}
        as_user = _as_someone_else(directory)
        with log.open("ab") as output:
            subprocess.run(
                [
                    *as_user,
                    str(programs / "initdb"),
                    f"--pgdata={data}",
                    f"--username={USER}",
                    f"--pwfile={secret}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C.UTF-8",
                    "--no-sync",
                ],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=directory,
            )
        port = free_port()
        settings = [argument for name, value in values.items() for argument in ("-c", f"{name}={value}")]
        process = start(
            [*as_user, str(programs / "postgres"), "-D", str(data), "-p", str(port), *settings], log=log, cwd=directory
        )
        server = cls(port, password, process, directory)
        server._wait_until_ready(log)
        return server

    def execute(self, statement: str, database: str = "postgres", user: str = USER, password: str | None = None) -> str:
        """Run statements from outside the suite and give the last one's status."""
        return run(self._execute(statement, database, user, password or self.password))

    def rows(self, query: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """The rows of a query from outside the suite."""
        return run(self._rows(query, database))

    def insert(self, table: str, rows: Sequence[Sequence[Any]], database: str, ending: str = "") -> None:
        """Insert rows of values as the driver takes them."""
        run(self._insert(table, rows, database, ending))

    def create_database(self) -> str:
        """Create an empty database and return its name."""
        name = f"test_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def drop_database(self, name: str) -> None:
        """Drop the database; connections that a test forgot are ended."""
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def stop(self) -> None:
        """Stop the server and remove all that it wrote."""
        # Fast: when told to terminate it would wait until every client has gone.
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STARTUP_SECONDS)
        except subprocess.TimeoutExpired:
            stop(self._process)
        shutil.rmtree(self._directory, ignore_errors=True)

    async def _connect(self, database: str, user: str, password: str) -> Any:
        return await asyncpg.connect(
            host="127.0.0.1", port=self.port, user=user, password=password, database=database, ssl=False
        )

    async def _execute(self, statement: str, database: str, user: str, password: str) -> str:
        connection = await self._connect(database, user, password)
        try:
            return str(await connection.execute(statement))
        finally:
            await connection.close()

    async def _rows(self, query: str, database: str) -> list[tuple[Any, ...]]:
        connection = await self._connect(database, USER, self.password)
        try:
            return [tuple(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    async def _insert(self, table: str, rows: Sequence[Sequence[Any]], database: str, ending: str) -> None:
        connection = await self._connect(database, USER, self.password)
        try:
            marks = ", ".join(f"${number}" for number in range(1, len(rows[0]) + 1))
            await connection.executemany(f"INSERT INTO {table} VALUES ({marks}){ending}", rows)
        finally:
            await connection.close()

    def _wait_until_ready(self, log: Path) -> None:
        deadline = time.monotonic() + STARTUP_SECONDS
        while True:
            try:
                self.execute("SELECT 1")
                return
            except (OSError, asyncpg.PostgresError):
                if self._process.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
            tail = log.read_text(errors="replace")[-2000:]
            self.stop()
            raise RuntimeError(f"postgres did not start:\n{tail}")


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine, also when the calling thread has an event loop of its own that runs."""
    result: list[T] = []
    failure: list[BaseException] = []

    def go() -> None:
        try:
            result.append(asyncio.run(work))
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=go)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


def _as_someone_else(directory: Path) -> list[str]:
    """What to put before a command so that it does not run as root, which the server refuses."""
    if os.geteuid() != 0:
        return []
    for name in ("postgres", "nobody"):
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        for path in (directory, *directory.iterdir()):
            os.chown(path, account.pw_uid, account.pw_gid)
        return ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", *_AS_CHILD]
    raise RuntimeError("postgres needs a user to run as who is not root")
