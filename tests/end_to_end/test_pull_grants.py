"""What grants let modules do to external databases and APIs, through the whole suite: done, or refused, and logged."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from external_api import ExternalApi
from external_databases import ExternalMariaDB, ExternalPostgreSQL, ExternalSQLite
from pull_sources import PagesOfIncidents, TableOfIncidents, configure, post
from suite import Suite
from waiting import eventually

MAPPING = "incidents"
EVENTS, SURVEYS = "module:events", "module:surveys"
Row = dict[str, Any]

#: by database: types of columns, and their values as SQL
TYPES = {
    "sqlite": ("INTEGER", "TEXT", "TEXT", "TEXT", "BLOB", "TEXT", "x'00ff'"),
    "mariadb": ("BIGINT", "DECIMAL(20,4)", "DATE", "DATETIME(6)", "VARBINARY(9)", "JSON", "x'00ff'"),
    "postgresql": ("BIGINT", "NUMERIC(20,4)", "DATE", "TIMESTAMPTZ", "BYTEA", "JSONB", r"'\x00ff'"),
}
#: what the row says in each, digit for digit
SHOWN = {
    "sqlite": '"amount":"1234567890123456.7800","day":"2024-02-29","moment":"2024-02-29 23:59:59.000001+00",'
    '"raw":"AP8=","doc":"{\\"a\\":[1,null]}"',
    "mariadb": '"amount":1234567890123456.7800,"day":"2024-02-29","moment":"2024-02-29T23:59:59.000001","raw":"AP8=",'
    '"doc":"{\\"a\\":[1,null]}"',
    "postgresql": '"amount":1234567890123456.7800,"day":"2024-02-29","moment":"2024-02-29T23:59:59.000001Z",'
    '"raw":"AP8=","doc":{"a": [1, null]}',
}


@pytest.fixture(params=["sqlite", "mariadb", "postgresql"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TableOfIncidents]:
    """One incident in a table of each kind of database, with an informer whom nobody may see."""
    made: Any
    match request.param:
        case "sqlite":
            made = ExternalSQLite.make(tmp_path / "external.db")
        case "mariadb":
            made = ExternalMariaDB.make(request.getfixturevalue("mariadb_server"))
        case _:
            made = ExternalPostgreSQL.make(request.getfixturevalue("postgresql_server"))
    moment = "TIMESTAMP" if request.param == "postgresql" else "DATETIME"
    found = TableOfIncidents(f"grants_{request.param}", "events", made, moment)
    found.put(1, "first", "2026-03-01", "2026-01-01 00:00:01")
    number, amount, day, when, raw, doc, value = TYPES[request.param]
    columns = f"amount {amount}, day {day}, moment {when}, raw {raw}, doc {doc}, missing {day}"
    found.external.execute(f"CREATE TABLE typed (id {number}, {columns})")
    values = "9007199254740993, '1234567890123456.7800', '2024-02-29', '2024-02-29 23:59:59.000001"
    zone = "" if request.param == "mariadb" else "+00"
    found.external.execute(f"INSERT INTO typed VALUES ({values}{zone}', {value}, '{{\"a\":[1,null]}}', NULL)")
    found.permissions = {**found.permissions, "tables": ["incidents", "typed"]}
    yield found
    found.close()


def ask(suite: Suite, route: str, body: Row, role: str = EVENTS) -> Any:
    """The response to a question."""
    return suite.request("POST", route, role=role, json=body)


async def check_refusals(suite: Suite, route: str, system: str, refusals: list[tuple[str, Row, str]]) -> None:
    """Each is answered 403 with its reason, and stands in the log as what it was."""
    for role, asked, reason in refusals:
        response = ask(suite, route, {"system": system, **asked}, role)
        assert response.status_code == 403, (asked, response.text)
        assert response.json()["details"][0]["reason"] == reason, asked

    def errors() -> Any:
        found = suite.get("/logs", system=system, status="error", limit=1000)["logs"]
        return len(found) == len(refusals) and found

    entries = await eventually(errors)
    logged = [entry["query_string"] for entry in reversed(entries)]
    assert logged == [asked.get("query", asked.get("endpoint")) for _, asked, _ in refusals]
    assert {entry["response_status"] for entry in entries} == {403}


async def test_a_database_is_read_and_changed_as_the_grant_says(suite: Suite, table: TableOfIncidents) -> None:
    """Values keep their digits; one who may write writes; what lies beyond the grant is refused."""
    kind = table.name.removeprefix("grants_")
    await configure(suite, table, MAPPING, "events")
    system = {"system": table.name}
    post(suite, "/grants", {"module_name": "surveys", **system, "access_type": "read"})
    shown = ask(suite, "/query/database", {**system, "query": "SELECT * FROM typed"})
    assert shown.status_code == 200, shown.text
    assert f'"results":[{{"id":9007199254740993,{SHOWN[kind]},"missing":null}}]' in shown.text
    permitted = ask(suite, "/query/database", {**system, "query": "SELECT * FROM incidents"}).json()["results"]
    assert [list(row) for row in permitted] == [["id", "title", "day", "changed"]]

    def changed(query: str, **params: Any) -> int:
        response = ask(suite, "/query/database", {**system, "query": query, "params": params})
        assert response.status_code == 200, response.text
        return int(response.json()["count"])

    new = {"id": 2, "title": "it's; -- 'new'", "at": "2026-01-01T00:00:02"}
    assert changed("INSERT INTO incidents (id, title, changed) VALUES (:id, :title, :at)", **new) == 1
    assert changed("UPDATE incidents SET title = :title WHERE id = :id", id=1, title="second") == 1
    assert list(table.external.rows("SELECT id, title FROM incidents ORDER BY id")) == [
        (1, "second"),
        (2, new["title"]),
    ]
    assert changed("DELETE FROM incidents WHERE id = :id", id=2) == 1
    assert len(table.external.rows("SELECT id FROM incidents")) == 1
    for query_type in ("insert", "update", "delete"):
        found = await eventually(lambda kind=query_type: suite.get("/logs", **system, query_type=kind)["logs"])
        assert [(one["status"], one["module_name"]) for one in found] == [("success", "events")]

    delete = {"query": "DELETE FROM incidents WHERE id = 1"}
    select = {"query": "SELECT id FROM incidents"}
    refusals: list[tuple[str, Row, str]] = [
        (SURVEYS, delete, "QUERY_NOT_PERMITTED"),
        (SURVEYS, {**select, "module": "events"}, "MODULE_MISMATCH"),
        ("module:drills", select, "PERMISSION_DENIED"),
        (EVENTS, {"query": "SELECT id FROM secrets"}, "QUERY_NOT_PERMITTED"),
        (EVENTS, {"query": "SELECT informer FROM incidents"}, "QUERY_NOT_PERMITTED"),
        (EVENTS, {"query": "SELECT id FROM incidents WHERE informer = 'x'"}, "QUERY_NOT_PERMITTED"),
        (EVENTS, {"query": "UPDATE secrets SET id = 1"}, "QUERY_NOT_PERMITTED"),
    ]
    await check_refusals(suite, "/query/database", table.name, refusals)
    assert len(table.external.rows("SELECT id FROM incidents")) == 1


async def test_an_api_is_called_as_the_grant_says(suite: Suite) -> None:
    """Reads need a grant to read, all else one to write, on the endpoints that it names; nothing refused is sent."""
    with ExternalApi([{"id": 1}]) as api:
        pages = PagesOfIncidents("grants_api", "events", api, "offset", "bearer")
        pages.permissions = {"endpoints": ["/items", "/items/*"]}
        pages.connection["api_base_url"] = f"{api.url}/as/bearer"
        await configure(suite, pages, MAPPING, "events")
        system = {"system": pages.name}
        post(suite, "/grants", {"module_name": "surveys", **system, "access_type": "write"})
        read = ask(suite, "/query/api", {**system, "endpoint": "/items", "method": "GET"})
        assert (read.status_code, read.json()["data"]) == (200, [{"id": 1}])
        written = ask(suite, "/query/api", {**system, "endpoint": "items", "method": "POST", "data": {"a": 1}}, SURVEYS)
        assert written.status_code == 200
        assert json.loads(api.requests[-1].body) == {"a": 1}
        (entry,) = await eventually(lambda: suite.get("/logs", **system, query_type="api_post")["logs"])
        assert (entry["status"], entry["module_name"]) == ("success", "surveys")

        sent = len(api.requests)
        items = {"endpoint": "/items"}
        await check_refusals(
            suite,
            "/query/api",
            pages.name,
            [
                (SURVEYS, items, "QUERY_NOT_PERMITTED"),
                (SURVEYS, {**items, "module": "events"}, "MODULE_MISMATCH"),
                ("module:drills", items, "PERMISSION_DENIED"),
                (EVENTS, {"endpoint": "/graphql"}, "QUERY_NOT_PERMITTED"),
                (EVENTS, {"endpoint": "/itemsandmore"}, "QUERY_NOT_PERMITTED"),
            ],
        )
        assert len(api.requests) == sent
