"""Rotation of sealing keys while everything runs: no read fails, no write is lost, and a walk that ended goes on."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from intertie_chassis.database import Database
from intertie_chassis.errors import FailedPrecondition
from intertie_chassis.sealing import SealingKey
from intertie_chassis.sealing_sources import CommandKeys, FileKeys, GivenKeys
from intertie_registry import secrets_store
from intertie_registry.credentials import Credentials
from intertie_registry.model import Actor, Connection, System
from intertie_registry.secrets_report import Progress
from intertie_registry.stores import Stores
from suite import PREFIX

COUNT = 20
CONNECTION = Connection(
    0, 0, "api", system="police", db_password="p", api_auth_token="t", config_json='{"password":"w"}'
)


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets_store, "_BATCH", 4)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """The file of keys, as the replicas share it."""
    return tmp_path / "keys" / "secrets.keys"


def replica(database: Database, key_file: Path) -> Stores:
    """A registry's stores with the keys of the file."""
    return Stores.on(database, PREFIX, credentials=Credentials(FileKeys(key_file, is_made=True)))


@pytest.fixture
async def replicas(database: Database, key_file: Path, actor: Actor) -> tuple[Stores, Stores]:
    """Two of them, with connections."""
    first, second = replica(database, key_file), replica(database, key_file)
    await first.systems.create(System(0, "police"), actor)
    for _ in range(COUNT):
        await first.connections.create(CONNECTION, actor)
    return first, second


async def all_of(walk: AsyncIterator[Progress]) -> Progress:
    """The end of a walk."""
    return [each async for each in walk][-1]


async def test_rotated_under_load(replicas: tuple[Stores, Stores], actor: Actor, key_file: Path) -> None:
    """Reads and writes by two replicas go on all the while; at the end one key is left, and every value is there."""
    first, second = replicas
    written: dict[int, str] = {}
    reads = 0
    is_over = asyncio.Event()

    async def read(stores: Stores) -> None:
        nonlocal reads
        while not is_over.is_set():
            for found in await stores.connections.page(0, COUNT):
                assert (found.unreadable, found.db_password, found.config_json) == ((), "p", CONNECTION.config_json)
                reads += 1
            await stores.live.look(stores.journal.reconcile)
            with stores.live.watch() as watcher:
                assert not any(each.unreadable for each in watcher.images[1].connections)

    async def write(stores: Stores, start: int) -> None:
        turn = 0
        while not is_over.is_set():
            number, turn = 1 + (start + turn * 7) % COUNT, turn + 1
            if number % 2 == start % 2:
                value = f"{start}-{turn}"
                await stores.connections.update(number, {"api_auth_token": value}, actor)
                written[number] = value

    load = [asyncio.create_task(work) for work in (read(first), read(second), write(first, 0), write(second, 1))]
    for _ in range(3):
        progress = await all_of(first.secrets.rotate(actor, new_key=True, drop_old_keys=True))
        assert (progress.problems, progress.done) == ([], COUNT)
    is_over.set()
    await asyncio.gather(*load)
    assert reads > COUNT
    census = await second.secrets.census()
    keys = second.secrets.credentials.keys
    assert keys is not None
    assert (census.unreadable, census.clear, census.sealed) == ([], [], 3 * COUNT)
    assert census.by_key.keys() <= set(keys.ids)
    assert keys.present.line() in key_file.read_text()
    for number, value in written.items():
        assert (await second.connections.get(number)).api_auth_token == value


