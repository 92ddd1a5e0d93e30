"""Syncs whose processes, neighbours and sources fail: what is in the cache in the end is the source, each row once."""

import itertools
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest

import fault_form
import processes
import requirement
import victims
from external_databases import ExternalPostgreSQL
from intertie_chassis import readiness
from intertie_chassis.clock import utc_now
from mariadb import MariaDBServer
from passage import Passage
from postgresql import PostgreSQLServer
from pull_sources import TARGETS, TableOfIncidents, configure, insert, known
from suite import PREFIX, SECRET, Suite
from waiting import eventually

MAPPING = "incidents"
ROWS, PAGE = 300, 10
#: bytes of the database's after which about half of the rows have come
HALF = 40_000


@pytest.fixture(scope="module", params=fault_form.stores("mariadb"))
def suite(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, _mariadb_if_here: MariaDBServer | None
) -> Iterator[Suite]:
    """One suite a store for all tests of this file: each leaves it as well as it was."""
    database_url = None
    if request.param == "mariadb":
        if _mariadb_if_here is None:
            requirement.missing("mariadb", "install mariadb-server")
        database_url = _mariadb_if_here.url(_mariadb_if_here.create_database())
    running = Suite(tmp_path_factory.mktemp(f"pull-faults-{request.param}"), database_url).start()
    yield running
    running.stop()


@dataclass
class Distant:
    """Incidents in a database behind a passage."""

    suite: Suite
    table: TableOfIncidents
    passage: Passage

    @property
    def names(self) -> dict[str, str]:
        """System and mapping."""
        return {"system": self.table.name, "mapping": MAPPING}

    def start(self) -> str:
        """The id of a run that is asked for, and not waited for."""
        response = self.suite.request("POST", "/sync", json={**self.names, "no_wait": True})
        assert response.status_code == 200, response.text
        return str(response.json()["run_id"])

    def run(self, run_id: str) -> Any:
        """The run as it is."""
        return self.suite.get(f"/sync/runs/{run_id}")

    async def start_and_stick(self) -> str:
        """The id of a run that has stored some pages, and gets no more from the database."""
        self.passage.narrow(HALF)
        run_id = self.start()
        await eventually(lambda: self.passage.is_used_up, timeout=30)
        read = (await eventually(lambda: (run := self.run(run_id))["pages"] > 2 and run, timeout=30))["read"]
        assert read < ROWS
        return run_id

    async def ended(self, run_id: str) -> Any:
        """The run once it has ended."""
        return await eventually(lambda: (run := self.run(run_id))["finished_at"] and run, timeout=60)

    def check(self, **titles: str) -> None:
        """The cache and the target are the source, but for these titles by id; each row once."""
        expected = {str(number): title for number, title in self.table.external.rows("SELECT id, title FROM incidents")}
        expected |= {number.removeprefix("_"): title for number, title in titles.items()}
        cached = self.suite.get("/cache", **self.names, page_size=1000)["data"]
        assert {one["external_id"]: one["data_json"]["title"] for one in cached} == expected
        assert {one["sync_status"] for one in cached} == {"synced"}
        rows = self.suite.rows("events", "event_title LIKE %s", [f"{self.table.name}: %"])
        assert sorted(row["event_title"] for row in rows) == sorted(expected.values())

    def title(self, number: int, state: str = "reported") -> str:
        """The title of an incident, which no other test has."""
        return f"{self.table.name}: incident {number} {state}".ljust(90, ".")


@pytest.fixture
def distant(request: pytest.FixtureRequest, suite: Suite, postgresql_server: PostgreSQLServer) -> Iterator[Distant]:
    """Many incidents in a database of the test's own; the system has the test's name, and is not configured yet."""
    external = ExternalPostgreSQL.make(postgresql_server)
    with Passage(postgresql_server.port) as passage:
        external.connection = replace(external.connection, db_port=passage.port)
        name = request.node.originalname.removeprefix("test_")[:60]
        table = TableOfIncidents(name, "events", external, "TIMESTAMP")
        table.sync = {**table.sync, "page_size": PAGE}
        made = Distant(suite, table, passage)
        begin = datetime(2026, 1, 1)
        external.insert(
            "incidents (id, title, day, changed)",
            [
                (number, made.title(number), date(2026, 3, 1), begin + timedelta(seconds=number))
                for number in range(1, ROWS + 1)
            ],
        )
        yield made
    table.close()


