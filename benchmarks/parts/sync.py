"""Rows a second of a sync of a MariaDB table into an empty cache on MariaDB.

From the request for the run until every row has been read and stored; mapping goes on beside it and may fall behind.
"""

import time

import source_table
from figures import Figure, Outcome
from stage import Stage

_KNOWN_SECONDS = 15.0
_LONGEST_SECONDS = 600.0
_LOOK_SECONDS = 0.05


def measure(stage: Stage) -> Outcome:
    """Runs the part. Each round has an installation of its own, so that all find an empty cache."""
    rows = stage.options.either(20_000, 200_000)
    database = source_table.database_of(stage.server, rows)
    rates = []
    try:
        for number in range(1, stage.options.rounds + 1):
            stage.say(f"round {number} of {stage.options.rounds}")
            rates.append(rows / _round(stage, database, rows))
    finally:
        stage.server.drop_database(database)
    return Outcome(
        "sync",
        (Figure("sync", "sync of a MariaDB table into the cache, rows", "/s", tuple(rates)),),
        notes=(f"{rows:,} rows of about 270 bytes as JSON, in pages of 1,000; source and store on one server.",),
    )


def _round(stage: Stage, database: str, rows: int) -> float:
    """Seconds."""
    with stage.installation("mariadb") as installation:
        suite = installation.suite
        source_table.register(suite, source_table.account_of(stage.server, database))
        until = time.monotonic() + _KNOWN_SECONDS
        while not source_table.is_known(suite):
            if time.monotonic() > until:
                raise RuntimeError("pull does not know the mapping")
            time.sleep(_LOOK_SECONDS)
        asked = {"system": source_table.SYSTEM, "mapping": source_table.MAPPING, "mode": "full", "no_wait": True}
        began = time.monotonic()
        response = suite.request("POST", "/sync", json=asked)
        if not response.is_success:
            raise RuntimeError(response.text)
        while True:
            run, now = source_table.newest_run(suite), time.monotonic()
            if run is not None and run["state"] not in ("queued", "running"):
                break
            if now - began > _LONGEST_SECONDS:
                raise RuntimeError(f"the sync does not end: {run}")
            time.sleep(_LOOK_SECONDS)
        stored = installation.view.count("ingest", "external_data_cache")
        if run["records_read"] != rows or stored != rows:
            raise RuntimeError(f"{run['records_read']} rows were read and {stored} stored: {run}")
        return now - began
