"""Every type of column: what is written is what the record says, and reading it back finds nothing to change."""

from typing import Any

import pytest

from intertie_mapper.columns import Kind
from intertie_mapper.model import Action, Outcome
from intertie_mapper.settings import MapperSettings
from intertie_mapper.target_tables import TargetTables
from mapper_rig import PREFIX, record, rig

# column, its type on MariaDB, its type on SQLite, two values that fit
COLUMNS: tuple[tuple[str, str, str, Any, Any], ...] = (
    ("tiny", "TINYINT UNSIGNED", "TINYINT UNSIGNED", 0, 255),
    ("flag", "BOOLEAN", "BOOLEAN", True, False),
    ("small", "SMALLINT", "SMALLINT", -32768, 32767),
    ("whole", "INT UNSIGNED", "INT UNSIGNED", 4294967295, 1),
    ("big", "BIGINT", "BIGINT", -(2**63), 9007199254740993),
    ("money", "DECIMAL(12,2)", "DECIMAL(12,2)", "1234567890.12", 0.1),
    ("ratio", "DOUBLE", "DOUBLE", 0.1, 1e-20),
    ("short", "VARCHAR(10)", "VARCHAR(10)", "ñ 😀 '\\", "x "),
    ("fixed", "CHAR(5)", "CHAR(5)", "ab   ", "é"),
    ("lengthy", "TEXT", "TEXT", "a" * 3000, ""),
    ("word", "ENUM('a','it''s','c,d')", "VARCHAR(5) CHECK (word IN ('a', 'it''s', 'c,d'))", "it's", "c,d"),
    ("day", "DATE", "DATE", "2026-11-30", "0999-01-01T10:00:00Z"),
    ("moment", "DATETIME(3)", "DATETIME(3)", "2026-11-30T14:00:00.123456+08:00", "1999-12-31 23:59:59"),
    ("stamp", "TIMESTAMP NULL", "TIMESTAMP", "2026-11-30T14:00:00Z", "1970-01-02"),
    ("clock", "TIME", "TIME", "14:30", "00:00:01"),
    ("document", "JSON", "JSON", {"b": [1.50, None, "ñ"], "a": {"x": True}}, []),
    ("raw", "VARBINARY(20)", "BLOB", "AP8nIlw=", ""),
    ("year", "YEAR", "YEAR", 2026, 1999),
)
MARIADB_ONLY: tuple[tuple[str, str, Any, Any], ...] = (
    ("single", "FLOAT", 1.5, 0.25),
    ("medium", "MEDIUMINT", -8388608, 7),
    ("chosen", "SET('x','y','z')", ["z", "x"], "y"),
    ("bits", "BIT(9)", 511, 0),
    ("uid", "UUID", "0190A0F1-7C3E-7B5A-8E2C-1D5A3B7C9E0F", "0190a0f1-7c3e-7b5a-8e2c-1d5a3b7c9e10"),
    ("address", "INET6", "::1", "fe80::1"),
)


def columns_of(url: str) -> list[tuple[str, str, Any, Any]]:
    """Name, type and two values of each column on that store."""
    if url.startswith("sqlite"):
        return [(name, sqlite, one, other) for name, _, sqlite, one, other in COLUMNS]
    return [(name, mysql, one, other) for name, mysql, _, one, other in COLUMNS] + list(MARIADB_ONLY)