async def test_a_killed_run_goes_on_behind_its_last_page(suite: Suite, distant: Distant) -> None:
    """kill -9 of pull while a run reads; another process reads the rest, and nothing twice."""
    await configure(suite, distant.table, MAPPING, "events")
    run_id = await distant.start_and_stick()
    killed = victims.find_process(suite, "pull")
    os.kill(killed, signal.SIGKILL)
    await eventually(lambda: _process(suite) != killed)
    distant.passage.widen()
    # As it is half a minute later: the dead process's lease has ended.
    suite.sql("ingest", f"UPDATE {PREFIX}sync_runs SET available_at = created_at WHERE run_id = %s", [run_id])
    run = await distant.ended(run_id)
    assert (run["state"], run["read"], run["new"], run["failed"]) == ("succeeded", ROWS, ROWS, 0)
    distant.check()


async def test_a_stopped_process_puts_its_run_back(suite: Suite, distant: Distant) -> None:
    """SIGTERM of pull while a run waits for its source: it is queued at once, and read on behind its last page."""
    await configure(suite, distant.table, MAPPING, "events")
    run_id = await distant.start_and_stick()
    (before,) = suite.sql("ingest", f"SELECT * FROM {PREFIX}sync_runs WHERE run_id = %s", [run_id])
    os.kill(victims.find_process(suite, "pull"), signal.SIGTERM)

    def is_put_back() -> bool:
        (row,) = suite.sql("ingest", f"SELECT * FROM {PREFIX}sync_runs WHERE run_id = %s", [run_id])
        # Taken from a dead process it would count as a crash, until its next page is stored.
        return row["lease_token"] != before["lease_token"] and row["crashes"] == 0

    # Sooner than the lease of a dead process ends.
    await eventually(is_put_back, timeout=20)
    distant.passage.widen()
    run = await distant.ended(run_id)
    assert (run["state"], run["read"], run["new"], run["failed"]) == ("succeeded", ROWS, ROWS, 0)
    distant.check()


async def test_a_source_that_goes_away_fails_its_run_only(suite: Suite, distant: Distant) -> None:
    """After a few tries the run says why; deliveries go on meanwhile, and the next run brings the rest."""
    await configure(suite, distant.table, MAPPING, "events")
    suite.add_system("sender_meanwhile")
    suite.add_mapping("sender_meanwhile", "events", {"field_mappings": {"title": "event_title"}})
    assert (await distant.ended(distant.start()))["state"] == "succeeded"
    distant.table.external.execute(
        "UPDATE incidents SET title = replace(title, 'reported', 'finished'), changed = changed + INTERVAL '1 day'"
    )
    run_id = await distant.start_and_stick()
    distant.passage.shut()
    record = {"id": "1", "title": "while the source is away"}
    await eventually(lambda: suite.webhook("sender_meanwhile", record).status_code == 202)
    await eventually(lambda: suite.rows("events", "event_title = %s", [record["title"]]))
    failed = await distant.ended(run_id)
    assert (failed["state"], failed["error_reason"]) == ("failed", "EXTERNAL_UNAVAILABLE")
    asked = {"system": distant.table.name, "query_type": "sync", "status": "error"}
    (entry,) = await eventually(lambda: suite.get("/logs", **asked)["logs"])
    assert entry["error_message"] == failed["error_message"]

    distant.passage.widen()
    distant.passage.open()
    run = await distant.ended(distant.start())
    assert run["state"] == "succeeded"
    # The last row of the run before is read again, as another may have come with its time.
    assert (run["read"], run["unchanged"]) == (ROWS - failed["read"] + 1, 1)
    distant.check()


async def test_webhooks_of_records_that_are_being_synced(suite: Suite, distant: Distant) -> None:
    """Of a delivery and a sync of the same record the newer version stays, whichever comes first; none is lost."""
    distant.table.connection["config_json"] = {**distant.table.connection["config_json"], "webhook_secret": SECRET}
    await configure(suite, distant.table, MAPPING, "events", more={"version_field": "changed"})
    (system,) = suite.rows("external_systems", "system_name = %s", [distant.table.name], owner="registry")
    realtime = f"UPDATE {PREFIX}external_data_mappings SET sync_frequency = 'realtime' WHERE system_id = %s"
    suite.sql("registry", realtime, [system["id"]])
    # Until ingest knows that, what comes waits for a tick: each try is a newer version of a record of its own.
    versions = itertools.count()

    def is_realtime() -> bool:
        probe = {
            "id": 0,
            "title": distant.title(0),
            "day": "2026-03-02",
            "changed": f"2026-01-01T00:00:00.{next(versions):03}Z",
        }
        assert suite.webhook(distant.table.name, probe).status_code == 202
        return "SYNCED" in _states(suite, distant).values()

    await eventually(is_realtime, every=0.2)
    run_id = await distant.start_and_stick()
    newer, older = "2026-02-01T00:00:00Z", "2025-02-01T00:00:00Z"
    ids: dict[str, str] = {}
    # The run has the first two already; the last two it is still to read.
    for number, version in ((1, newer), (2, older), (ROWS, newer), (ROWS - 1, older)):
        title = distant.title(number, "newer" if version is newer else "older")
        answer = suite.webhook(
            distant.table.name, {"id": number, "title": title, "day": "2026-03-02", "changed": version}
        )
        assert answer.status_code == 202, answer.text
        ids[answer.json()["delivery_id"]] = "SUPERSEDED" if number == 2 else "SYNCED"
    # Until the run brings its newer version the last one is the only one that there is.
    await eventually(lambda: ids.items() <= _states(suite, distant).items())
    distant.passage.widen()
    run = await distant.ended(run_id)
    assert (run["state"], run["read"], run["failed"]) == ("succeeded", ROWS, 0)
    assert ids.items() <= _states(suite, distant).items()
    distant.check(_0=distant.title(0), _1=distant.title(1, "newer"), **{f"_{ROWS}": distant.title(ROWS, "newer")})


