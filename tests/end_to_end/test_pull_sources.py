"""Each kind of source, real: databases, an API's paginations and credentials; asked and synced into module tables."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from external_api import ExternalApi
from external_databases import ExternalMariaDB, ExternalPostgreSQL, ExternalSQLite
from pull_sources import COLUMNS, PagesOfIncidents, Source, TableOfIncidents, configure, configure_by_sql
from suite import PREFIX, Suite
from waiting import eventually

#: by name: pagination, credentials, target
APIS = {
    "single_page": ("single_page", "none", "events"),
    "json_link": ("json_link", "basic", "events"),
    "header_link": ("header_link", "bearer", "campaigns"),
    "offset": ("offset", "apikey", "surveys"),
    "page_number": ("page_number", "oauth2", "events"),
    "cursor": ("cursor", "bearer", "campaigns"),
    "graphql": ("graphql", "oauth2", "events"),
    "soap": ("soap", "basic", "surveys"),
}
DATABASES = ("sqlite", "mariadb", "postgresql")
MAPPING = "incidents"
READER, STRANGER = "module:events", "module:surveys"


@pytest.fixture(params=[*DATABASES, *APIS])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Source]:
    """Seven incidents of each kind of source."""
    made: Source
    match request.param:
        case "sqlite":
            made = TableOfIncidents("files", "surveys", ExternalSQLite.make(tmp_path / "external.db"))
        case "mariadb":
            external = ExternalMariaDB.make(request.getfixturevalue("mariadb_server"))
            made = TableOfIncidents("maria", "campaigns", external, "DATETIME(6)")
        case "postgresql":
            postgres = ExternalPostgreSQL.make(request.getfixturevalue("postgresql_server"))
            made = TableOfIncidents("postgres", "events", postgres, "TIMESTAMP WITHOUT TIME ZONE")
        case name:
            pagination, authentication, target = APIS[name]
            api = ExternalApi()
            api.start()
            made = PagesOfIncidents(name, target, api, pagination, authentication)
    for number in range(1, 8):
        made.put(number, title(made, number), f"2026-03-{number:02}", f"2026-01-01 00:00:{number:02}")
    yield made
    made.close()


def title(source: Source, number: int, state: str = "reported") -> str:
    """The title of an incident, which no other source has."""
    return f"{source.name}: incident {number} {state}"


class Synced:
    """What the suite has of a source."""

    def __init__(self, suite: Suite, source: Source) -> None:
        self.suite, self.source = suite, source
        self.names = {"system": source.name, "mapping": MAPPING}

    def sync(self, **more: Any) -> Any:
        """A run that has ended well."""
        response = self.suite.request("POST", "/sync", role=READER, json={**self.names, **more})
        answer = response.json()
        assert (response.status_code, answer["state"]) == (200, "succeeded"), answer
        return answer

    def rows(self) -> dict[str, str]:
        """Day by title of the target's rows; no title twice."""
        column, day = COLUMNS[self.source.target]
        found = self.suite.rows(self.source.target, f"{column} LIKE %s", [f"{self.source.name}: %"])
        rows = {row[column]: str(row[day])[:10] for row in found}
        assert len(rows) == len(found)
        return rows

    def cached(self) -> dict[str, str]:
        """Status by external id of what the cache tells a module."""
        response = self.suite.request("GET", "/cache", role=READER, params=self.names)
        return {record["external_id"]: record["sync_status"] for record in response.json()["data"]}

    def logged(self, query_type: str, **wanted: Any) -> list[Any]:
        """The log's entries of one kind, the newest first."""
        found = self.suite.get("/logs", system=self.source.name, query_type=query_type, limit=1000)["logs"]
        return [entry for entry in found if all(entry[name] == value for name, value in wanted.items())]


