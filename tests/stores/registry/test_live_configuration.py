"""The live image: changes by calls and by SQL are seen, told to watchers and, once, to audit."""

import asyncio
import contextlib
import dataclasses
import sqlite3
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from intertie.audit.v1 import audit_pb2
from intertie_chassis.database import Database
from intertie_registry.discrepancies import find
from intertie_registry.errors import NoImageYet
from intertie_registry.model import Actor, Connection, Grant, System, SystemImage
from intertie_registry.snapshot import LiveConfiguration, Watcher
from intertie_registry.snapshot_store import Reading, SnapshotStore
from intertie_registry.stores import Stores
from intertie_registry.tables import Tables
from suite import PREFIX
from waiting import eventually

Following = Callable[[Stores], "contextlib.AbstractAsyncContextManager[Watcher]"]


@contextlib.asynccontextmanager
async def following(stores: Stores) -> AsyncIterator[Watcher]:
    """The stores' image kept live as in the server, and a watcher on it."""
    task = asyncio.create_task(stores.live.follow(stores.journal.reconcile))
    try:
        await eventually(lambda: _is_loaded(stores))
        with stores.live.watch() as watcher:
            yield watcher
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _is_loaded(stores: Stores) -> bool:
    return await stores.live.readiness() is None


class View:
    """What a watcher has been told, put together as a consumer does."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self.images = dict(watcher.images)

    async def until(self, condition: Callable[[dict[int, SystemImage]], bool]) -> None:
        """Take in changes until they make the condition true."""
        async with asyncio.timeout(10):
            while not condition(self.images):
                for number, image in (await self._watcher.changes(1)).items():
                    if image is None:
                        del self.images[number]
                    else:
                        self.images[number] = image


async def told(database: Database) -> list[audit_pb2.Entry]:
    """What waits in the outbox for audit, in order."""
    async with database.read() as connection:
        rows = await connection.exec_driver_sql(f"SELECT payload FROM {PREFIX}registry_outbox ORDER BY id")
        return [
            entry for row in rows for entry in audit_pb2.AppendEntriesRequest.FromString(bytes(row.payload)).entries
        ]


async def test_there_is_nothing_to_watch_before_the_first_image(stores: Stores) -> None:
    """A watcher that came too early is refused instead of told that there are no systems."""
    with pytest.raises(NoImageYet), stores.live.watch():
        pytest.fail("watched")


async def test_a_change_by_a_call_is_seen(stores: Stores, actor: Actor) -> None:
    """Create, change and delete come in order, only the system concerned."""
    await stores.systems.create(System(0, "other"), actor)
    async with following(stores) as watcher:
        view = View(watcher)
        assert [image.system.system_name for image in view.images.values()] == ["other"]
        system = await stores.systems.create(System(0, "police"), actor)
        await view.until(lambda images: system.id in images)
        await stores.grants.create(Grant(0, 0, "events", system="police"), actor)
        await view.until(lambda images: len(images[system.id].grants) == 1)
        await stores.systems.delete("police", actor)
        await view.until(lambda images: system.id not in images)


async def test_a_call_returns_when_the_watchers_have_its_change(stores: Stores, actor: Actor) -> None:
    """Whoever configures and delivers at once is not told that there is no such system."""
    async with following(stores) as watcher:
        seen: set[int] = set()

        async def consume() -> None:
            while True:
                seen.update(await watcher.changes(60))

        consumer = asyncio.create_task(consume())
        for name in ("first", "second", "third"):
            system = await stores.systems.create(System(0, name), actor)
            assert system.id in seen
        consumer.cancel()


async def test_a_watcher_that_hangs_does_not_hold_up_a_call(stores: Stores, actor: Actor) -> None:
    """The change waits for it; whoever configures does not."""
    async with following(stores) as watcher, asyncio.timeout(20):
        system = await stores.systems.create(System(0, "police"), actor)
        assert not watcher.is_up_to_date.is_set()
        assert system.id in await watcher.changes(10)


async def test_a_change_by_sql_is_seen(stores: Stores, sql: Any) -> None:
    """Insert, two updates within a second, a grant's word and a delete each show."""
    async with following(stores) as watcher:
        view = View(watcher)
        await sql("INSERT INTO {p}external_systems (system_name) VALUES ('police')")
        await view.until(lambda images: 1 in images)
        await sql("INSERT INTO {p}module_system_mappings (module_name, system_id) VALUES ('events', 1)")
        await view.until(lambda images: len(images[1].grants) == 1)
        for word in ("write", "read_write", "read"):
            await sql("UPDATE {p}module_system_mappings SET access_type = %s", word)
            await view.until(lambda images, word=word: images[1].grants[0].access_type == word)  # type: ignore[misc]
        await sql("DELETE FROM {p}module_system_mappings")
        await view.until(lambda images: images[1].grants == ())
        await sql("DELETE FROM {p}external_systems")
        await view.until(lambda images: images == {})