async def test_two_replicas_run_each_tick_once(suite: Suite, distant: Distant) -> None:
    """Hourly mappings whose tick is hours ago by SQL: one run each, which says what was missed; the grid stays."""
    await configure(suite, distant.table, MAPPING, "events")
    address = f"127.0.0.1:{processes.free_port()}"
    second = processes.start(
        [sys.executable, "-m", "intertie_ingest.pull"],
        log=suite.directory / "second.log",
        env={**suite.env, "INTERTIE_PULL_LISTEN": address},
        cwd=suite.directory,
    )
    try:
        await eventually(lambda: readiness.service(address), timeout=60)
        (system,) = suite.rows("external_systems", "system_name = %s", [distant.table.name], owner="registry")
        due = (utc_now() - timedelta(hours=3, minutes=30)).replace(microsecond=0)
        names = [f"hourly {number}" for number in range(4)]
        for name in names:
            await _make_hourly(suite, distant, system["id"], name, due)
        for name in names:
            (run,) = await eventually(lambda name=name: _runs(suite, distant, name))
            assert (run["trigger"], run["tick_at"]) == ("schedule", f"{due.isoformat()}Z")
            assert (run["missed_ticks"], (await distant.ended(run["run_id"]))["state"]) == (3, "succeeded")
        # Both have asked again since, as they do each second, once a later one has run.
        await _make_hourly(suite, distant, system["id"], "hourly, later", due)
        await eventually(lambda: _runs(suite, distant, "hourly, later"), timeout=30)
        for name in names:
            assert len(_runs(suite, distant, name)) == 1
            await eventually(lambda name=name: _is_scheduled(suite, name, due))
        logged = await eventually(lambda: len(found := _missed(suite, distant)) == 5 and found)
        assert all("3 ticks were missed" in entry["error_message"] for entry in logged)
    finally:
        assert processes.stop(second) == 0


def _states(suite: Suite, distant: Distant) -> dict[str, str]:
    """Of each delivery what became of it, by its id."""
    found = suite.get("/deliveries", system=distant.table.name)["deliveries"]
    return {one["delivery_id"]: one["state"].removeprefix("DELIVERY_STATE_") for one in found}


async def _make_hourly(suite: Suite, distant: Distant, system_id: int, name: str, due: datetime) -> None:
    values = {
        "system_id": system_id,
        "mapping_name": name,
        "source_table": "incidents",
        "target_table": f"{PREFIX}events",
        "mapping_config": {**TARGETS["events"], "sync": distant.table.sync, "filter": "id <= 3"},
        "sync_frequency": "hourly",
        "next_sync_at": due.isoformat(" "),
    }
    insert(suite, "external_data_mappings", values)
    await known(suite, distant.table.name, name)


def _runs(suite: Suite, distant: Distant, mapping: str) -> Any:
    return suite.get("/sync/runs", system=distant.table.name, mapping=mapping)["runs"]


def _missed(suite: Suite, distant: Distant) -> list[Any]:
    found = suite.get("/logs", system=distant.table.name, query_type="sync", limit=1000)["logs"]
    return [entry for entry in found if entry["query_string"].startswith("schedule mapping")]


def _is_scheduled(suite: Suite, mapping: str, due: datetime) -> bool:
    """Whether registry knows of the sync, and waits for the next tick."""
    (row,) = suite.rows("external_data_mappings", "mapping_name = %s", [mapping], owner="registry")
    return row["last_sync_at"] is not None and str(row["next_sync_at"]) == str(due + timedelta(hours=4))


def _process(suite: Suite) -> int:
    """The process of pull; 0 when there is none."""
    with suppress(LookupError):
        return victims.find_process(suite, "pull")
    return 0
