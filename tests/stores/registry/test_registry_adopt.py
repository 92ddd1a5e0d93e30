"""Taking over the existing deployment's configuration: every row stays, PHP goes on, and calls and SQL work after."""

import io
from collections.abc import AsyncIterator
from typing import Any

import pytest

import existing_deployment
from intertie.audit.v1 import audit_pb2
from intertie_chassis.adoption import adopt_database
from intertie_chassis.database import Database
from intertie_chassis.errors import FailedPrecondition
from intertie_registry.adopt import adopt
from intertie_registry.errors import MappingExists
from intertie_registry.migrations import MIGRATIONS
from intertie_registry.model import Actor, Connection, Mapping
from intertie_registry.stores import Stores
from suite import PREFIX, mysql

OWN = (
    "external_systems",
    "external_system_connections",
    "external_data_mappings",
    "module_system_mappings",
)
LONG = "n" * 100


@pytest.fixture
async def existing(mariadb_url: str) -> AsyncIterator[Database]:
    """The existing deployment with its rows, and more mappings of equal names than it has."""
    existing_deployment.build(mariadb_url)
    rows(
        mariadb_url,
        f"INSERT INTO {PREFIX}external_data_mappings (system_id, mapping_name, target_table, mapping_config) VALUES "
        f"(1, 'Incidents', 't', '{{}}'), (1, 'incidents (1)', 't', '{{}}'), (2, 'incidents', 't', '{{}}'), "
        f"(3, '{LONG}', 't', '{{}}'), (3, '{LONG}', 't', '{{}}')",
    )
    database = await Database.open(mariadb_url, table_prefix=PREFIX)
    yield database
    await database.close()


def rows(url: str, statement: str) -> list[dict[str, Any]]:
    """Run a statement as PHP does."""
    with mysql(url) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def everything(url: str) -> dict[str, list[dict[str, Any]]]:
    """All rows of the registry's tables, and how the tables are made."""
    found = {table: rows(url, f"SELECT * FROM {PREFIX}{table} ORDER BY id") for table in OWN}
    return found | {f"{table} DDL": rows(url, f"SHOW CREATE TABLE {PREFIX}{table}") for table in OWN}


async def run(database: Database, *, dry_run: bool = False) -> tuple[int, str]:
    """Adopt, and give the number of statements and what was printed."""
    out = io.StringIO()
    steps = await adopt_database(database, PREFIX, MIGRATIONS, adopt, dry_run=dry_run, out=out)
    return len(steps), out.getvalue()


async def test_a_dry_run_prints_and_touches_nothing(existing: Database, mariadb_url: str) -> None:
    """The statements are there to read; the database is as before."""
    before = everything(mariadb_url)
    count, printed = await run(existing, dry_run=True)
    assert count > 5
    assert "ADD UNIQUE INDEX" in printed
    assert everything(mariadb_url) == before
    assert (await MIGRATIONS.state(existing, PREFIX)).state == "foreign"


async def test_migrating_it_instead_is_refused(existing: Database) -> None:
    """`migrate` names the command that is meant for this."""
    with pytest.raises(FailedPrecondition, match="intertie db adopt"):
        await MIGRATIONS.upgrade(existing, PREFIX)


async def test_every_row_stays(existing: Database, mariadb_url: str) -> None:
    """Nothing but the names of older duplicates changes, and the newest keeps its name."""
    before = everything(mariadb_url)
    await run(existing)
    after = everything(mariadb_url)
    for table in OWN:
        old, new = before[table], after[table]
        if table == "external_data_mappings":
            names = {row["id"]: row["mapping_name"] for row in new}
            assert names == {
                1: "incidents (3)",
                2: "incidents (2)",
                3: "Incidents",
                4: "incidents (1)",
                5: "incidents",
                6: f"{LONG[:96]} (1)",
                7: LONG,
            }
            old = [row | {"mapping_name": names[row["id"]]} for row in old]
        if table == "module_system_mappings":
            old = [row | {"expires_at": None} for row in old]
        assert new == old
    assert await MIGRATIONS.at_head(existing, PREFIX)


async def test_adopting_again_does_nothing(existing: Database, mariadb_url: str) -> None:
    """The second run plans no statement."""
    await run(existing)
    before = everything(mariadb_url)
    assert (await run(existing))[0] == 0
    assert everything(mariadb_url) == before


