"""Ticks and reports in the database: given until taken, moved once, and no change of the configuration."""

import asyncio
import dataclasses
from datetime import datetime, timedelta
from typing import Any

import pytest

from intertie.audit.v1 import audit_pb2
from intertie_chassis.clock import utc_now
from intertie_chassis.database import Database
from intertie_registry import ticks
from intertie_registry.model import Actor, Connection, Mapping, System
from intertie_registry.stores import Stores
from intertie_registry.ticks import Tick

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MAPPING = Mapping(0, 0, "incidents", "events", '{"field_mappings": {"a": "b"}}', system="police")


@pytest.fixture
async def system(stores: Stores, actor: Actor) -> System:
    """A system that is there."""
    return await stores.systems.create(System(0, "police"), actor)


@pytest.fixture
def now() -> datetime:
    """The present second, in which all that the test makes is made, or the one after."""
    return utc_now().replace(microsecond=0)


async def made(stores: Stores, actor: Actor, frequency: str, name: str = "incidents") -> Mapping:
    """A mapping of that frequency."""
    return await stores.mappings.create(
        dataclasses.replace(MAPPING, mapping_name=name, sync_frequency=frequency), actor
    )


async def at(sql: Any, mapping: Mapping, **columns: Any) -> None:
    """Write into a mapping's row from outside, and leave the time of its change."""
    for name, value in columns.items():
        shown = str(value) if isinstance(value, datetime) else value
        await sql(
            f"UPDATE {{p}}external_data_mappings SET {name} = %s, updated_at = updated_at WHERE id = %s",
            shown,
            mapping.id,
        )


async def entries(database: Database) -> list[audit_pb2.Entry]:
    """What waits for audit about schedules."""
    async with database.read() as connection:
        rows = await connection.exec_driver_sql(
            f"SELECT payload FROM {database.table_prefix}registry_outbox ORDER BY id"
        )
        requests = [audit_pb2.AppendEntriesRequest.FromString(bytes(row.payload)) for row in rows]
    return [entry for request in requests for entry in request.entries if entry.query_type == "sync"]


async def test_a_tick_is_due_until_it_is_taken(stores: Stores, actor: Actor, system: System, now: datetime) -> None:
    """A new mapping's at once; taken, its next one comes a period later, put off by its spread, and is not told."""
    mapping = await made(stores, actor, "hourly")
    later = now + timedelta(seconds=5)
    [tick] = await stores.ticks.due(10, later)
    assert tick == Tick(mapping.id, system.id, mapping.updated_at or now)
    assert await stores.ticks.due(10, later) == [tick]
    await stores.ticks.take([tick], later, actor)
    assert await stores.ticks.due(10, later) == []
    after = await stores.mappings.get(mapping.id)
    assert after.next_sync_at == tick.due_at + HOUR + ticks.spread(mapping.id, HOUR)
    await stores.ticks.take([tick], later, actor)
    assert await stores.mappings.get(mapping.id) == after
    assert (await stores.mappings.get(mapping.id)).next_sync_at == after.next_sync_at


async def test_the_one_that_waits_longest_comes_first(
    stores: Stores, actor: Actor, system: System, sql: Any, now: datetime
) -> None:
    """By the moment, then by id; no more than asked for, and none of what is manual, inactive or not due."""
    mappings = [await made(stores, actor, "hourly", f"m{number}") for number in range(6)]
    for mapping, minutes in zip(mappings, (5, 9, 9, -1, 20, 20), strict=True):
        await at(sql, mapping, next_sync_at=now - timedelta(minutes=minutes))
    await at(sql, mappings[4], is_active=0)
    await at(sql, mappings[5], sync_frequency="manual")
    await made(stores, actor, "realtime", "r")
    found = await stores.ticks.due(10, now)
    assert [tick.mapping_id for tick in found] == [mappings[index].id for index in (1, 2, 0)]
    assert await stores.ticks.due(2, now) == found[:2]
    assert await stores.ticks.due(0, now) == []
    await stores.systems.update("police", {"is_active": False}, actor)
    assert await stores.ticks.due(10, now) == []