async def test_a_swap_of_two_rows_is_seen(stores: Stores, actor: Actor, sql: Any) -> None:
    """Two rows that exchange a value change a sum of rows by nothing; it shows all the same."""
    for name in ("one", "two"):
        await stores.systems.create(System(0, name, display_name=name), actor)
    async with following(stores) as watcher:
        view = View(watcher)
        await sql(
            "UPDATE {p}external_systems SET display_name = CASE id WHEN 1 THEN 'two' ELSE 'one' END,"
            " updated_at = updated_at"
        )
        await view.until(lambda images: images[1].system.display_name == "two")


async def test_sql_changes_are_told_once(stores: Stores, database: Database, sql: Any, actor: Actor) -> None:
    """Two replicas see the same change by SQL; one of them tells audit. What a call did is told by the call alone."""
    other = Stores.on(database, PREFIX, poll_seconds=0.05)
    async with following(stores) as first, following(other) as second:
        views = View(first), View(second)
        await sql("INSERT INTO {p}external_systems (system_name) VALUES ('police')")
        for view in views:
            await view.until(lambda images: 1 in images)
        await stores.systems.update("police", {"display_name": "Police"}, actor)
        await sql("UPDATE {p}external_systems SET is_active = 0")
        for view in views:
            await view.until(lambda images: not images[1].system.is_active)
        await sql("DELETE FROM {p}external_systems")
        for view in views:
            await view.until(lambda images: images == {})

        async def all_told() -> bool:
            return len(await told(database)) >= 4

        await eventually(all_told)
    for each in (stores, other):
        await each.live.look(each.journal.reconcile)
    entries = await told(database)
    assert [(entry.actor, entry.query_string) for entry in entries] == [
        ("sql", "create system 1"),
        ("olga", "update system 1"),
        ("sql", "update system 1"),
        ("sql", "delete system 1"),
    ]
    assert len({entry.entry_id for entry in entries}) == 4


async def test_losing_a_race_to_another_replica_loses_no_entry(stores: Stores, database: Database, sql: Any) -> None:
    """What another replica told meanwhile is not told again, and what was to be told with it is told next."""
    snapshots = SnapshotStore(database, Tables.of(PREFIX))
    await sql("INSERT INTO {p}external_systems (system_name) VALUES ('first')")
    await sql("INSERT INTO {p}external_systems (system_name) VALUES ('second')")
    reading = await snapshots.read()
    late = find(reading.known, reading.images)
    assert len(late) == 2
    assert await stores.journal.reconcile(late[:1])
    assert not await stores.journal.reconcile(late)
    await stores.live.look(stores.journal.reconcile)
    assert [entry.query_string for entry in await told(database)] == ["create system 1", "create system 2"]


async def test_sql_changes_while_nobody_ran_are_told_at_the_start(
    stores: Stores, database: Database, sql: Any, actor: Actor
) -> None:
    """The digests outlive the process, so nothing that happened meanwhile goes unseen."""
    await stores.systems.create(System(0, "police"), actor)
    await sql("UPDATE {p}external_systems SET system_type = 'database'")
    await sql("INSERT INTO {p}external_system_connections (system_id, connection_type) VALUES (1, 'api')")
    await stores.live.look(stores.journal.reconcile)
    assert [entry.query_string for entry in await told(database)] == [
        "create system 1",
        "update system 1",
        "create connection 1",
    ]


async def test_a_call_on_top_of_an_unseen_sql_change_tells_both(
    stores: Stores, database: Database, sql: Any, actor: Actor
) -> None:
    """A call that finds the row other than it was known tells that first."""
    await stores.systems.create(System(0, "police"), actor)
    await sql("UPDATE {p}external_systems SET system_type = 'database'")
    await stores.systems.update("police", {"display_name": "Police"}, actor)
    await stores.live.look(stores.journal.reconcile)
    assert [(entry.actor, entry.query_string) for entry in (await told(database))[1:]] == [
        ("sql", "update system 1"),
        ("olga", "update system 1"),
    ]


