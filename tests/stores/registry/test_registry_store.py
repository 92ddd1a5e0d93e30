"""The registry's stores: what they keep, refuse and write down, alike on SQLite and MariaDB."""

import asyncio
import dataclasses
from typing import Any

import pytest

from intertie.audit.v1 import audit_pb2
from intertie_chassis.database import Database
from intertie_chassis.errors import InvalidArgument
from intertie_registry.errors import (
    ChangedMeanwhile,
    ConnectionNotFound,
    GrantExists,
    MappingExists,
    MappingNotFound,
    SecondVerifier,
    SystemExists,
    SystemNotFound,
)
from intertie_registry.model import Actor, Connection, Grant, Mapping, System
from intertie_registry.stores import Stores

SYSTEM = System(0, "police", display_name="Police", system_type="hybrid", description="What happened")
CONNECTION = Connection(0, 0, "api", system="police", api_base_url="https://police.example", api_auth_token="t0k3n")
MAPPING = Mapping(0, 0, "incidents", "campaign_department_events", '{"field_mappings": {"a": "b"}}', system="police")
GRANT = Grant(0, 0, "events", access_type="read_write", query_permissions='{"tables": ["a"]}', system="police")


@pytest.fixture
async def system(stores: Stores, actor: Actor) -> System:
    """A system that is there."""
    return await stores.systems.create(SYSTEM, actor)


async def entries(database: Database) -> list[audit_pb2.Entry]:
    """What waits in the outbox for audit, in order."""
    async with database.read() as connection:
        rows = await connection.exec_driver_sql(
            f"SELECT payload FROM {database.table_prefix}registry_outbox ORDER BY id"
        )
        return [
            entry for row in rows for entry in audit_pb2.AppendEntriesRequest.FromString(bytes(row.payload)).entries
        ]


async def test_what_is_created_is_read_back(stores: Stores, actor: Actor, system: System) -> None:
    """Every value comes back as it was given, with an id, times and defaults."""
    connection = await stores.connections.create(
        dataclasses.replace(CONNECTION, config_json='{"webhook_secret":"s"}', db_password="p"), actor
    )
    mapping = await stores.mappings.create(MAPPING, actor)
    grant = await stores.grants.create(GRANT, actor)
    assert dataclasses.replace(SYSTEM, id=system.id) == system == await stores.systems.get("police")
    assert await stores.connections.get(connection.id) == connection
    assert (connection.api_auth_token, connection.db_password, connection.system) == ("t0k3n", "p", "police")
    assert (connection.connection_status, connection.last_connection_test) == ("never_tested", None)
    assert await stores.mappings.get(mapping.id) == dataclasses.replace(MAPPING, id=mapping.id, system_id=system.id)
    assert await stores.grants.get(grant.id) == dataclasses.replace(GRANT, id=grant.id, system_id=system.id)
    assert None not in (grant.created_at, mapping.updated_at, connection.created_at)


async def test_a_name_is_taken_once(stores: Stores, actor: Actor, system: System) -> None:
    """A second system, mapping or grant of the same name is refused with its own reason."""
    await stores.mappings.create(MAPPING, actor)
    await stores.grants.create(GRANT, actor)
    with pytest.raises(SystemExists, match="police"):
        await stores.systems.create(SYSTEM, actor)
    with pytest.raises(MappingExists):
        await stores.mappings.create(MAPPING, actor)
    with pytest.raises(GrantExists):
        await stores.grants.create(GRANT, actor)


async def test_names_are_compared_letter_for_letter(stores: Stores, actor: Actor, system: System) -> None:
    """`Police` is another system than `police`, whatever the database."""
    with pytest.raises(SystemNotFound):
        await stores.systems.get("Police")
    await stores.systems.create(dataclasses.replace(SYSTEM, system_name="Police"), actor)
    names = [found.system_name for found in await stores.systems.page("", 10, active_only=False)]
    assert names == ["Police", "police"]