async def test_replicas_take_each_tick_once(
    stores: Stores, actor: Actor, system: System, database: Database, database_url: str, sql: Any, now: datetime
) -> None:
    """Both are given the same; told by both at once and twice, each moves by one and its missed ones are told once."""
    mappings = [await made(stores, actor, "hourly", f"m{number}") for number in range(20)]
    for mapping in mappings:
        await at(sql, mapping, next_sync_at=now - 3 * HOUR - timedelta(seconds=mapping.id))
    other = await Database.open(database_url, table_prefix=database.table_prefix)
    try:
        second = Stores.on(other, database.table_prefix)
        given, same = await asyncio.gather(stores.ticks.due(100, now), second.ticks.due(100, now))
        assert given == same
        assert len(given) == 20
        backwards = list(reversed(given))
        await asyncio.gather(
            stores.ticks.take(given, now, actor),
            second.ticks.take(backwards, now, actor),
            second.ticks.take(given[5:], now, actor),
        )
    finally:
        await other.close()
    for mapping in mappings:
        moved = (await stores.mappings.get(mapping.id)).next_sync_at
        assert moved == now + HOUR - timedelta(seconds=mapping.id)
    told = await entries(database)
    assert sorted(entry.query_string for entry in told) == sorted(f"schedule mapping {one.id}" for one in mappings)


async def test_missed_ticks_are_told(
    stores: Stores, actor: Actor, system: System, database: Database, sql: Any
) -> None:
    """How many, between which times, and which run stands for them; a tick that is only late is no word worth."""
    mapping, late = [await made(stores, actor, "hourly", name) for name in ("incidents", "late")]
    now = datetime(2036, 3, 1, 12, 30)
    await at(sql, mapping, next_sync_at=datetime(2036, 3, 1, 8, 15))
    await at(sql, late, next_sync_at=datetime(2036, 3, 1, 11, 31))
    given = await stores.ticks.due(10, now)
    assert [tick.missed for tick in given] == [4, 0]
    assert await entries(database) == []
    await stores.ticks.take(given, now, actor)
    [entry] = await entries(database)
    assert (entry.status, entry.system, entry.system_id, entry.actor) == ("error", "police", system.id, actor.subject)
    assert entry.request_payload == b'{"name": "incidents"}'
    assert entry.error_message == (
        "4 ticks were missed from 2036-03-01T09:15:00Z to 2036-03-01T12:15:00Z; the run of the tick of "
        "2036-03-01T08:15:00Z stands for all"
    )
    assert (await stores.mappings.get(mapping.id)).next_sync_at == datetime(2036, 3, 1, 13, 15)
    assert (await stores.mappings.get(late.id)).next_sync_at == datetime(2036, 3, 1, 12, 31)


async def test_ticks_behind_an_old_run_are_due_themselves(
    stores: Stores, actor: Actor, system: System, database: Database, sql: Any
) -> None:
    """Pull died with a run made and not told of, and was away for hours: one more run stands for those since."""
    mapping = await made(stores, actor, "hourly")
    begin, now = datetime(2036, 3, 1, 8, 15), datetime(2036, 3, 1, 12, 30)
    await at(sql, mapping, next_sync_at=begin)
    [tick] = await stores.ticks.due(10, now)
    await stores.ticks.take([dataclasses.replace(tick, passed_over=0)], now, actor)
    assert await entries(database) == []
    [second] = await stores.ticks.due(10, now)
    assert second == Tick(mapping.id, system.id, begin + HOUR, missed=3)
    await stores.ticks.take([dataclasses.replace(second, passed_over=second.missed)], now, actor)
    assert await stores.ticks.due(10, now) == []
    [entry] = await entries(database)
    assert entry.error_message == (
        "3 ticks were missed from 2036-03-01T10:15:00Z to 2036-03-01T12:15:00Z; the run of the tick of "
        "2036-03-01T09:15:00Z stands for all"
    )