async def test_a_second_verifier_by_sql_is_reported(stores: Stores, database: Database, sql: Any, actor: Actor) -> None:
    """It cannot be refused, so the audit log says that it is there and which one counts."""
    await stores.systems.create(System(0, "police"), actor)
    await stores.connections.create(
        Connection(0, 0, "api", system="police", config_json='{"webhook_secret":"a"}'), actor
    )
    await sql(
        "INSERT INTO {p}external_system_connections (system_id, connection_type, config_json)"
        """ VALUES (1, 'api', '{"webhook_secret": "b"}')"""
    )
    await stores.live.look(stores.journal.reconcile)
    last = (await told(database))[-1]
    assert (last.query_string, last.status) == ("create connection 2", "error")
    assert "connection 1 is the one that counts" in last.error_message


async def test_rubbish_by_sql_stops_nothing(database: Database, stores: Stores, actor: Actor, sql: Any) -> None:
    """A row that no rule of ours would have let in is passed on as it is, its neighbours with it."""
    await stores.systems.create(System(0, "police"), actor)
    if database.dialect == "sqlite":
        await sql("PRAGMA user_version")  # makes sure that the file is there
        await _unchecked(
            database,
            "INSERT INTO {p}external_system_connections (system_id, connection_type, config_json, db_port, is_active,"
            " created_at) VALUES (1, 'pigeon', '{not json', 'soon', 'yes', 'yesterday')",
        )
        await _unchecked(database, "INSERT INTO {p}external_systems (id, system_name) VALUES (99999999999, 'far')")
    else:
        await sql("SET SESSION sql_mode = ''")
        await sql(
            "INSERT INTO {p}external_system_connections (system_id, connection_type, config_json)"
            " VALUES (1, 'api', '[1, 2]')"
        )
    async with following(stores) as watcher:
        view = View(watcher)
        assert list(view.images) == [1]
        [connection] = view.images[1].connections
        assert connection.config_json in ("{not json", "[1, 2]")
        assert connection.is_active == (database.dialect == "mysql")
        await stores.systems.update("police", {"display_name": "Police"}, actor)
        await view.until(lambda images: images[1].system.display_name == "Police")


async def _unchecked(database: Database, statement: str) -> None:
    path = database.shown_url.partition(":///")[2]
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(statement.replace("{p}", PREFIX))


async def test_a_slow_watcher_gets_the_newest_state_once(stores: Stores, actor: Actor) -> None:
    """What it has not asked for is replaced, not queued."""
    async with following(stores) as watcher:
        await stores.systems.create(System(0, "police"), actor)
        with stores.live.watch() as quick:
            for number in range(5):
                await stores.systems.update("police", {"display_name": f"name {number}"}, actor)
            view = View(quick)
            await view.until(lambda images: 1 in images and images[1].system.display_name == "name 4")
        waiting = await watcher.changes(1)
        assert list(waiting) == [1]
        image = waiting[1]
        assert image is not None
        assert image.system.display_name == "name 4"
        assert await watcher.changes(0.01) == {}


async def test_the_last_image_outlives_its_database(stores: Stores, actor: Actor, sql: Any) -> None:
    """While the tables cannot be read, watchers stay and hear of what changed once they can be again."""
    await stores.systems.create(dataclasses.replace(System(0, "police")), actor)
    async with following(stores) as watcher:
        view = View(watcher)
        await sql("ALTER TABLE {p}registry_digests RENAME TO {p}hidden")
        await sql("UPDATE {p}external_systems SET display_name = 'seen later'")
        assert await watcher.changes(0.3) == {}
        with stores.live.watch() as late:
            assert list(late.images) == [1]
        await sql("ALTER TABLE {p}hidden RENAME TO {p}registry_digests")
        await view.until(lambda images: images[1].system.display_name == "seen later")


class Marks:
    """A store in which something changes each time it is looked at, until it does not."""

    def __init__(self, marks: list[int]) -> None:
        self._marks = marks
        self.read_at: list[int] = []

    async def mark(self) -> int:
        """The next mark; the last one stays."""
        return self._marks.pop(0) if len(self._marks) > 1 else self._marks[0]

    async def read(self) -> Reading:
        """Nothing, but it is noted after how many changes."""
        self.read_at.append(self._marks[0])
        return Reading({}, ())


async def done(_discrepancies: object) -> bool:
    """Says that all is told."""
    return True


async def test_statements_that_follow_each_other_are_taken_in_together() -> None:
    """A system that SQL makes is not told of before its mapping; what a call changes waits for nothing."""
    marks = Marks([0, 1, 2, 3, 3, 4, 5])
    live = LiveConfiguration(cast(SnapshotStore, marks))
    await live.look(done)
    await live.look(done, waits=True)
    assert marks.read_at == [1, 4]
    await live.look(done)
    assert marks.read_at == [1, 4, 5]
