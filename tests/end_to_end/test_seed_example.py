"""The seed document's example, from its SQL to the row, the checkpoint and the log."""

from collections.abc import Iterator

import pytest

import requirement
from mariadb import MariaDBServer
from seed import STATEMENTS
from suite import API, PREFIX, Row, Suite
from waiting import eventually

INCIDENT = {
    "event_type": "incident_created",
    "id": "12345",
    "title": "Traffic Accident",
    "location": "Main St",
    "date": "2025-01-20",
}


@pytest.fixture(params=["sqlite", "mariadb"])
def new_suite(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, _mariadb_if_here: MariaDBServer | None
) -> Iterator[Suite]:
    """A suite of the test's own on an empty database, not started."""
    database_url = None
    if request.param == "mariadb":
        if _mariadb_if_here is None:
            requirement.missing("mariadb", "install mariadb-server")
        database_url = _mariadb_if_here.url(_mariadb_if_here.create_database())
    suite = Suite(tmp_path_factory.mktemp(f"seed-{request.param}"), database_url)
    yield suite
    suite.stop()


@pytest.mark.parametrize("new_suite", ["sqlite"], indirect=True)
async def test_the_demo_carries_webhook_and_push_into_a_row_a_checkpoint_and_the_log(new_suite: Suite) -> None:
    """What `make up` starts answers the seed's two examples with 202 and lands one row."""
    suite = new_suite.start("--demo")

    answer = suite.webhook("law_enforcement", INCIDENT)
    assert answer.status_code == 202, answer.text
    delivery_id = answer.json()["delivery_id"]
    assert answer.json() == {
        "status": "received",
        "system": "law_enforcement",
        "external_id": "12345",
        "delivery_id": delivery_id,
        "duplicate": False,
    }
    (event,) = await eventually(lambda: suite.rows("events"))
    assert event["event_title"] == "Traffic Accident"
    assert str(event["date"]).startswith("2025-01-20")
    (checkpoint,) = suite.get("/checkpoints", system="law_enforcement")["checkpoints"]
    assert checkpoint["integration_status"] == "confirmed"
    assert checkpoint["target_id"] == str(event["id"])
    assert checkpoint["received_data"] == INCIDENT

    push = {
        "system": "law_enforcement",
        "mapping": "incidents_to_events",
        "data": {"id": "12346", "title": "Second", "date": "2025-01-21"},
    }
    answer = suite.http.post(f"{API}/push", json=push)
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert (body["status"], body["system"], body["mapping"]) == ("success", "law_enforcement", "incidents_to_events")
    assert (body["external_id"], body["duplicate"]) == ("12346", False)
    assert body["message"]
    await eventually(lambda: len(suite.rows("events")) == 2)

    def logged() -> bool:
        kinds = {entry["query_type"] for entry in suite.get("/logs", system="law_enforcement")["logs"]}
        return {"webhook", "push", "mapping", "configuration"} <= kinds

    await eventually(logged)
    about = suite.get("/logs", delivery_id=delivery_id)["logs"]
    assert sorted(entry["query_type"] for entry in about) == ["mapping", "webhook"]


async def test_the_seeds_sql_takes_effect_without_a_restart(new_suite: Suite) -> None:
    """The four statements, verbatim, on a running installation that has nothing else."""
    suite = new_suite.start()
    refused = suite.webhook("law_enforcement", INCIDENT, "your_secret_here")
    assert refused.status_code == 401

    for statement in STATEMENTS:
        suite.sql("registry", statement)

    def landed() -> list[Row]:
        # Again and again: a busy machine may know the system before the statement of its mapping has run.
        suite.webhook("law_enforcement", INCIDENT, "your_secret_here")
        return suite.rows("events")

    (event,) = await eventually(landed)
    assert (event["event_title"], str(event["date"])[:10]) == ("Traffic Accident", "2025-01-20")
    systems = suite.request("GET", "/modules/events/systems", role="module:events").json()
    assert systems == {
        "module": "events",
        "systems": [
            {
                "system_name": "law_enforcement",
                "display_name": "Law Enforcement System",
                "system_type": "hybrid",
                "access_type": "read_write",
                "connection_status": "never_tested",
            }
        ],
    }
    assert suite.rows("v_active_integrations", owner="registry")
    assert suite.rows("v_module_integrations", owner="registry")


@pytest.mark.parametrize("new_suite", ["mariadb"], indirect=True)
async def test_a_changed_secret_takes_effect_without_a_restart(new_suite: Suite) -> None:
    """Two changes by SQL within one second: the second one counts."""
    suite = new_suite.start("--demo")
    table = f"{PREFIX}external_system_connections"
    for secret in ("first", "second"):
        suite.sql("registry", f"UPDATE {table} SET config_json = %s", ['{"webhook_secret": "' + secret + '"}'])
    await eventually(lambda: suite.webhook("law_enforcement", INCIDENT, "second").status_code == 202)
    assert suite.webhook("law_enforcement", INCIDENT, "first").status_code == 401
    assert suite.webhook("law_enforcement", INCIDENT).status_code == 401
