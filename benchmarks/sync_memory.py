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
from contextlib import closing
from pathlib import Path
from typing import Any

from mariadb import MariaDBServer, find
from process_costs import Process, processes_of
from source_table import MAPPING, SYSTEM, account_of, database_of, fill, is_known, newest_run, register
from suite import Suite

_KNOWN_SECONDS = 15.0


def watch(suite: Suite, processes: list[Process], title: str, *flags: str, every: float) -> None:
    """Runs one sync and prints what it takes."""
    print(f"\n{title}", flush=True)
    for process in processes:
        process.forget_peak()
    began, before = time.monotonic(), {process.pid: process.seconds() for process in processes}
    known = newest_run(suite)
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
        run, now = newest_run(suite), time.monotonic()
        if run is None or (known is not None and run["run_id"] == known["run_id"]):
            continue
        if not settling and run["state"] != "running":
            settling = now - began
        memory = " ".join(f"{process.name} {process.rss():.0f}" for process in processes)
        rate = (run["records_read"] - read) / (now - at)
        print(
            f"{now - began:6.0f} s {run['state']:9} read {run['records_read']:8} ({rate:6.0f}/s) "
            f"pending {run['pending']:8} | MiB: {memory}",
            flush=True,
        )
        read, at = run["records_read"], now
    run = newest_run(suite)
    assert run is not None
    seconds = (run["finished_at"], run["started_at"])
    print(f"state {run['state']}, {run['error_reason']} from {seconds[1]} to {seconds[0]}; read for {settling:.0f} s")
    counts = ("records_read", "new_records", "changed", "unchanged", "outdated", "failed", "set_aside", "pending")
    print(", ".join(f"{name} {run[name]}" for name in counts))
    for process in processes:
        spent = process.seconds() - before[process.pid]
        memory = f"{process.rss():6.0f} MiB now, {process.peak():6.0f} MiB at most"
        print(f"  {process.name:16} {memory}, {spent:7.1f} s of CPU", flush=True)


def prepare(suite: Suite, account: dict[str, Any], page_size: int) -> None:
    """Registers the source and waits until pull knows its mapping."""
    register(suite, account, page_size)
    until = time.monotonic() + _KNOWN_SECONDS
    while not is_known(suite):
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
            account = account_of(server, database_of(server, asked.rows))
        else:
            file = suite.data / "external" / "benchmark.db"
            file.parent.mkdir(parents=True)
            with closing(sqlite3.connect(file)) as source_file:
                fill(source_file, "?", asked.rows)
            account = {"db_driver": "sqlite", "db_name": file.name}
        suite.start()
        prepare(suite, account, asked.page_size)
        processes = processes_of(suite.data)
        watch(suite, processes, "full, into an empty cache", "--full", every=asked.every)
        watch(suite, processes, "full, nothing changed", "--full", every=asked.every)
        watch(suite, processes, "incremental, nothing new", every=min(asked.every, 0.5))
    finally:
        if suite is not None:
            suite.stop()
        if server is not None:
            server.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
