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

    def __init__(self, port: int, password: str, command: Sequence[str], directory: Path) -> None:
        """For `launch`; nothing is started yet."""
        self.port = port
        self._password = password
        self._command = command
        self._directory = directory
        self._log = directory / "log"
        self._process: subprocess.Popen[bytes]

    @classmethod
    def launch(cls, mariadbd: str, install_db: str, *options: str) -> "MariaDBServer":
        """Create the system tables and start the server; RuntimeError with the end of its log when that fails."""
        # Not under pytest's own temporary directory: its path may be too long for a unix socket.
        directory = Path(tempfile.mkdtemp(prefix="intertie-mariadb-"))
        data, password = directory / "data", secrets.token_hex(16)
        # Of its own: a server that starts clears the temporary tables in it away, those of another that starts, too.
        temporary = directory / "tmp"
        temporary.mkdir()
        # mariadbd refuses to run as root unless told by name; a normal user may not name another.
        as_user = ["--user=root"] if os.geteuid() == 0 else []
        with (directory / "log").open("ab") as output:
            subprocess.run(
                [install_db, "--no-defaults", f"--datadir={data}", "--skip-test-db", *as_user],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "TMPDIR": str(temporary)},
            )
        grants = directory / "grants.sql"
        grants.write_text(
            f"CREATE USER '{USER}'@'127.0.0.1' IDENTIFIED BY '{password}';\n"
            f"GRANT ALL ON *.* TO '{USER}'@'127.0.0.1' WITH GRANT OPTION;\n"
        )
        port = free_port()
        command = [
            mariadbd,
            "--no-defaults",
            *as_user,
            f"--datadir={data}",
            f"--tmpdir={temporary}",
            f"--socket={directory / 'socket'}",
            f"--pid-file={directory / 'pid'}",
            "--bind-address=127.0.0.1",
            f"--port={port}",
            f"--init-file={grants}",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=32M",
            "--max-connections=400",
            *options,
        ]
        server = cls(port, password, command, directory)
        server.start()
        server._wait_until_ready()
        # Users are kept in the data directory; a server that starts again must not make them anew.
        server._command = [part for part in command if not part.startswith("--init-file=")]
        return server

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    def kill(self) -> None:
        """End it at once, as a crash does (SIGKILL)."""
        self._process.kill()
        self._process.wait()

    def start(self) -> None:
        """Start it on its own directory and port, also after `kill`; it answers a little later."""
        self._process = start(self._command, log=self._log)

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

    def _wait_until_ready(self) -> None:
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
