"""Power cuts: an installation whose disk is copied in the middle of its work, and another that starts on the copy.

The installation itself goes on: one that is loaded all the time is cut as often as one likes.
"""

import os
import signal
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pymysql

import requirement
import victims
from ledger import Attempts, Ledger
from loop_disk import Disk, Disks
from mariadb import MariaDBServer, find
from suite import PREFIX, Suite

_MEBIBYTES = 1024
_STOP_SECONDS = 30.0
_UNKNOWN_VARIABLE = 1193


class Installation:
    """A suite, and its MariaDB where it has one, that keep all they have on one disk."""

    def __init__(self, disk: Disk, server: MariaDBServer | None, database: str, env: Mapping[str, str]) -> None:
        """For `on_new_disk` and `Outage`; the server runs, the suite is not started yet."""
        self.disk = disk
        self.server = server
        self.database = database
        self.env = env
        self.suite = Suite(disk.path / "suite", server.url(database) if server else None, env)

    @classmethod
    def on_new_disk(cls, disks: Disks, store: str, env: Mapping[str, str]) -> "Installation":
        """One on an empty disk, its suite not yet started; skips the test without the server that the store wants."""
        disk, server, database = disks.make("live", mebibytes=_MEBIBYTES), None, ""
        if store == "mariadb":
            mariadbd, install_db = find("mariadbd"), find("mariadb-install-db")
            if mariadbd is None or install_db is None:
                requirement.missing("mariadb", "install mariadb-server")
            server = MariaDBServer.launch(mariadbd, install_db, data=disk.path / "mariadb")
            database = server.create_database()
            disk.sync()  # MariaDB leaves the directory of a new database, which is an operator's to make, unsynced
        return cls(disk, server, database, env)

    @property
    def version(self) -> str:
        """Of what it stores in."""
        if self.server is None:
            return sqlite3.sqlite_version
        with self.server.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT VERSION()")
            return str(cursor.fetchall()[0][0])

    def cut(self, disks: Disks, name: str, ledger: Ledger) -> "Outage":
        """What is left if the power fails now. Here all goes on, after a pause."""
        pids = victims.all_processes(self.suite) + ([self.server.pid] if self.server else [])
        with frozen(pids):
            # Whoever has an answer by now got it from processes that have stopped since.
            known = len(ledger)
            written = self.suite.data / "anchor" / "audit.jsonl"
            anchor = disks.directory / f"{name}.anchor"
            anchor.write_bytes(written.read_bytes() if written.exists() else b"")
            disk = disks.cut(self.disk, name)
        return Outage(disk, self, known, anchor)

    def weaken(self) -> None:
        """From now on the server keeps commits as `innodb_flush_log_at_trx_commit=2` does: a power cut takes them away.

        Under it the log is written once a second; so seldom here that no control depends on when that was.
        """
        assert self.server is not None
        for variable, value in (
            # As the server has it when it is started with that setting; older ones always do.
            ("innodb_log_file_buffering", "ON"),
            ("innodb_flush_log_at_timeout", "2700"),
            ("innodb_flush_log_at_trx_commit", "2"),
        ):
            with self.server.connect() as connection, connection.cursor() as cursor:
                try:
                    cursor.execute(f"SET GLOBAL {variable} = {value}")
                except pymysql.err.OperationalError as error:
                    if error.args[0] != _UNKNOWN_VARIABLE:
                        raise

    def end_leases(self) -> None:
        """Make leases that a mapper has had end now, as if their time had come; before the suite starts."""
        now = "UTC_TIMESTAMP(6)" if self.server else "strftime('%Y-%m-%d %H:%M:%f','now')"
        held = "sync_status = 'pending' AND lease_token IS NOT NULL"
        self.suite.sql("ingest", f"UPDATE {PREFIX}external_data_cache SET available_at = {now} WHERE {held}")

    def stop(self) -> None:
        """Stop all of it; the disk stays."""
        try:
            self.suite.stop()
        finally:
            if self.server is not None:
                self.server.stop()


class Outage:
    """A disk after a power cut, and what its clients had been answered by then."""

    def __init__(self, disk: Disk, live: Installation, known: int, anchor: Path) -> None:
        """For `Installation.cut`."""
        self.disk = disk
        self.anchor = anchor
        """Of the moment of the cut, kept elsewhere: what was signed and shown to others."""
        self._live = live
        self._known = known

    def known_to(self, ledger: Ledger) -> Attempts:
        """The ledger as it stood at the cut; to be asked when what was under way then has ended."""
        return ledger.as_of(self._known)

    @contextmanager
    def recovered(self) -> Iterator[Installation]:
        """What comes up from the disk: the server runs, the suite is not yet started. Stopped at the end."""
        server = self._live.server.on_copy(self.disk.path / "mariadb") if self._live.server else None
        one = Installation(self.disk, server, self._live.database, self._live.env)
        try:
            yield one
        finally:
            one.stop()


@contextmanager
def frozen(pids: Sequence[int]) -> Iterator[None]:
    """Stop these processes where they are, each of their threads, and let them go on afterwards."""
    try:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        until = time.monotonic() + _STOP_SECONDS
        # A thread that waits for the disk stops when it has been served.
        while any(not _is_stopped(pid) for pid in pids):
            if time.monotonic() > until:
                raise RuntimeError("some processes did not stop")
            time.sleep(0.002)
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _is_stopped(pid: int) -> bool:
    """Whether every thread of the process is stopped, or gone."""
    for thread in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(OSError):
            state = thread.read_text().rpartition(")")[2].split()[0]
            if state not in "TtZX":
                return False
    return True