async def test_values_arrive_and_are_recognised(database_url: str) -> None:
    """Inserted, changed in one statement for rows of different values and nulls, and then found unchanged."""
    columns = columns_of(database_url)
    key = "INTEGER PRIMARY KEY AUTOINCREMENT" if database_url.startswith("sqlite") else "INT PRIMARY KEY AUTO_INCREMENT"
    types = ", ".join(f"{name} {type_}" for name, type_, _, _ in columns)
    async with rig(database_url, f"CREATE TABLE {{p}}kinds (id {key}, {types})") as mapper:
        mapper.map("kinds", {"field_mappings": {name: name for name, _, _, _ in columns}, "external_id_field": "k"})
        one = {name: value for name, _, value, _ in columns}
        other = {name: value for name, _, _, value in columns}
        nothing = dict.fromkeys(one)
        turns = ((one, other, nothing), (other, nothing, one), (nothing, one, other))
        for revision, turn in enumerate(turns, 1):
            documents = [record(f"r{n}", data, revision=revision * 2) for n, data in enumerate(turn)]
            endings = await mapper.land(*documents)
            assert {ending.outcome for ending in endings} == {Outcome.SYNCED}, endings
            assert {ending.action for ending in endings} == {Action.INSERT if revision == 1 else Action.UPDATE}
            again = [record(f"r{n}", data, revision=revision * 2 + 1) for n, data in enumerate(turn)]
            assert [ending.action for ending in await mapper.land(*again)] == [Action.UNCHANGED] * 3
            rows = await mapper.rows("SELECT * FROM {p}kinds ORDER BY id")
            empty = rows[turn.index(nothing)]
            assert {name: value for name, value in empty.items() if name != "id"} == nothing


async def test_a_table_is_described_as_it_is(mariadb_url: str) -> None:
    """Defaults, computed columns, words, keys and references, as MariaDB says them."""
    async with rig(
        mariadb_url,
        "CREATE TABLE {p}described (a INT UNSIGNED NOT NULL, b VARCHAR(10) NOT NULL DEFAULT 'x', c INT AS (a + 1), "
        "d TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, e CHAR(36) NOT NULL DEFAULT (uuid()), "
        "f INT UNSIGNED NULL DEFAULT NULL, "
        "g JSON NOT NULL, h TINYINT(1), i ENUM('p','q') NOT NULL, j LONGTEXT, "
        "PRIMARY KEY (a, e), UNIQUE KEY pair (b, f), FOREIGN KEY (f) REFERENCES {p}events (id))",
    ) as mapper:
        table = await mapper.targets.get(f"{PREFIX}described")
        columns = table.by_name
        assert [column.name for column in table.columns if column.required] == ["a", "g", "i"]
        assert columns["c"].computed
        assert (columns["e"].default_expression, columns["d"].has_default) == ("uuid()", True)
        assert not columns["f"].has_default
        assert [columns[name].kind for name in "ghij"] == [Kind.JSON, Kind.BOOLEAN, Kind.ENUM, Kind.TEXT]
        assert table.primary_key == ("a", "e")
        assert [(key.name, key.columns) for key in table.uniques] == [("pair", ("b", "f"))]
        assert [(key.columns, key.refers_to) for key in table.foreign_keys] == [(("f",), f"{PREFIX}events")]


async def test_a_view_is_no_target(database_url: str) -> None:
    """Rows cannot be traced in one."""
    async with rig(database_url, "CREATE VIEW {p}v AS SELECT id FROM {p}events") as mapper:
        mapper.map("v", {"field_mappings": {"id": "id"}})
        (ending,) = await mapper.land(record("1", {"id": 1}))
        assert ending.reason == "target_not_found"


@pytest.mark.parametrize(
    ("name", "allowed", "is_allowed"),
    [
        ("campaign_department_events", "", True),
        ("campaign_department_users", "", False),
        ("campaign_department_role_permissions", "", False),
        ("campaign_department_USERS", "", False),
        ("campaign_department_External_Systems", "*", False),
        ("CAMPAIGN_DEPARTMENT_EXTERNAL_DATA_CACHE", "*", False),
        ("campaign_department_external_systems", "", False),
        ("campaign_department_event_integration_checkpoints", "", False),
        ("campaign_department_mapper_outbox", "", False),
        ("campaign_department_registry_schema_versions", "", False),
        ("events", "", False),
        ("events", "events,campaign_department_*", True),
        ("campaign_department_users", "campaign_department_users", True),
        ("campaign_department_inbound_deliveries", "campaign_department_*", False),
        ("campaign_department_events", "other", False),
    ],
)
async def test_the_allow_list(sqlite_url: str, name: str, allowed: str, is_allowed: bool) -> None:
    """By default the prefix, less the suite's own tables and those of accounts; the setting never opens the former."""
    async with rig(sqlite_url) as mapper:
        settings = MapperSettings(target_tables=allowed)
        targets = TargetTables(mapper.database, PREFIX, settings.allowed_tables)
        assert targets.is_allowed(name) is is_allowed