async def test_what_was_broken_off_goes_on(
    replicas: tuple[Stores, Stores], actor: Actor, database: Database, key_file: Path
) -> None:
    """Half of the rows under the new key, half under the old: both open, and the next walk passes over the first."""
    walk = replicas[0].secrets.rotate(actor, new_key=True)
    done = 0
    while done < COUNT / 2:
        done = (await anext(walk)).done
    await walk.aclose()
    started_anew = replica(database, key_file)
    census = await started_anew.secrets.census()
    keys = started_anew.secrets.credentials.keys
    assert keys is not None
    new, old = keys.ids
    assert dict(census.by_key) == {new: 3 * done, old: 3 * (COUNT - done)}
    assert (census.unreadable, census.sealed) == ([], 3 * COUNT)
    again = await all_of(started_anew.secrets.rotate(actor, drop_old_keys=True))
    assert (again.changed, again.key_id) == (3 * (COUNT - done), new)
    assert keys.ids == (new, old)
    assert started_anew.secrets.credentials.keys == replicas[1].secrets.credentials.keys
    assert old not in key_file.read_text()


async def test_a_key_that_still_seals_is_kept(replicas: tuple[Stores, Stores], actor: Actor, sql: Any) -> None:
    """What cannot be opened cannot be sealed anew: its key stays, and it is told."""
    first, second = replicas
    await sql("UPDATE {p}external_system_connections SET db_host = 'evil.example' WHERE id = 3")
    progress = await all_of(first.secrets.rotate(actor, new_key=True, drop_old_keys=True))
    assert [(place.connection_id, place.field) for place in progress.problems] == [(3, "db_password")]
    assert progress.changed == 3 * COUNT - 1
    keys = second.secrets.credentials.keys
    assert keys is not None
    assert len(keys.ids) == 2
    await sql("UPDATE {p}external_system_connections SET db_host = NULL WHERE id = 3")
    assert (await second.connections.get(3)).db_password == "p"


async def test_a_late_write_with_a_dropped_key(
    replicas: tuple[Stores, Stores], actor: Actor, monkeypatch: pytest.MonkeyPatch, sql: Any
) -> None:
    """A replica had sealed with the old key before and writes after the walk: the key comes back, and goes again."""
    first, second = replicas
    source = first.secrets.credentials.source
    assert source is not None
    [old_row] = await sql("SELECT db_password FROM {p}external_system_connections WHERE id = 2")
    drop = type(source).drop

    def late(self: FileKeys, ids: Any) -> tuple[SealingKey, ...]:
        monkeypatch.setattr(FileKeys, "drop", drop)
        dropped = drop(self, ids)
        asyncio.run(
            sql("UPDATE {p}external_system_connections SET db_password = %s WHERE id = 2", old_row["db_password"])
        )
        return dropped

    monkeypatch.setattr(FileKeys, "drop", late)
    await all_of(first.secrets.rotate(actor, new_key=True, drop_old_keys=True))
    assert (await second.connections.get(2)).db_password == "p"
    keys = second.secrets.credentials.keys
    assert keys is not None
    assert len(keys.ids) == 1


@pytest.mark.parametrize("flag", ["new_key", "drop_old_keys"])
async def test_keys_of_others_are_theirs(database: Database, actor: Actor, flag: str) -> None:
    """A key in the environment is added and taken away there; that is said before anything is done."""
    stores = Stores.on(database, PREFIX, credentials=Credentials(GivenKeys(SealingKey.new().line())))
    with pytest.raises(FailedPrecondition, match="INTERTIE_SECRETS_KEYS"):
        await all_of(stores.secrets.rotate(actor, **{flag: True}))


async def test_a_key_from_a_command(database: Database, actor: Actor, tmp_path: Path) -> None:
    """A rotation runs the command again, and seals with the key that is the first now."""
    old, new = SealingKey("old", b"o" * 32), SealingKey("new", b"n" * 32)
    path = tmp_path / "vault"
    path.write_text(old.line())
    stores = Stores.on(database, PREFIX, credentials=Credentials(CommandKeys(f"cat '{path}'")))
    await stores.systems.create(System(0, "police"), actor)
    await stores.connections.create(CONNECTION, actor)
    path.write_text(f"{new.line()}\n{old.line()}")
    progress = await all_of(stores.secrets.rotate(actor))
    assert (progress.changed, progress.key_id) == (3, "new")
    assert await stores.connections.get(1) == replace(CONNECTION, id=1, system_id=1)
    assert (await all_of(stores.secrets.rotate(actor))).changed == 0
