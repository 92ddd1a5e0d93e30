"""A private MariaDB server for one test run: own data directory, own port, durable as in production."""

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pymysql

from processes import free_port, start, stop

USER = "intertie"
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/usr/local/bin"])
STARTUP_SECONDS = 60


def find(program: str) -> str | None:
    """Find a MariaDB program; the server is often in sbin, which is not on every user's PATH."""
    return shutil.which(program, path=SEARCH_PATH)


class MariaDBServer:
    """One running mariadbd; ``create_database`` gives each test an empty database of its own."""

    def __init__(self, mariadbd: str, options: Sequence[str], password: str, data: Path | None) -> None:
        """For `launch` and `on_copy`; nothing is started yet."""
        # Not under pytest's own temporary directory: its path may be too long for a unix socket.
        self._directory = Path(tempfile.mkdtemp(prefix="intertie-mariadb-"))
        self._log = self._directory / "log"
        # Of its own: a server that starts clears the temporary tables in it away, those of another that starts, too.
        self._temporary = self._directory / "tmp"
        self._temporary.mkdir()
        self._mariadbd = mariadbd
        self._options = options
        self._password = password
        self._process: subprocess.Popen[bytes]
        self.data = data or self._directory / "data"
        self.port = free_port()

    @classmethod
    def launch(cls, mariadbd: str, install_db: str, *options: str, data: Path | None = None) -> "MariaDBServer":
        """Create the system tables and start the server; RuntimeError with the end of its log when that fails.

        ``data`` is a directory to be made for its data, which stays when the server is stopped; by default it has one
        that is removed with it.
        """
        server = cls(mariadbd, options, secrets.token_hex(16), data)
        with server._log.open("ab") as output:
            subprocess.run(
                [install_db, "--no-defaults", f"--datadir={server.data}", "--skip-test-db", *_as_user()],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "TMPDIR": str(server._temporary)},
            )
        grants = server._directory / "grants.sql"
        grants.write_text(
            f"CREATE USER '{USER}'@'127.0.0.1' IDENTIFIED BY '{server._password}';\n"
            f"GRANT ALL ON *.* TO '{USER}'@'127.0.0.1' WITH GRANT OPTION;\n"
        )
        # Users are kept in the data directory; a server that starts again must not make them anew.
        server.start(f"--init-file={grants}")
        server.wait_until_ready()
        return server

    def on_copy(self, data: Path) -> "MariaDBServer":
        """Start another server like this one on a copy of its data; RuntimeError with the end of its log on failure."""
        server = MariaDBServer(self._mariadbd, self._options, self._password, data)
        server.start()
        server.wait_until_ready()
        return server

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    def kill(self) -> None:
        """End it at once, as a crash does (SIGKILL)."""
        self._process.kill()
        self._process.wait()

    def start(self, *options: str) -> None:
        """Start it on its own directory and port, also after `kill`; it answers a little later."""
        self._process = start(
            [
                self._mariadbd,
                "--no-defaults",
                *_as_user(),
                f"--datadir={self.data}",
                f"--tmpdir={self._temporary}",
                f"--socket={self._directory / 'socket'}",
                f"--pid-file={self._directory / 'pid'}",
                "--bind-address=127.0.0.1",
                f"--port={self.port}",
                "--skip-name-resolve",
                "--character-set-server=utf8mb4",
                "--innodb-buffer-pool-size=64M",
                "--innodb-log-file-size=32M",
                "--max-connections=400",
                *self._options,
                *options,
            ],
            log=self._log,
        )

    def url(self, database: str) -> str:
        """Give the SQLAlchemy URL of a database, with the async driver."""
        return f"mysql+asyncmy://{USER}:{self._password}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str | None = None) -> "pymysql.Connection[pymysql.cursors.Cursor]":
        """Open a plain synchronous connection (autocommit), for what a test does from outside the suite."""
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user=USER,
            password=self._password,
            database=database,
            charset="utf8mb4",
            autocommit=True,
        )

    def create_database(self) -> str:
        """Create an empty database and return its name."""
        name = f"test_{secrets.token_hex(6)}"
        self._execute(f"CREATE DATABASE `{name}`")
        return name

    def drop_database(self, name: str) -> None:
        """Drop the database; connections that a test forgot are ended first, they would hold the drop up."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s", (name,))
            for (connection_id,) in cursor.fetchall():
                try:
                    cursor.execute(f"KILL {connection_id}")
                except pymysql.err.OperationalError as already_gone:
                    if already_gone.args[0] != pymysql.constants.ER.NO_SUCH_THREAD:
                        raise
            cursor.execute(f"DROP DATABASE IF EXISTS `{name}`")

    def stop(self) -> None:
        """Stop the server and remove all that it wrote."""
        stop(self._process)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _execute(self, statement: str) -> None:
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def wait_until_ready(self) -> None:
        """Wait until it answers; RuntimeError with the end of its log when it does not start."""
        deadline = time.monotonic() + STARTUP_SECONDS
        while True:
            try:
                self._execute("SELECT 1")
                return
            except pymysql.err.OperationalError:
                if self._process.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
            self.stop_and_tell()

    def stop_and_tell(self) -> None:
        """Give up on a server that did not start: RuntimeError with the end of its log."""
        tail = self._log.read_text(errors="replace")[-2000:]
        self.stop()
        raise RuntimeError(f"mariadbd did not start:\n{tail}")


def _as_user() -> list[str]:
    """mariadbd refuses to run as root unless told by name; a normal user may not name another."""
    return ["--user=root"] if os.geteuid() == 0 else []