async def test_a_source_is_asked_and_synced_into_a_module_table(suite: Suite, source: Source) -> None:
    """First all, then what is new only, then what has vanished; the target, the cache, the run and the log agree."""
    more = {}
    if source.target == "surveys":
        suite.sql("target", f"INSERT INTO {PREFIX}campaigns (title) VALUES (%s)", [f"campaign of {source.name}"])
        (campaign,) = suite.rows("campaigns", "title = %s", [f"campaign of {source.name}"])
        more = {"constants": {"campaign_id": campaign["id"]}}
    tell = configure_by_sql if source.name in ("files", "header_link") else configure
    await tell(suite, source, MAPPING, "events", more=more)
    synced = Synced(suite, source)
    await _is_asked(suite, synced)

    reported = {title(source, number): f"2026-03-{number:02}" for number in range(1, 8)}
    first = synced.sync()
    assert counts(first) == {"read": 7, "new": 7, "changed": 0, "unchanged": 0, "outdated": 0, "failed": 0}
    assert first["sync_result"] == {"synced": 7, "errors": 0, "total": 7}
    assert first["run"]["pages"] >= (1 if source.name in ("single_page", "soap") else 3)
    assert synced.rows() == reported
    assert synced.cached() == {str(number): "synced" for number in range(1, 8)}
    if source.target != "campaigns":
        checkpoints = suite.get("/checkpoints", system=source.name)["checkpoints"]
        assert [one["integration_status"] for one in checkpoints] == ["confirmed"] * 7
    _check_cursor(suite, synced, "2026-01-01T00:00:07", first["run_id"])

    source.put(8, title(source, 8), "2026-03-08", "2026-01-01 00:00:08")
    source.put(3, title(source, 3, "closed"), "2026-03-03", "2026-01-01 00:00:09")
    second = synced.sync()
    # The last one of the run before is read again, as another may have come with its time; it is known.
    known = 1 if source.is_incremental else 6
    assert counts(second) == {
        "read": 2 + known, "new": 1, "changed": 1, "unchanged": known, "outdated": 0, "failed": 0,
    }  # fmt: skip
    del reported[title(source, 3)]
    reported |= {title(source, 3, "closed"): "2026-03-03", title(source, 8): "2026-03-08"}
    assert synced.rows() == reported

    source.remove(2)
    full = synced.sync(mode="full")
    assert counts(full) == {"read": 7, "new": 0, "changed": 0, "unchanged": 7, "outdated": 1, "failed": 0}
    assert synced.rows() == reported
    assert synced.cached() == {str(number): "synced" for number in (1, *range(3, 9))}
    outdated = suite.get("/records", system=source.name, sync_status="outdated")["records"]
    assert [record["external_id"] for record in outdated] == ["2"]
    _check_cursor(suite, synced, "2026-01-01T00:00:09", second["run_id"])
    entries = await eventually(lambda: len(found := synced.logged("sync", status="success")) == 3 and found)
    assert [entry["response_payload"]["read"] for entry in entries] == [7, second["run"]["read"], 7]
    assert {entry["query_string"] for entry in entries} == {MAPPING}
    if isinstance(source, PagesOfIncidents):
        assert source.api.count("/token") == (source.authentication == "oauth2"), "one token serves all"


async def _is_asked(suite: Suite, synced: Synced) -> None:
    """A module with a grant gets the answer, one without gets none, and both stand in the log."""
    route, asked = synced.source.question
    body = {"system": synced.source.name, **asked}
    response = suite.request("POST", route, role=READER, json=body)
    assert response.status_code == 200, response.text
    answer = response.json()
    if route == "/query/database":
        assert answer["results"] == [{"id": 3, "title": title(synced.source, 3)}]
        kind = "select"
    else:
        assert title(synced.source, 3) in response.text
        kind = "api_get"
    (entry,) = await eventually(lambda: synced.logged(kind, status="success"))
    assert (entry["module_name"], entry["response_status"]) == ("events", 200)
    assert suite.request("POST", route, role=STRANGER, json=body).status_code == 403
    (refused,) = await eventually(lambda: synced.logged(kind, status="error"))
    assert (refused["module_name"], refused["response_status"]) == ("surveys", 403)


def counts(answer: Any) -> dict[str, int]:
    """What a run counted."""
    return {name: answer["run"][name] for name in ("read", "new", "changed", "unchanged", "outdated", "failed")}


def _check_cursor(suite: Suite, synced: Synced, value: str, run_id: str) -> None:
    cursor = suite.get("/sync/cursor", **synced.names)
    if synced.source.is_incremental:
        assert (cursor["value"][:19], cursor["type"], cursor["run_id"]) == (value, "datetime", run_id)
    else:
        assert (cursor["value"], cursor["run_id"]) == ("", "")
