"""The seed document's own SQL, and the schema that it relies on."""

from typing import Any

import pytest

from intertie_chassis.database import Database
from intertie_registry.migrations import MIGRATIONS
from intertie_registry.stores import Stores
from seed import STATEMENTS
from suite import PREFIX


async def test_the_seed_runs_verbatim_and_is_read(sql: Any, stores: Stores) -> None:
    """All four statements run, and the configuration is what they say, defaults included."""
    for statement in STATEMENTS:
        await sql(statement)
    system = await stores.systems.get("law_enforcement")
    assert (system.id, system.display_name, system.system_type, system.is_active) == (
        1,
        "Law Enforcement System",
        "hybrid",
        True,
    )
    assert system.created_at is not None
    [connection] = await stores.connections.page(0, 10, system="law_enforcement")
    assert (connection.connection_type, connection.api_auth_type, connection.api_timeout) == ("api", "bearer", 30)
    assert (connection.db_port, connection.db_driver, connection.connection_status) == (3306, "mysql", "never_tested")
    assert connection.config_json == '{"webhook_secret": "your_secret_here"}'
    [mapping] = await stores.mappings.page(0, 10)
    assert (mapping.mapping_name, mapping.sync_frequency, mapping.is_active) == (
        "incidents_to_events",
        "realtime",
        True,
    )
    [granted] = await stores.grants.systems_of("events")
    assert (granted.system_name, granted.access_type) == ("law_enforcement", "read_write")


async def test_the_views_say_what_is_configured(sql: Any) -> None:
    """The two views count what belongs to a system."""
    for statement in STATEMENTS:
        await sql(statement)
    [active] = await sql("SELECT * FROM {p}v_active_integrations")
    assert (active["system_name"], active["connection_type"], active["connection_status"]) == (
        "law_enforcement",
        "api",
        "never_tested",
    )
    assert (active["mapping_count"], active["module_count"]) == (1, 1)
    [module] = await sql("SELECT * FROM {p}v_module_integrations")
    assert (module["module_name"], module["access_type"], module["mapping_count"]) == ("events", "read_write", 1)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO {p}external_systems (system_name, system_type) VALUES ('x', 'carrier_pigeon')",
        "INSERT INTO {p}external_system_connections (system_id, connection_type) VALUES (99, 'api')",
        "INSERT INTO {p}external_system_connections (system_id, connection_type, config_json) VALUES (1, 'api', '{')",
        "INSERT INTO {p}external_systems (system_name) VALUES ('law_enforcement')",
    ],
    ids=["unknown-word", "no-such-system", "no-json", "name-taken"],
)
async def test_a_slip_in_sql_is_refused_by_both_databases(sql: Any, statement: str) -> None:
    """SQLite keeps the rules that MariaDB has by its types."""
    await sql(STATEMENTS[0])
    with pytest.raises(Exception, match=r"(?i)constraint|truncated|duplicate|foreign|check"):
        await sql(statement)


async def test_deleting_a_system_by_sql_takes_its_parts_along(sql: Any) -> None:
    """The foreign keys inside the owner cascade."""
    for statement in STATEMENTS:
        await sql(statement)
    await sql("DELETE FROM {p}external_systems WHERE id = 1")
    for table in ("external_system_connections", "external_data_mappings", "module_system_mappings"):
        [count] = await sql(f"SELECT COUNT(*) AS n FROM {{p}}{table}")
        assert count["n"] == 0


async def test_ids_are_not_used_again(sql: Any) -> None:
    """A new system never gets the number of a deleted one: others keep references by number."""
    await sql("INSERT INTO {p}external_systems (system_name) VALUES ('one')")
    await sql("DELETE FROM {p}external_systems")
    await sql("INSERT INTO {p}external_systems (system_name) VALUES ('two')")
    [row] = await sql("SELECT id FROM {p}external_systems")
    assert row["id"] == 2


async def test_migrating_again_does_nothing(database: Database) -> None:
    """The migration is recorded, and the tables fit the code."""
    assert await MIGRATIONS.upgrade(database, PREFIX) == ()
    assert await MIGRATIONS.at_head(database, PREFIX)