async def test_a_sync_by_hand_hides_no_missed_ticks(
    stores: Stores, actor: Actor, system: System, database: Database, sql: Any
) -> None:
    """It stands for what passed before its end, and says so; what passed after it is due as it was."""
    mapping = await made(stores, actor, "hourly")
    now = datetime(2036, 3, 1, 12, 30)
    await at(sql, mapping, next_sync_at=datetime(2036, 3, 1, 8, 15))
    await stores.reports.synced(mapping.id, datetime(2036, 3, 1, 8), now, actor, is_scheduled=False)
    assert await entries(database) == []
    assert [tick.missed for tick in await stores.ticks.due(10, now)] == [4]
    await stores.reports.synced(mapping.id, now, now, actor, is_scheduled=False)
    [entry] = await entries(database)
    assert entry.error_message == (
        "4 ticks were missed from 2036-03-01T09:15:00Z to 2036-03-01T12:15:00Z; a sync that was asked for by hand "
        "stands for all"
    )
    assert entry.actor == actor.subject
    assert await stores.ticks.due(10, now) == []


async def test_whatever_sql_wrote_comes_back_into_step(
    stores: Stores, actor: Actor, system: System, database: Database, sql: Any, now: datetime
) -> None:
    """Times of the distant past or future, none, and on SQLite what is no time: due once, then within a period."""
    written: list[object] = [datetime(1999, 1, 1), datetime(2037, 12, 31), None]
    if database.dialect == "sqlite":
        written += ["0000-00-00 00:00:00", "soon", 17, "2026-99-99", "9999-12-31T23:59:59+14:00"]
    mappings = [await made(stores, actor, "daily", f"m{number}") for number in range(len(written))]
    for mapping, value in zip(mappings, written, strict=True):
        await at(sql, mapping, next_sync_at=value)
    later = now + timedelta(seconds=5)
    given = await stores.ticks.due(100, later)
    assert {tick.mapping_id for tick in given} == {mapping.id for mapping in mappings}
    await stores.ticks.take(given, later, actor)
    assert await stores.ticks.due(100, later) == []
    for mapping in mappings:
        moved = (await stores.mappings.get(mapping.id)).next_sync_at
        assert moved is not None
        assert later < moved <= later + DAY + timedelta(minutes=5)


async def test_what_is_gone_is_passed_over(stores: Stores, actor: Actor, system: System, now: datetime) -> None:
    """A tick of a deleted mapping, and reports of what was deleted."""
    await stores.ticks.take([Tick(99, 1, now)], now, actor)
    await stores.reports.synced(99, now, now, actor, is_scheduled=False)
    await stores.reports.tested(99, "connected", "", now)
    assert await stores.mappings.page(0, 10) == []


async def test_a_sync_is_kept(stores: Stores, actor: Actor, system: System, sql: Any, now: datetime) -> None:
    """When it ended; by hand the next tick is a period away, by schedule it stays, and without one there is none."""
    hourly, manual = [await made(stores, actor, frequency, frequency) for frequency in ("hourly", "manual")]
    finished, next_sync_at = now - timedelta(minutes=1), now + timedelta(minutes=9)
    await at(sql, hourly, next_sync_at=next_sync_at)
    await at(sql, manual, next_sync_at=next_sync_at)

    async def times(mapping: Mapping) -> tuple[datetime | None, datetime | None]:
        after = await stores.mappings.get(mapping.id)
        return after.last_sync_at, after.next_sync_at

    await stores.reports.synced(hourly.id, finished, now, actor, is_scheduled=True)
    assert await times(hourly) == (finished, next_sync_at)
    await stores.reports.synced(hourly.id, finished - HOUR, now, actor, is_scheduled=False)
    assert await times(hourly) == (finished, next_sync_at), "an older report came late"
    await stores.reports.synced(hourly.id, now, now, actor, is_scheduled=False)
    assert await times(hourly) == (now, now + HOUR + ticks.spread(hourly.id, HOUR))
    await at(sql, hourly, last_sync_at=datetime(2037, 1, 1))
    await stores.reports.synced(hourly.id, now, now, actor, is_scheduled=True)
    assert (await times(hourly))[0] == now, "a time of the future is no later report"
    await stores.reports.synced(manual.id, finished, now, actor, is_scheduled=False)
    assert await times(manual) == (finished, None)