async def test_it_serves_what_it_found(existing: Database, mariadb_url: str) -> None:
    """The stores read and change adopted rows; what was found is no news for audit, what changes is."""
    await run(existing)
    stores, actor = Stores.on(existing, PREFIX), Actor("olga")
    await stores.live.look(stores.journal.reconcile)
    assert rows(mariadb_url, f"SELECT * FROM {PREFIX}registry_outbox") == []
    system = await stores.systems.update("law_enforcement", {"display_name": "Police"}, actor)
    assert (system.id, system.display_name) == (1, "Police")
    with pytest.raises(MappingExists):
        await stores.mappings.create(Mapping(0, 0, "INCIDENTS", "t", "{}", system="law_enforcement"), actor)
    sqlite = Connection(0, 0, "database", db_driver="sqlite", db_name="x.db", system="fire_rescue")
    assert (await stores.connections.create(sqlite, actor)).db_driver == "sqlite"
    [granted] = await stores.grants.systems_of("events")
    assert granted.system_name == "law_enforcement"


async def test_php_goes_on_and_is_seen(existing: Database, mariadb_url: str) -> None:
    """PHP's own statements stay legal; the live image and audit hear of them."""
    await run(existing)
    stores = Stores.on(existing, PREFIX)
    await stores.live.look(stores.journal.reconcile)
    with stores.live.watch() as watcher:
        existing_deployment.php_inserts(mariadb_url, mapping_id=2, event_id=1)
        rows(
            mariadb_url,
            f"INSERT INTO {PREFIX}external_data_mappings (system_id, mapping_name, target_table, mapping_config) "
            """VALUES (1, 'from_php', 't', '{"field_mappings": {}}')""",
        )
        await stores.live.look(stores.journal.reconcile)
        changed = await watcher.changes(1)
    assert {image.system.system_name for image in changed.values() if image} == {"from_php", "law_enforcement"}
    told = [
        entry.query_string
        for row in rows(mariadb_url, f"SELECT payload FROM {PREFIX}registry_outbox")
        for entry in audit_pb2.AppendEntriesRequest.FromString(row["payload"]).entries
    ]
    assert told == ["create mapping 8", "create system 7"]


async def test_views_are_made_unless_they_are_there(existing: Database, mariadb_url: str) -> None:
    """A view of PHP's own stays as it is; a missing one is made."""
    rows(mariadb_url, f"CREATE VIEW {PREFIX}v_active_integrations AS SELECT 1 AS theirs")
    await run(existing)
    assert rows(mariadb_url, f"SELECT * FROM {PREFIX}v_active_integrations") == [{"theirs": 1}]
    [module] = rows(mariadb_url, f"SELECT * FROM {PREFIX}v_module_integrations")
    assert (module["module_name"], module["system_name"]) == ("events", "law_enforcement")


async def test_what_will_begin_or_will_not_work_is_told(existing: Database, mariadb_url: str) -> None:
    """Syncs that start by themselves once; private addresses and closed grants until they are mended."""
    rows(
        mariadb_url,
        f"UPDATE {PREFIX}external_data_mappings SET source_table = 'cases', sync_frequency = 'hourly' WHERE id < 3",
    )
    rows(mariadb_url, f"UPDATE {PREFIX}external_data_mappings SET is_active = FALSE WHERE id = 1")
    rows(
        mariadb_url,
        f"INSERT INTO {PREFIX}external_system_connections (system_id, connection_type, db_host, api_base_url, "
        "config_json) VALUES (2, 'database', '10.1.2.3', NULL, NULL), (2, 'database', 'db.example.org', NULL, '[]'), "
        "(2, 'rest', NULL, 'http://localhost:81/x', 'null'), "
        """(2, 'database', 'db', NULL, '{"allowed_networks": ["10.0.0.0/8"]}')""",
    )
    said = {"a": "[]", "b": "null", "c": "{}", "d": '["cases"]', "e": '["SELECT id FROM cases"]', "f": '"*"'}
    values = ", ".join(f"('{module}', 2, '{text}')" for module, text in said.items())
    rows(
        mariadb_url,
        f"INSERT INTO {PREFIX}module_system_mappings (module_name, system_id, query_permissions) VALUES {values}",
    )
    _, printed = await run(existing)
    told = [line.removeprefix("-- LOOK AT THIS: ") for line in printed.splitlines() if "LOOK AT THIS" in line]
    assert [line[:60] for line in told] == [
        'mapping "incidents" of "law_enforcement" syncs hourly once t',
        'connection 2 of "traffic_transport" leads to "10.1.2.3", whi',
        'connection 4 of "traffic_transport" leads to "localhost", wh',
        'the query_permissions of "a" on "traffic_transport" permit l',
        'the query_permissions of "e" on "traffic_transport" permit l',
        'the query_permissions of "f" on "traffic_transport" permit l',
    ]
    _, again = await run(existing)
    assert [line for line in again.splitlines() if "LOOK AT THIS" in line] == [
        f"-- LOOK AT THIS: {one}" for one in told[1:]
    ]
