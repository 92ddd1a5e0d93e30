"""Grants that end, as they stand in the database: who asks afterwards finds none, whoever wrote the end."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from intertie_chassis.database import Database
from intertie_registry.model import Actor, Grant, System
from intertie_registry.stores import Stores
from suite import mysql

GRANT = Grant(0, 0, "events", access_type="read_write", system="police")
PAST = datetime(2020, 1, 1, 12, 30, 15)


async def _usable(stores: Stores) -> set[str]:
    """Which of the three ways to ask find the grant."""
    found = {
        "active_grant": await stores.grants.active_grant("events", "police"),
        "systems_of": await stores.grants.systems_of("events"),
        "page": await stores.systems.page("", 5, active_only=False, module="events"),
    }
    return {name for name, value in found.items() if value}


async def test_a_grant_that_has_ended_is_found_by_nobody(stores: Stores, actor: Actor) -> None:
    """By the clock: nothing was written when it ended, and who looks after grants sees it still."""
    await stores.systems.create(System(0, "police"), actor)
    end = datetime.now(UTC).replace(tzinfo=None, microsecond=0) + timedelta(days=1)
    grant = await stores.grants.create(dataclasses.replace(GRANT, expires_at=end), actor)
    assert grant.expires_at == end
    assert await _usable(stores) == {"active_grant", "systems_of", "page"}
    await stores.grants.update(grant.id, {"expires_at": PAST}, actor)
    assert await _usable(stores) == set()
    assert (await stores.grants.get(grant.id)).expires_at == PAST
    await stores.grants.update(grant.id, {"expires_at": None}, actor)
    assert await _usable(stores) == {"active_grant", "systems_of", "page"}


@pytest.mark.parametrize("text", ["2020-01-01 12:30:15", "0000-00-00 00:00:00"])
async def test_an_end_that_sql_wrote_counts(stores: Stores, actor: Actor, sql: Any, text: str) -> None:
    """Also one that is no time: it may have been meant to end something, so it has."""
    await stores.systems.create(System(0, "police"), actor)
    grant = await stores.grants.create(GRANT, actor)
    await sql("UPDATE {p}module_system_mappings SET expires_at = %s", text)
    ended = (await stores.grants.get(grant.id)).expires_at
    assert ended == (PAST if text.startswith("2020") else datetime(1970, 1, 1))
    assert await _usable(stores) == set()


async def test_an_end_is_read_as_it_was_meant(
    stores: Stores, actor: Actor, sql: Any, database: Database, database_url: str
) -> None:
    """Its columns take any text; on the others the time zone of whoever wrote is the one that counts."""
    await stores.systems.create(System(0, "police"), actor)
    grant = await stores.grants.create(GRANT, actor)
    if database.dialect != "sqlite":
        with mysql(database_url) as connection, connection.cursor() as cursor:
            cursor.execute("SET time_zone = '+02:00'")
            cursor.execute(f"UPDATE {database.table_prefix}module_system_mappings SET expires_at = %s", [PAST])
        assert (await stores.grants.get(grant.id)).expires_at == PAST - timedelta(hours=2)
        return
    for text, meant in (
        ("2020-01-01T14:30:15+02:00", PAST),
        ("2020-01-01T12:30:15Z", PAST),
        ("2020-01-01", datetime(2020, 1, 1)),
        ("soon", datetime(1970, 1, 1)),
        ("1577881815", datetime(1970, 1, 1)),
        ("", datetime(1970, 1, 1)),
        ("1969-12-31 23:59:59", datetime(1970, 1, 1)),
    ):
        await sql("UPDATE {p}module_system_mappings SET expires_at = %s", text)
        assert (await stores.grants.get(grant.id)).expires_at == meant, text