async def test_reports_change_no_configuration(
    stores: Stores, actor: Actor, system: System, database: Database, sql: Any, now: datetime
) -> None:
    """No entry in the audit log, no other time of change, no news for watchers, nothing that looks like SQL."""
    mapping = await made(stores, actor, "hourly")
    connection = await stores.connections.create(Connection(0, 0, "api", system="police"), actor)
    long_ago = datetime(2020, 1, 1)
    for table in ("external_data_mappings", "external_system_connections"):
        await sql(f"UPDATE {{p}}{table} SET updated_at = '2020-01-01 00:00:00'")
    told: list[object] = []

    async def reconcile(found: Any) -> bool:
        told.extend(found)
        return True

    await stores.live.look(reconcile)
    outbox = await sql("SELECT COUNT(*) AS n FROM {p}registry_outbox")
    with stores.live.watch() as watcher:
        [tick] = await stores.ticks.due(1, now)
        await stores.ticks.take([tick], now, actor)
        await stores.reports.synced(mapping.id, now, now, actor, is_scheduled=False)
        await stores.reports.tested(connection.id, "error", "no route", now)
        await stores.live.look(reconcile)
        assert await watcher.changes(0) == {}
    assert told == []
    assert await sql("SELECT COUNT(*) AS n FROM {p}registry_outbox") == outbox
    assert (await stores.mappings.get(mapping.id)).updated_at == long_ago
    after = await stores.connections.get(connection.id)
    assert after.updated_at == long_ago
    assert (after.connection_status, after.connection_error, after.last_connection_test) == ("error", "no route", now)
    await stores.reports.tested(connection.id, "connected", "", now)
    assert await sql("SELECT connection_error AS e FROM {p}external_system_connections") == [{"e": None}]
    if database.dialect == "mysql":
        mark = await stores.live._store.mark()
        await stores.reports.tested(connection.id, "disconnected", "x", now)
        assert await stores.live._store.mark() == mark, "reports are not even looked at"


async def test_another_frequency_brings_a_tick_that_fits(
    stores: Stores, actor: Actor, system: System, sql: Any, now: datetime
) -> None:
    """By a call and by SQL: a weekly mapping made hourly, or a manual one, does not wait a week."""
    mapping = await made(stores, actor, "weekly")
    later = now + timedelta(seconds=5)

    async def changed(frequency: str) -> Mapping:
        before = await stores.mappings.get(mapping.id)
        return await stores.mappings.update(mapping.id, {"sync_frequency": frequency}, actor, checked=before)

    await at(sql, mapping, next_sync_at=later + 5 * DAY)
    assert (await changed("hourly")).next_sync_at is None
    [tick] = await stores.ticks.due(1, later)
    await stores.ticks.take([tick], later, actor)
    hourly = (await stores.mappings.get(mapping.id)).next_sync_at
    assert hourly is not None
    assert (await changed("daily")).next_sync_at == hourly, "what comes soon enough stays"
    assert (await changed("manual")).next_sync_at is None
    await at(sql, mapping, next_sync_at=later + 5 * DAY, sync_frequency="hourly")
    [tick] = await stores.ticks.due(1, later)
    assert later - HOUR < tick.due_at <= later
    await stores.ticks.take([tick], later, actor)
    moved = (await stores.mappings.get(mapping.id)).next_sync_at
    assert moved is not None
    assert later < moved <= later + HOUR


async def test_what_passes_while_it_rests_is_not_missed(
    stores: Stores, actor: Actor, system: System, sql: Any, now: datetime
) -> None:
    """A mapping, or its system, that is made active again is due at once, in its old phase."""
    mapping = await made(stores, actor, "hourly")
    updated_at = (await stores.mappings.get(mapping.id)).updated_at
    await at(sql, mapping, next_sync_at=now - 50 * HOUR - timedelta(minutes=7))
    await stores.systems.update("police", {"is_active": False}, actor)
    await stores.systems.update("police", {"is_active": True}, actor)
    assert await stores.ticks.due(9, now) == [Tick(mapping.id, system.id, now - timedelta(minutes=7))]
    assert (await stores.mappings.get(mapping.id)).updated_at == updated_at
    await at(sql, mapping, next_sync_at=now - 50 * HOUR - timedelta(minutes=9))
    for is_active in (False, True):
        before = await stores.mappings.get(mapping.id)
        await stores.mappings.update(mapping.id, {"is_active": is_active}, actor, checked=before)
    assert await stores.ticks.due(9, now) == [Tick(mapping.id, system.id, now - timedelta(minutes=9))]