async def test_what_is_not_there_is_not_found(stores: Stores, actor: Actor) -> None:
    """A missing system, connection or mapping has its own reason, also as a parent."""
    with pytest.raises(SystemNotFound):
        await stores.connections.create(CONNECTION, actor)
    with pytest.raises(ConnectionNotFound):
        await stores.connections.update(7, {}, actor)
    with pytest.raises(MappingNotFound):
        await stores.mappings.delete(7, actor)
    with pytest.raises(SystemNotFound):
        await stores.grants.page(0, 10, system="nobody")


async def test_an_update_changes_what_it_names(stores: Stores, actor: Actor, system: System) -> None:
    """Other fields stay; an empty text clears; nothing changed writes nothing."""
    changed = await stores.systems.update("police", {"display_name": "", "is_active": False}, actor)
    assert changed == dataclasses.replace(system, display_name="", is_active=False)
    assert await stores.systems.update("police", {"is_active": False}, actor) == changed


async def test_one_connection_verifies(stores: Stores, actor: Actor, system: System) -> None:
    """A second active connection with a secret is refused, when created, changed or activated."""
    secret = '{"webhook_secret":"s"}'
    first = await stores.connections.create(dataclasses.replace(CONNECTION, config_json=secret), actor)
    with pytest.raises(SecondVerifier, match=f"connection {first.id}"):
        await stores.connections.create(dataclasses.replace(CONNECTION, config_json='{"webhook_auth":"none"}'), actor)
    plain = await stores.connections.create(CONNECTION, actor)
    with pytest.raises(SecondVerifier):
        await stores.connections.update(plain.id, {"config_json": {"webhook_secret": "x"}}, actor)
    spare = await stores.connections.create(dataclasses.replace(CONNECTION, config_json=secret, is_active=False), actor)
    with pytest.raises(SecondVerifier):
        await stores.connections.update(spare.id, {"is_active": True}, actor)
    await stores.connections.update(first.id, {"is_active": False}, actor)
    assert (await stores.connections.update(spare.id, {"is_active": True}, actor)).is_active


async def test_of_two_verifiers_at_once_one_is_refused(stores: Stores, actor: Actor, system: System) -> None:
    """The system's row is locked first, so calls that come together cannot both pass the check."""
    wanted = dataclasses.replace(CONNECTION, config_json='{"webhook_secret":"s"}')
    results = await asyncio.gather(
        *(stores.connections.create(wanted, actor) for _ in range(4)), return_exceptions=True
    )
    assert [type(result) for result in results].count(SecondVerifier) == 3


async def test_a_new_destination_takes_no_credentials_along(stores: Stores, actor: Actor, system: System) -> None:
    """Pointed elsewhere, a connection loses its token and password unless the same change gives new ones."""
    wanted = dataclasses.replace(
        CONNECTION, db_host="a", db_password="p", config_json='{"webhook_secret":"s","client_secret":"c"}'
    )
    made = await stores.connections.create(wanted, actor)
    moved = await stores.connections.update(made.id, {"api_base_url": "https://evil.example"}, actor)
    assert (moved.api_auth_token, moved.db_password) == ("", "p")
    assert moved.config_json == '{"webhook_secret":"s"}'
    moved = await stores.connections.update(made.id, {"db_host": "b", "db_password": "q"}, actor)
    assert moved.db_password == "q"


async def test_parts_stay_in_their_system(stores: Stores, actor: Actor, system: System) -> None:
    """Naming another system or module in an update is refused; naming the same one is not."""
    grant = await stores.grants.create(GRANT, actor)
    with pytest.raises(InvalidArgument, match="module_name cannot be changed"):
        await stores.grants.update(grant.id, {"module_name": "surveys"}, actor)
    assert (await stores.grants.update(grant.id, {"module_name": "events", "access_type": "read"}, actor)).covers(
        "read"
    )


async def test_a_mapping_is_saved_as_it_was_checked(stores: Stores, actor: Actor, system: System) -> None:
    """When it changed between check and save, the save is refused."""
    mapping = await stores.mappings.create(MAPPING, actor)
    changes = {"sync_frequency": "hourly"}
    other = dataclasses.replace(mapping, mapping_config="{}")
    with pytest.raises(ChangedMeanwhile):
        await stores.mappings.update(mapping.id, changes, actor, checked=other)
    saved = await stores.mappings.update(mapping.id, changes, actor, checked=mapping)
    assert saved.sync_frequency == "hourly"


