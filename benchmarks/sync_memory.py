"""How much memory a sync of a large table takes and how fast it is, in the suite as a user runs it.

    PYTHONPATH=tests .venv/bin/python benchmarks/sync_memory.py --rows 1000000 --store mariadb --source mariadb

Makes a table, starts `intertie up` on an empty database of its own, and runs three syncs of the table with `intertie
sync run`: a full one into an empty cache, a full one with nothing changed, an incremental one with nothing new. Prints
while they run, and at the end, what every process has taken.
"""

import argparse
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from mariadb import MariaDBServer, find
from suite import Suite

SYSTEM, MAPPING = "benchmark", "rows_to_events"
_COLUMNS = (
    "id BIGINT PRIMARY KEY, updated_at DATETIME NOT NULL, title VARCHAR(80) NOT NULL, held_on DATE NOT NULL, "
    "place VARCHAR(80) NOT NULL, attendance INT NOT NULL, cost DECIMAL(12, 2) NOT NULL, remarks VARCHAR(200)"
)
_CONFIG: dict[str, Any] = {
    "field_mappings": {"title": "event_title", "held_on": "date", "place": "location"},
    "defaults": {"event_status": "planned"},
    "sync": {"cursor_field": "updated_at"},
}
_ROWS_AT_ONCE = 5000
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_KNOWN_SECONDS = 15.0


def table_rows(count: int) -> Iterator[tuple[Any, ...]]:
    """The rows of the source, of about 270 bytes as JSON."""
    first = datetime(2025, 1, 1)
    for number in range(1, count + 1):
        moment = first + timedelta(seconds=number)
        yield (
            number,
            moment.isoformat(" "),
            f"Meeting number {number} of the ward",
            moment.date().isoformat(),
            f"Hall {number % 97}, {number % 1009} Station Road",
            number % 500,
            f"{number % 100_000}.50",
            f"Entered by the clerk of ward {number % 61}; chairs and loudspeakers are ordered.",
        )


def fill(connection: Any, mark: str, count: int) -> None:
    """Makes the table with so many rows."""
    with closing(connection.cursor()) as cursor:
        cursor.execute(f"CREATE TABLE meetings ({_COLUMNS})")
        statement = f"INSERT INTO meetings VALUES ({', '.join([mark] * 8)})"
        rows = table_rows(count)
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            cursor.executemany(statement, some)
            connection.commit()


@dataclass
class Process:
    """One process of the suite."""

    name: str
    pid: int

    def memory(self) -> tuple[float, float]:
        """MiB that it has now, and at most had since it began or `forget_peak`."""
        lines = dict(line.split(":", 1) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines())
        return int(lines["VmRSS"].split()[0]) / 1024, int(lines["VmHWM"].split()[0]) / 1024

    def seconds(self) -> float:
        """CPU seconds that it has had."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND

    def forget_peak(self) -> None:
        """Makes the present memory the most that it had."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


