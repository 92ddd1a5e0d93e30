"""The database that users bring: adopted with its rows, worked on by both applications."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import requirement
from existing_deployment import build, php_inserts
from mariadb import MariaDBServer
from suite import PREFIX, Suite
from waiting import eventually

TABLES = (
    "external_systems",
    "external_system_connections",
    "external_data_mappings",
    "external_data_cache",
    "integration_query_logs",
    "module_system_mappings",
    "event_integration_checkpoints",
    "survey_integration_checkpoints",
    "events",
    "campaigns",
    "surveys",
)
#: what makes the seed's mapping fit the existing events table: its two required columns
CONFIG = {
    "field_mappings": {"title": ["event_title", "event_name"], "date": ["date", "starts_at"]},
    "constants": {"event_type": "drill"},
}


@pytest.fixture
def existing(tmp_path: Path, _mariadb_if_here: MariaDBServer | None) -> Iterator[Suite]:
    """A suite, not started, on a database as the PHP application leaves it."""
    if _mariadb_if_here is None:
        requirement.missing("mariadb", "install mariadb-server")
    url = _mariadb_if_here.url(_mariadb_if_here.create_database())
    build(url)
    suite = Suite(tmp_path / "suite", url)
    suite.directory.mkdir()
    yield suite
    suite.stop()


def _counts(suite: Suite) -> dict[str, int]:
    return {table: len(suite.rows(table)) for table in TABLES}


def _definitions(suite: Suite) -> dict[str, str]:
    return {table: suite.sql("target", f"SHOW CREATE TABLE {PREFIX}{table}")[0]["Create Table"] for table in TABLES}


async def test_up_and_migrate_leave_a_foreign_database_alone_and_name_adopt(existing: Suite) -> None:
    """Neither alters a thing; both say what to do."""
    before = _definitions(existing)
    migrated = existing.cli("db", "migrate", check=False)
    assert migrated.returncode != 0
    assert "intertie db adopt" in migrated.stdout + migrated.stderr
    with pytest.raises(RuntimeError, match="intertie db adopt"):
        existing.start()
    assert _definitions(existing) == before


async def test_a_dry_run_prints_the_statements_and_changes_nothing(existing: Suite) -> None:
    """What it prints names the tables that adopt would alter."""
    before = _definitions(existing)
    printed = existing.cli("db", "adopt", "--dry-run").stdout
    assert f"ALTER TABLE `{PREFIX}external_data_cache`" in printed
    assert f"ALTER TABLE `{PREFIX}integration_query_logs`" in printed
    assert f"ALTER TABLE `{PREFIX}events`" not in printed
    assert _definitions(existing) == before


async def test_an_adopted_database_keeps_its_rows_and_carries_webhooks(existing: Suite) -> None:
    """Every row is kept, the module tables are untouched, and both applications' work is seen."""
    suite = existing
    before = _counts(suite)
    module_tables = {table: _definitions(suite)[table] for table in ("events", "campaigns", "surveys")}
    suite.cli("db", "adopt")
    assert _counts(suite) == before
    again = suite.cli("db", "adopt", "--dry-run").stdout
    assert "ALTER TABLE" not in again
    assert {table: _definitions(suite)[table] for table in module_tables} == module_tables

    suite.start()
    refused = suite.request(
        "POST",
        "/mappings",
        json={
            "system": "law_enforcement",
            "mapping_name": "does not fit",
            "target_table": PREFIX + "events",
            "mapping_config": {"field_mappings": {"title": "event_title", "date": "date"}},
        },
    )
    assert refused.status_code == 400
    assert {"event_name", "starts_at"} <= {word for word in ("event_name", "starts_at") if word in refused.text}, (
        refused.text
    )

    events = len(suite.rows("events"))
    suite.add_mapping("law_enforcement", "adopted", CONFIG)
    connection = {
        "system": "law_enforcement",
        "connection_type": "api",
        "config_json": {"webhook_secret": "adopted"},
        "api_base_url": "https://police.example.org",
    }
    created = suite.request("POST", "/connections", json=connection)
    assert created.status_code == 200, created.text
    incident = {"id": "a-1", "title": "Adopted", "date": "2025-01-20"}
    await eventually(lambda: suite.webhook("law_enforcement", incident, "adopted").status_code == 202)
    await eventually(lambda: len(suite.rows("events")) == events + 1)
    (event,) = suite.rows("events", "event_title = %s", ["Adopted"])
    assert (event["event_name"], event["event_type"]) == ("Adopted", "drill")
    (checkpoint,) = suite.rows("event_integration_checkpoints", "event_id = %s", [event["id"]])
    assert (checkpoint["integration_status"], checkpoint["subsystem_type"]) == ("confirmed", "law_enforcement")

    mapping_id = suite.rows("external_data_mappings", "mapping_name = 'adopted'")[0]["id"]
    php_inserts(suite.database_url or "", mapping_id=mapping_id, event_id=event["id"])
    await eventually(lambda: suite.rows("events", "event_title = %s", ["From PHP"]))
    logs = suite.get("/logs", system="law_enforcement", query_type="api_get")["logs"]
    assert any(entry["query_string"] == "/incidents from PHP" for entry in logs)
    for table in TABLES:
        assert len(suite.rows(table)) >= before[table]


async def test_records_found_pending_wait_and_are_not_poured_into_the_modules(existing: Suite) -> None:
    """PHP never mapped anything; adopting must not suddenly write years of its cache into events."""
    suite = existing
    events = len(suite.rows("events"))
    waiting = [row["id"] for row in suite.rows("external_data_cache", "sync_status = 'pending'")]
    assert waiting
    suite.cli("db", "adopt")
    suite.start()
    suite.add_mapping("law_enforcement", "adopted", CONFIG)
    mapping_id = suite.rows("external_data_mappings", "mapping_name = 'adopted'")[0]["id"]
    php_inserts(suite.database_url or "", mapping_id=mapping_id, event_id=suite.rows("events")[0]["id"])
    await eventually(lambda: suite.rows("events", "event_title = %s", ["From PHP"]))
    assert len(suite.rows("events")) == events + 1
    still = suite.rows("external_data_cache", "sync_status = 'pending'")
    assert {row["id"] for row in still} >= set(waiting)