async def test_deleting_a_system_deletes_its_parts(stores: Stores, actor: Actor, system: System) -> None:
    """Connections, mappings and grants go with it."""
    connection = await stores.connections.create(CONNECTION, actor)
    await stores.mappings.create(MAPPING, actor)
    await stores.grants.create(GRANT, actor)
    await stores.systems.delete("police", actor)
    with pytest.raises(ConnectionNotFound):
        await stores.connections.get(connection.id)
    assert await stores.mappings.page(0, 10) == []
    assert await stores.grants.systems_of("events") == []


async def test_pages_follow_each_other(stores: Stores, actor: Actor) -> None:
    """Lists go by name or id, from after the last one given."""
    for name in ("c", "a", "b"):
        await stores.systems.create(System(0, name, is_active=name != "b"), actor)
        await stores.mappings.create(dataclasses.replace(MAPPING, system=name), actor)
    first = await stores.systems.page("", 2, active_only=False)
    assert [found.system_name for found in first] == ["a", "b"]
    assert [found.system_name for found in await stores.systems.page("b", 2, active_only=False)] == ["c"]
    assert [found.system_name for found in await stores.systems.page("", 5, active_only=True)] == ["a", "c"]
    mappings = await stores.mappings.page(1, 5, name="incidents")
    assert [found.id for found in mappings] == [2, 3]
    assert [found.system for found in await stores.mappings.page(0, 5, system="b")] == ["b"]


async def test_grants_say_what_a_module_may_use(stores: Stores, actor: Actor, system: System, sql: Any) -> None:
    """Active grants on active systems, letter for letter; the first active connection's state is shown."""
    grant = await stores.grants.create(dataclasses.replace(GRANT, access_type="read"), actor)
    await stores.connections.create(dataclasses.replace(CONNECTION, is_active=False), actor)
    active = await stores.connections.create(CONNECTION, actor)
    await sql("UPDATE {p}external_system_connections SET connection_status = 'connected' WHERE id = %s", active.id)
    [seen] = await stores.grants.systems_of("events")
    assert (seen.system_name, seen.connection_status) == ("police", "connected")
    found = await stores.grants.active_grant("events", "police")
    assert found is not None
    assert (found.covers("read"), found.covers("write")) == (True, False)
    assert await stores.grants.active_grant("Events", "police") is None
    assert [s.system_name for s in await stores.systems.page("", 5, active_only=False, module="events")] == ["police"]
    assert await stores.systems.page("", 5, active_only=False, module="surveys") == []
    await stores.grants.update(grant.id, {"is_active": False}, actor)
    assert await stores.grants.active_grant("events", "police") is None
    assert await stores.systems.page("", 5, active_only=False, module="events") == []


async def test_each_change_is_told_with_it(stores: Stores, actor: Actor, database: Database, system: System) -> None:
    """Audit hears who changed what, by the names of the fields; no value, and so no secret, is in it."""
    made = await stores.connections.create(
        dataclasses.replace(CONNECTION, config_json='{"webhook_secret":"hush","region":"north"}'), actor
    )
    await stores.connections.update(made.id, {"config_json": {"webhook_secret": "hush2", "region": "north"}}, actor)
    await stores.systems.delete("police", actor)
    told = await entries(database)
    assert [entry.query_string for entry in told] == [
        "create system 1",
        "create connection 1",
        "update connection 1",
        "delete system 1",
    ]
    assert {(entry.query_type, entry.system, entry.actor, entry.request_id) for entry in told} == {
        ("configuration", "police", "olga", "request-1")
    }
    assert b'"changed": ["config_json.webhook_secret"]' in told[2].request_payload
    everything = b"".join(entry.SerializeToString() for entry in told)
    assert b"hush" not in everything
    assert b"t0k3n" not in everything


async def test_what_is_refused_is_not_told(stores: Stores, actor: Actor, database: Database, system: System) -> None:
    """The entry stands in the transaction of its change: no change, no entry."""
    with pytest.raises(SystemExists):
        await stores.systems.create(SYSTEM, actor)
    await stores.systems.update("police", {}, actor)
    assert len(await entries(database)) == 1
