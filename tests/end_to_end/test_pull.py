"""Pull as users meet it in the demo: questions under grants, syncs by HTTP and by the command, the cache, the log."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from suite import Suite
from waiting import eventually

SYSTEM = "city_roads"
CLOSURES = {"system": SYSTEM, "mapping": "closures_to_events"}
FIRST = "SELECT id, title FROM closures WHERE closed_on < :before"
EVENTS, SURVEYS = "module:events", "module:surveys"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """The suite with its demo on embedded SQLite; what a test syncs, later ones find."""
    running = Suite(tmp_path_factory.mktemp("pull")).start("--demo")
    yield running
    running.stop()


def ask(suite: Suite, path: str, body: dict[str, Any], role: str = EVENTS) -> Any:
    """A question's answer: status and JSON."""
    response = suite.request("POST", path, role=role, json=body)
    return response.status_code, response.json()


def refused(suite: Suite, path: str, body: dict[str, Any], role: str = EVENTS) -> tuple[int, str]:
    """Status and reason of a question that is refused."""
    status, problem = ask(suite, path, body, role)
    assert status >= 400, problem
    return status, problem["details"][0]["reason"]


def answer(suite: Suite, *arguments: str) -> Any:
    """What a command prints as JSON."""
    ran = suite.cli(*arguments, "--output", "json", check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def change(suite: Suite, *statements: str) -> None:
    """Changes the external database, as whoever owns it does."""
    with closing(sqlite3.connect(suite.data / "external" / f"{SYSTEM}.db")) as connection, connection:
        for statement in statements:
            connection.execute(statement)


async def logged(suite: Suite, at_least: int = 1, **wanted: str) -> list[dict[str, Any]]:
    """The log's entries of the system that are like this, once there are so many."""

    def found() -> list[dict[str, Any]]:
        logs = suite.get("/logs", system=SYSTEM, limit=1000)["logs"]
        like_it = [entry for entry in logs if all(entry[name] == value for name, value in wanted.items())]
        return like_it if len(like_it) >= at_least else []

    entries: list[dict[str, Any]] = await eventually(found)
    return entries


async def test_a_module_asks_a_database(demo: Suite) -> None:
    """The answer as documented; the parameter is bound, the row cap is said, the log has who asked what."""
    body = {"system": SYSTEM, "query": FIRST, "params": {"before": "2026-02-03"}}
    assert ask(demo, "/query/database", body) == (
        200,
        {
            "system": SYSTEM,
            "query": FIRST,
            "results": [{"id": 1, "title": "Harbour Bridge closed"}],
            "count": 1,
            "truncated": False,
        },
    )
    status, capped = ask(demo, "/query/database", {"system": SYSTEM, "query": "SELECT id FROM closures", "max_rows": 5})
    assert (status, capped["count"], capped["truncated"]) == (200, 5, True)
    _, pasted = ask(demo, "/query/database", {**body, "params": {"before": "' OR '1'='1"}})
    assert pasted["results"] == []
    (entry, *_) = await logged(demo, query_type="select", status="success")
    assert (entry["module_name"], entry["system"]) == ("events", SYSTEM)


async def test_a_module_asks_an_api(demo: Suite) -> None:
    """JSON as it came, with the API's status; query parameters may stand in `data`."""
    body = {"system": SYSTEM, "endpoint": "/works/RW-203", "method": "GET"}
    status, found = ask(demo, "/query/api", body)
    assert (status, found["data"]["title"], found["status"], found["method"]) == (
        200, "Water main replacement", 200, "GET",
    )  # fmt: skip
    assert list(found) == ["system", "endpoint", "method", "data", "status"]
    _, page = ask(demo, "/query/api", {"system": SYSTEM, "endpoint": "works", "data": {"page_size": 3, "page": 3}})
    assert [works["id"] for works in page["data"]["works"]] == ["RW-207"]
    assert refused(demo, "/query/api", {**body, "endpoint": "/works/RW-1"}) == (404, "EXTERNAL_NOT_FOUND")
    await logged(demo, query_type="api_get", status="success")


@pytest.mark.parametrize(
    ("path", "asked", "role", "status", "reason"),
    [
        ("database", {"query": FIRST}, SURVEYS, 403, "PERMISSION_DENIED"),
        ("database", {"query": FIRST, "module": "surveys"}, EVENTS, 403, "MODULE_MISMATCH"),
        ("database", {"query": "DELETE FROM closures WHERE id = 1"}, EVENTS, 403, "QUERY_NOT_PERMITTED"),
        ("database", {"query": "SELECT * FROM passwords"}, EVENTS, 403, "QUERY_NOT_PERMITTED"),
        ("database", {"query": "SELECT 1; SELECT 2"}, EVENTS, 400, "QUERY_REFUSED"),
        ("api", {"endpoint": "/works"}, SURVEYS, 403, "PERMISSION_DENIED"),
        ("api", {"endpoint": "/readyz"}, EVENTS, 403, "QUERY_NOT_PERMITTED"),
        ("api", {"endpoint": "/works", "method": "POST", "data": {}}, EVENTS, 403, "QUERY_NOT_PERMITTED"),
    ],
)
async def test_what_no_grant_covers_is_refused_and_logged(
    demo: Suite, path: str, asked: dict[str, Any], role: str, status: int, reason: str
) -> None:
    """Without a grant, with the wrong access, beyond query_permissions: refused, and one error of it in the log."""
    response = demo.request("POST", f"/query/{path}", role=role, json={"system": SYSTEM, **asked})
    assert (response.status_code, response.json()["details"][0]["reason"]) == (status, reason)
    request_id = response.headers["x-request-id"]

    def entries() -> list[Any]:
        logs = demo.get("/logs", system=SYSTEM, status="error", limit=1000)["logs"]
        return [entry for entry in logs if entry["request_id"] == request_id]

    assert len(await eventually(entries)) == 1


async def test_an_admin_asks_as_a_module(demo: Suite) -> None:
    """Which it names; its own name is no grant. A viewer asks nothing."""
    body = {"system": SYSTEM, "query": FIRST, "params": {"before": "2026-02-03"}}
    assert ask(demo, "/query/database", {**body, "module": "events"}, "admin")[1]["count"] == 1
    assert refused(demo, "/query/database", body, "admin") == (400, "INVALID_REQUEST")
    assert refused(demo, "/query/database", {**body, "module": "surveys"}, "admin") == (403, "PERMISSION_DENIED")
    assert refused(demo, "/query/database", body, "viewer") == (403, "PERMISSION_DENIED")


async def test_a_sync_by_http_brings_only_what_is_new(demo: Suite) -> None:
    """Every row once in the target; then what changed at the source, and what vanished when everything is read."""
    status, first = ask(demo, "/sync", CLOSURES)
    assert (status, first["state"], first["sync_result"]) == (
        200,
        "succeeded",
        {"synced": 12, "errors": 0, "total": 12},
    )
    assert (first["run"]["mode"], first["run"]["new"], first["run"]["pages"] >= 3) == ("incremental", 12, True)
    closures = "event_title LIKE %s"
    assert len(demo.rows("events", closures, ["%closed"])) == 12
    cursor = demo.get("/sync/cursor", **CLOSURES)
    assert (cursor["cursor_field"], cursor["value"][:10], cursor["run_id"]) == (
        "updated_at",
        "2026-01-11",
        first["run_id"],
    )

    change(
        demo,
        "INSERT INTO closures (title, street, closed_on, updated_at)"
        " VALUES ('New Road closed', 'New Road', '2026-02-21', '2026-01-12 08:00:00')",
        "UPDATE closures SET title = 'Main Street is closed', updated_at = '2026-01-12 09:00:00' WHERE id = 5",
    )
    _, second = ask(demo, "/sync", CLOSURES)
    assert (second["state"], second["run"]["new"], second["run"]["changed"]) == ("succeeded", 1, 1)
    assert second["run"]["read"] == 2 + second["run"]["unchanged"] < 12
    assert len(demo.rows("events", closures, ["%closed"])) == 13
    _, third = ask(demo, "/sync", CLOSURES)
    assert (third["run"]["new"], third["run"]["changed"]) == (0, 0)

    change(demo, "DELETE FROM closures WHERE id = 1")
    _, full = ask(demo, "/sync", {**CLOSURES, "mode": "full"})
    assert (full["run"]["read"], full["run"]["unchanged"], full["run"]["outdated"]) == (12, 12, 1)
    outdated = demo.get("/records", system=SYSTEM, sync_status="outdated")["records"]
    assert [record["external_id"] for record in outdated] == ["1"]
    runs = demo.get("/sync/runs", system=SYSTEM, mapping="closures_to_events")["runs"]
    assert [run["run_id"] for run in runs] == [each["run_id"] for each in (full, third, second, first)]
    await logged(demo, at_least=4, query_type="sync", status="success")


async def test_the_cache_is_read_in_pages(demo: Suite) -> None:
    """Each synced record once, in the documented shape, by modules with a grant only."""
    ask(demo, "/sync", CLOSURES)
    found: list[str] = []
    token = ""
    while True:
        query = {**CLOSURES, "page_size": 5, "page_token": token}
        response = demo.request("GET", "/cache", role=EVENTS, params=query)
        page = response.json()
        assert list(page) == ["system", "mapping", "data", "count", "next_page_token"]
        assert page["count"] == len(page["data"]) <= 5
        found += [record["external_id"] for record in page["data"]]
        token = page["next_page_token"]
        if not token:
            break
    assert found == sorted(set(found))
    assert len(found) >= 11
    assert demo.request("GET", "/cache", role=SURVEYS, params=CLOSURES).status_code == 403


async def test_the_command_syncs_and_watches(demo: Suite) -> None:
    """The progress goes to standard error, the run to standard output; reset asks, and then all is read again."""
    names = (SYSTEM, "works_to_events")
    ran = demo.cli("sync", "run", *names, "--output", "json")
    run = json.loads(ran.stdout)
    assert (run["state"], run["read"], run["new"], run["failed"]) == ("succeeded", 7, 7, 0)
    assert re.search(r"^succeeded, \d pages, 7 rows$", ran.stderr, re.MULTILINE)
    assert answer(demo, "sync", "show", run["run_id"])["pages"] == run["pages"]
    assert answer(demo, "sync", "failures", run["run_id"]) == []
    assert run["run_id"] in demo.cli("sync", "runs", "--system", SYSTEM).stdout
    assert answer(demo, "sync", "cursor", *names)["value"].startswith("2026-01-12T16:45:00")
    again = answer(demo, "sync", "run", *names)
    assert (again["read"], again["new"], again["changed"]) == (1, 0, 0)

    backfill = answer(demo, "sync", "run", *names, "--backfill", "--from", "2026-01-03T00:00:00Z",
                      "--to", "2026-01-06T00:00:00Z")  # fmt: skip
    assert (backfill["mode"], backfill["state"], backfill["new"]) == ("backfill", "succeeded", 0)
    assert answer(demo, "sync", "cursor", *names)["value"].startswith("2026-01-12T16:45:00")

    asked = demo.cli("sync", "reset", *names, check=False)
    assert (asked.returncode, "Say --yes" in asked.stderr) == (2, True)
    demo.cli("sync", "reset", *names, "--yes")
    assert answer(demo, "sync", "run", *names)["read"] == 7

    done = demo.cli("sync", "cancel", run["run_id"], check=False)
    assert (done.returncode, done.stdout) == (1, "")
    for bad in (("sync", "run", SYSTEM, "none"), ("sync", "show", "none")):
        failed = demo.cli(*bad, check=False)
        assert (failed.returncode, failed.stdout, "Traceback" in failed.stderr) == (1, "", False)


async def test_the_command_asks(demo: Suite) -> None:
    """A table for people, JSON for programs; who asks is named."""
    sql = "SELECT id, title FROM closures WHERE closed_on < :before AND id > :least"
    given = ("--param", "before=2026-02-06", "--param", "least=1", "--module", "events")
    table = demo.cli("query", "database", SYSTEM, sql, *given).stdout
    assert [line.split()[0] for line in table.splitlines()] == ["ID", "2", "3"]
    assert answer(demo, "query", "database", SYSTEM, sql, *given)["count"] == 2
    assert "Harbour Bridge" in demo.cli("query", "api", SYSTEM, "/works", "--module", "events").stdout
    api = answer(demo, "query", "api", SYSTEM, "/works", "--data", '{"page_size": 1}', "--module", "events")
    assert (api["status"], len(api["data"]["works"])) == (200, 1)
    nobody = demo.cli("query", "api", SYSTEM, "/works", check=False)
    assert (nobody.returncode, "module" in nobody.stderr) == (1, True)


async def test_connections_are_tried(demo: Suite) -> None:
    """Both of the demo's work; one that leads nowhere says why, and its state is kept with it."""
    worked = answer(demo, "connections", "test", "--system", SYSTEM)
    assert [each["connection_status"] for each in worked] == ["connected", "connected"]
    demo.request("POST", "/systems", json={"system_name": "nowhere", "display_name": "Nowhere", "system_type": "api"})
    body = {
        "system": "nowhere",
        "connection_type": "rest",
        "api_base_url": "http://127.0.0.1:1",
        "api_auth_type": "none",
        "config_json": {"allowed_networks": ["127.0.0.1"], "retries": 0},
    }
    number = str(demo.request("POST", "/connections", json=body).json()["id"])
    failed = demo.cli("connections", "test", number, check=False)
    assert failed.returncode == 1
    assert "disconnected" in failed.stdout
    kept = demo.get(f"/connections/{number}")
    assert (kept["connection_status"], kept["last_connection_test"] is None) == ("disconnected", False)
    assert demo.cli("connections", "test", "--all", check=False).returncode == 1
    tried = ask(demo, f"/connections/{number}:test", {}, "operator")
    assert (tried[0], tried[1]["connection_status"]) == (200, "disconnected")