def processes_of(suite: Suite) -> list[Process]:
    """The suite's servers, found by what they were started with."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_text().split("\0")
            if str(suite.data) not in (folder / "environ").read_text():
                continue
        except OSError:
            continue
        modules = [part for part in command if part.startswith("intertie_") and part != "intertie_cli"]
        if modules:
            found.append(Process(modules[0].removeprefix("intertie_"), int(folder.name)))
    return sorted(found, key=lambda process: process.name)


def run_row(suite: Suite) -> dict[str, Any] | None:
    """The newest run as it is stored."""
    found = suite.sql("ingest", "SELECT * FROM campaign_department_sync_runs ORDER BY run_id DESC LIMIT 1")
    return found[0] if found else None


def watch(suite: Suite, processes: list[Process], title: str, *flags: str, every: float) -> None:
    """Runs one sync and prints what it takes."""
    print(f"\n{title}", flush=True)
    for process in processes:
        process.forget_peak()
    began, before = time.monotonic(), {process.pid: process.seconds() for process in processes}
    known = run_row(suite)
    command = subprocess.Popen(
        suite.command("sync", "run", SYSTEM, MAPPING, *flags),
        env={**os.environ, **suite.env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    read, at, settling = 0, began, 0.0
    while command.poll() is None:
        time.sleep(every)
        run, now = run_row(suite), time.monotonic()
        if run is None or (known is not None and run["run_id"] == known["run_id"]):
            continue
        if not settling and run["state"] != "running":
            settling = now - began
        memory = " ".join(f"{process.name} {process.memory()[0]:.0f}" for process in processes)
        rate = (run["records_read"] - read) / (now - at)
        print(
            f"{now - began:6.0f} s {run['state']:9} read {run['records_read']:8} ({rate:6.0f}/s) "
            f"pending {run['pending']:8} | MiB: {memory}",
            flush=True,
        )
        read, at = run["records_read"], now
    run = run_row(suite)
    assert run is not None
    seconds = (run["finished_at"], run["started_at"])
    print(f"state {run['state']}, {run['error_reason']} from {seconds[1]} to {seconds[0]}; read for {settling:.0f} s")
    counts = ("records_read", "new_records", "changed", "unchanged", "outdated", "failed", "set_aside", "pending")
    print(", ".join(f"{name} {run[name]}" for name in counts))
    for process in processes:
        now_mib, peak = process.memory()
        spent = process.seconds() - before[process.pid]
        print(f"  {process.name:16} {now_mib:6.0f} MiB now, {peak:6.0f} MiB at most, {spent:7.1f} s of CPU", flush=True)


def prepare(suite: Suite, connection: dict[str, Any], page_size: int) -> None:
    """Registers the source and waits until pull knows its mapping."""
    suite._post("/systems", {"system_name": SYSTEM, "display_name": SYSTEM, "system_type": "database"})
    suite._post("/connections", {"system": SYSTEM, "connection_type": "database", **connection})
    config = {**_CONFIG, "sync": {**_CONFIG["sync"], "page_size": page_size}}
    mapping = {
        "system": SYSTEM,
        "mapping_name": MAPPING,
        "source_table": "meetings",
        "target_table": "campaign_department_events",
        "mapping_config": config,
        "sync_frequency": "manual",
    }
    suite._post("/mappings", mapping)
    until = time.monotonic() + _KNOWN_SECONDS
    while not suite.request("GET", "/sync/cursor", params={"system": SYSTEM, "mapping": MAPPING}).is_success:
        if time.monotonic() > until:
            raise RuntimeError("pull does not know the mapping")
        time.sleep(0.1)


def main() -> None:
    """Measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--store", choices=("sqlite", "mariadb"), default="mariadb")
    parser.add_argument("--source", choices=("sqlite", "mariadb"), default="mariadb")
    parser.add_argument("--page-size", type=int, default=1000)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two lines")
    asked = parser.parse_args()
    directory, server = Path(tempfile.mkdtemp(prefix="intertie-benchmark-")), None
    suite: Suite | None = None
    try:
        if "mariadb" in (asked.store, asked.source):
            mariadbd, install = find("mariadbd"), find("mariadb-install-db")
            if mariadbd is None or install is None:
                parser.error("MariaDB's server is not installed")
            server = MariaDBServer.launch(mariadbd, install)
        url = server.url(server.create_database()) if server and asked.store == "mariadb" else None
        suite = Suite(directory, url)
        if server and asked.source == "mariadb":
            database = server.create_database()
            with server.connect(database) as source:
                source.autocommit(False)
                fill(source, "%s", asked.rows)
            account = suite_account(server, database)
        else:
            file = suite.data / "external" / "benchmark.db"
            file.parent.mkdir(parents=True)
            with closing(sqlite3.connect(file)) as source_file:
                fill(source_file, "?", asked.rows)
            account = {"db_driver": "sqlite", "db_name": file.name}
        suite.start()
        prepare(suite, account, asked.page_size)
        processes = processes_of(suite)
        watch(suite, processes, "full, into an empty cache", "--full", every=asked.every)
        watch(suite, processes, "full, nothing changed", "--full", every=asked.every)
        watch(suite, processes, "incremental, nothing new", every=min(asked.every, 0.5))
    finally:
        if suite is not None:
            suite.stop()
        if server is not None:
            server.stop()
        shutil.rmtree(directory, ignore_errors=True)


def suite_account(server: MariaDBServer, database: str) -> dict[str, Any]:
    """How pull reaches a database of the server."""
    account, _, _ = server.url(database).removeprefix("mysql+asyncmy://").partition("@")
    user, _, password = account.partition(":")
    return {
        "db_driver": "mysql",
        "db_host": "127.0.0.1",
        "db_port": server.port,
        "db_name": database,
        "db_username": user,
        "db_password": password,
        "config_json": {"allowed_networks": ["127.0.0.0/8"]},
    }


if __name__ == "__main__":
    main()
