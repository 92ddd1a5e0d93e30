"""Credentials in the database, alike on SQLite and MariaDB: sealed by calls, read as they are, closed when moved."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from intertie.audit.v1 import audit_pb2
from intertie_chassis.database import Database
from intertie_chassis.errors import StartupError
from intertie_chassis.sealing import SealingKey, is_sealed
from intertie_chassis.sealing_sources import FileKeys, GivenKeys
from intertie_registry import feed_convert
from intertie_registry.credentials import Credentials
from intertie_registry.errors import NotSealing, WrongSealingKey
from intertie_registry.feed_convert import Trust
from intertie_registry.model import Actor, Connection, System, SystemImage
from intertie_registry.secrets_report import Progress
from intertie_registry.stores import Stores
from suite import PREFIX

CONFIG = '{"webhook_secret":"CANARY webhook","headers":{"X-Key":"CANARY header"},"retries":2}'
CONNECTION = Connection(
    0, 0, "api", system="police", db_host="db.example", db_password="CANARY password",
    api_base_url="https://api.example", api_auth_token="CANARY token", config_json=CONFIG,
)  # fmt: skip
SECRETS = {"db_password": "CANARY password", "api_auth_token": "CANARY token", "config_json": CONFIG}
TABLES = (
    "external_systems",
    "external_system_connections",
    "registry_digests",
    "registry_outbox",
    "registry_secret_keys",
)


@pytest.fixture
async def connection(stores: Stores, actor: Actor) -> Connection:
    """A connection with every kind of credential."""
    await stores.systems.create(System(0, "police"), actor)
    return await stores.connections.create(CONNECTION, actor)


async def row(sql: Any, number: int = 1) -> dict[str, Any]:
    """The row of a connection."""
    [found] = await sql("SELECT * FROM {p}external_system_connections WHERE id = %s", number)
    return dict(found)


async def dump(sql: Any, database_url: str) -> str:
    """All that the database holds; of SQLite's files every byte, also of what was overwritten."""
    rows = [await sql(f"SELECT * FROM {{p}}{table}") for table in TABLES]
    path = Path(database_url.partition(":///")[2] if database_url.startswith("sqlite") else "/none")
    files = [file.read_bytes() for file in path.parent.glob(f"{path.name}*")]
    return f"{rows} {files}"


async def image(stores: Stores) -> SystemImage:
    """The image of the one system, after a look."""
    await stores.live.look(stores.journal.reconcile)
    with stores.live.watch() as watcher:
        [found] = watcher.images.values()
        return found


async def told(database: Database) -> list[tuple[str, str, Any]]:
    """What audit is to hear: who, what, and which fields."""
    async with database.read() as connection:
        rows = await connection.exec_driver_sql(f"SELECT payload FROM {PREFIX}registry_outbox ORDER BY id")
        entries = [each for row in rows for each in audit_pb2.AppendEntriesRequest.FromString(bytes(row[0])).entries]
    return [(each.actor, each.query_string, json.loads(each.request_payload)["changed"]) for each in entries]


async def last(walk: AsyncIterator[Progress]) -> Progress:
    """The end of a walk."""
    progress = [each async for each in walk][-1]
    assert progress.done == progress.total
    return progress


async def sealed_rows(sql: Any) -> bool:
    """Whether no credential of any row stands in clear text."""
    rows = await sql("SELECT db_password, api_auth_token, config_json FROM {p}external_system_connections")
    return all("CANARY" not in str(found) for found in rows)


async def test_calls_seal(stores: Stores, connection: Connection, actor: Actor, sql: Any, database_url: str) -> None:
    """What was created and changed is read back; the database, its digests and its outbox hold none of it."""
    assert replace(CONNECTION, id=1, system_id=1) == connection == await stores.connections.get(1)
    changed = await stores.connections.update(1, {"db_password": "CANARY other", "api_timeout": 9}, actor)
    assert (changed.db_password, changed.api_auth_token) == ("CANARY other", "CANARY token")
    assert changed.config_json == CONFIG
    [listed] = await stores.connections.page(0, 10)
    assert listed == changed
    found = await row(sql)
    assert is_sealed(found["db_password"])
    assert is_sealed(found["api_auth_token"])
    assert json.loads(found["config_json"])["retries"] == 2
    assert "CANARY" not in await dump(sql, database_url)


async def test_the_longest_credentials_fit(stores: Stores, connection: Connection, actor: Actor) -> None:
    """Sealed they are longer than what the columns once took."""
    changes = {"db_password": "ü" * 255, "api_auth_token": "x" * 65_535}
    assert (await stores.connections.update(1, dict(changes), actor)).api_auth_token == changes["api_auth_token"]
    assert (await stores.connections.get(1)).db_password == changes["db_password"]


async def test_swapped_rows_are_closed(stores: Stores, connection: Connection, actor: Actor, sql: Any) -> None:
    """Of two connections whose credentials were swapped none works, a third one does; audit hears that SQL did it."""
    for _ in range(2):
        await stores.connections.create(replace(CONNECTION, config_json=CONFIG.replace("webhook_", "")), actor)
    await image(stores)
    rows = [await row(sql, number) for number in (1, 2)]
    for number, other in ((1, rows[1]), (2, rows[0])):
        await sql(
            "UPDATE {p}external_system_connections SET db_password = %s, api_auth_token = %s WHERE id = %s",
            other["db_password"], other["api_auth_token"], number,
        )  # fmt: skip
    with capture_logs() as logs:
        first, second, third = (await image(stores)).connections
    assert {log["connection"] for log in logs if "cannot be opened" in log["event"]} == {1, 2}
    assert not third.unreadable
    for closed in (first, second):
        assert {each.path for each in closed.unreadable} == {("db_password",), ("api_auth_token",)}
    [message] = feed_convert.snapshot({1: await image(stores)}, Trust.CREDENTIALS)
    sent = message.systems[0].connections
    assert [(each.db_password, each.api_auth_token) for each in sent[:2]] == [("", "")] * 2
    assert all("cannot be opened" in each.problem for each in sent[:2])
    assert (sent[2].db_password, sent[2].problem) == ("CANARY password", "")
    census = await stores.secrets.census()
    assert (census.sealed, len(census.unreadable), census.clear) == (8, 4, [])
    await stores.secrets.require_right_keys()


async def test_a_moved_webhook_secret_verifies_nothing(stores: Stores, connection: Connection, sql: Any) -> None:
    """Nor does it hand the verification over to a connection after it."""
    config = json.loads((await row(sql))["config_json"])
    config["webhook_secret_previous"], config["webhook_secret"] = config["webhook_secret"], "sealed:v1:garbage"
    await sql("UPDATE {p}external_system_connections SET config_json = %s", json.dumps(config))
    await sql(
        "INSERT INTO {p}external_system_connections (system_id, connection_type, config_json) VALUES (1, 'api', %s)",
        '{"webhook_secret": "other"}',
    )
    for trust in (Trust.SECRETS, Trust.CREDENTIALS):
        [message] = feed_convert.snapshot({1: await image(stores)}, trust)
        sent = json.loads(message.systems[0].connections[0].config_json)
        assert (sent["webhook_secret"], sent["webhook_secret_previous"]) == (None, None)
        assert sent["headers"] == {"X-Key": "CANARY header"}
        assert message.systems[0].connections[0].problem == ""


async def test_redirected_by_sql_and_set_anew(stores: Stores, connection: Connection, actor: Actor, sql: Any) -> None:
    """A host that SQL changed is not sent the password; a call sets it anew, and the rest was never touched."""
    await sql("UPDATE {p}external_system_connections SET db_host = 'evil.example'")
    [found] = (await image(stores)).connections
    assert [each.path for each in found.unreadable] == [("db_password",)]
    assert found.api_auth_token == "CANARY token"
    kept = await stores.connections.update(1, {"api_timeout": 9}, actor)
    assert [each.path for each in kept.unreadable] == [("db_password",)]
    await sql("UPDATE {p}external_system_connections SET db_host = 'db.example'")
    assert (await stores.connections.get(1)).db_password == "CANARY password"
    moved = await stores.connections.update(1, {"db_host": "new.example"}, actor)
    assert (moved.db_password, moved.unreadable) == ("", ())


async def test_clear_rows_are_read_and_reported(stores: Stores, connection: Connection, sql: Any) -> None:
    """What SQL wrote works as it stands and stays as it stands; the log has the count, once."""
    await sql("UPDATE {p}external_system_connections SET db_password = %s, config_json = %s", "CANARY p", CONFIG)
    with capture_logs() as logs:
        [found] = (await image(stores)).connections
        await sql("UPDATE {p}external_systems SET display_name = 'x'")
        await image(stores)
    assert (found.db_password, found.config_json, found.unreadable) == ("CANARY p", CONFIG, ())
    assert [log["count"] for log in logs if "clear text" in log["event"]] == [3]
    assert "CANARY" not in str(logs)
    stored = await row(sql)
    assert (stored["db_password"], stored["config_json"]) == ("CANARY p", CONFIG)
    census = await stores.secrets.census()
    assert [(place.connection_id, place.system, place.field) for place in census.clear] == [
        (1, "police", "db_password"),
        (1, "police", "config_json.webhook_secret"),
        (1, "police", "config_json.headers.X-Key"),
    ]
    assert census.sealed == 1


async def test_sealed_in_place(stores: Stores, actor: Actor, sql: Any, database: Database, database_url: str) -> None:
    """Every row that SQL wrote, with what it said, and no watcher hears of it; audit hears who did it and where."""
    await stores.systems.create(System(0, "police"), actor)
    config = '{ "webhook_secret" : "CANARY w", "x": 1.10 }'
    await sql(
        "INSERT INTO {p}external_system_connections (system_id, connection_type, db_password, config_json, updated_at) "
        "VALUES " + ", ".join(["(1, 'api', 'CANARY p', %s, '2024-01-02 03:04:05')"] * 120),
        *[config] * 120,
    )
    before = await image(stores)
    dry = await last(stores.secrets.seal(actor, dry_run=True))
    assert (dry.total, dry.changed) == (120, 240)
    assert not await sealed_rows(sql)
    with stores.live.watch() as watcher:
        assert (await last(stores.secrets.seal(actor))).changed == 240
        assert await sealed_rows(sql)
        after = await image(stores)
        assert await watcher.changes(0.01) == {}
    assert (
        [each.config_json for each in after.connections]
        == [config] * 120
        == [each.config_json for each in before.connections]
    )
    assert after.connections[0].updated_at == before.connections[0].updated_at
    assert (await last(stores.secrets.seal(actor))).changed == 0
    heard = await told(database)
    assert [each for each in heard if each[0] == "sql" and each[1].startswith("update")] == []
    sealing = [each for each in heard if each[1].startswith("seal")]
    assert len(sealing) == 120
    assert sealing[6] == ("olga", "seal connection 7", ["db_password", "config_json.webhook_secret"])


async def test_what_sql_writes_meanwhile_wins(stores: Stores, connection: Connection, actor: Actor, sql: Any) -> None:
    """Written between the look of a walk and its write, it is what is sealed; a change by SQL is still told as one."""
    await sql("UPDATE {p}external_system_connections SET db_password = 'CANARY one'")
    await image(stores)
    walk = stores.secrets.seal(actor)
    await anext(walk)
    batch = stores.secrets._batch

    async def then_sql(after: int) -> list[Connection]:
        found = await batch(after)
        await sql("UPDATE {p}external_system_connections SET db_password = 'CANARY two'")
        return found

    stores.secrets._batch = then_sql  # type: ignore[method-assign]
    await anext(walk)
    await walk.aclose()
    assert (await stores.connections.get(1)).db_password == "CANARY two"
    assert await sealed_rows(sql)


async def test_sealing_off(database: Database, actor: Actor, sql: Any, credentials: Credentials) -> None:
    """Rows are clear for the application that reads them, as long as that is so; then they are sealed."""
    off = Stores.on(database, PREFIX, credentials=Credentials(credentials.source, is_on=False))
    await off.systems.create(System(0, "police"), actor)
    await off.connections.create(CONNECTION, actor)
    await off.connections.update(1, {"api_timeout": 9}, actor)
    assert {name: (await row(sql))[name] for name in SECRETS} == SECRETS
    with pytest.raises(NotSealing):
        await last(off.secrets.seal(actor))
    assert (await last(off.secrets.seal(actor, dry_run=True))).changed == 4
    on = Stores.on(database, PREFIX, credentials=credentials)
    assert (await last(on.secrets.seal(actor))).changed == 4
    assert {name: getattr(await off.connections.get(1), name) for name in SECRETS} == SECRETS


async def test_wrong_keys_at_the_start(database: Database, connection: Connection, credentials: Credentials) -> None:
    """Keys of another installation, and another key of the same id, are refused; those of before are right again."""
    assert credentials.keys is not None
    right = credentials.keys.present
    await Stores.on(database, PREFIX, credentials=credentials).secrets.require_right_keys()
    stranger = SealingKey("stranger", b"s" * 32)
    for keys, says in (
        ([stranger], f"they need the keys {right.id}, and only stranger is given"),
        ([SealingKey(right.id, b"x" * 32)], f"the sealing key {right.id} is not the one"),
        ([stranger, SealingKey(right.id, b"x" * 32)], f"the sealing key {right.id} is not the one"),
    ):
        wrong = Credentials(GivenKeys("\n".join(key.line() for key in keys)))
        stores = Stores.on(database, PREFIX, credentials=wrong)
        with pytest.raises(StartupError, match=says):
            await stores.secrets.require_right_keys()
        assert says in (await stores.secrets.readiness() or "")
    both = Credentials(GivenKeys(f"{stranger.line()},{right.line()}"))
    stores = Stores.on(database, PREFIX, credentials=both)
    await stores.secrets.require_right_keys()
    assert await stores.secrets.readiness() is None


async def test_a_key_of_the_same_id_seals_nothing(database: Database, connection: Connection, actor: Actor) -> None:
    """Also where the start could not look: what it sealed nobody else could open."""
    async with database.read() as reader:
        known = await reader.exec_driver_sql(f"SELECT key_id FROM {PREFIX}registry_secret_keys")
        [key_id] = known.scalars().all()
    wrong = Stores.on(database, PREFIX, credentials=Credentials(GivenKeys(SealingKey(key_id, b"x" * 32).line())))
    with pytest.raises(WrongSealingKey):
        await wrong.connections.update(1, {"db_password": "x"}, actor)


async def test_an_unknown_key_harms_no_other(database: Database, sql: Any, actor: Actor, tmp_path: Path) -> None:
    """Its connection is closed until the key is there, which is seen without a restart; nobody takes it for SQL's."""
    old, new = SealingKey("old", b"o" * 32), SealingKey("new", b"n" * 32)
    first = Stores.on(database, PREFIX, credentials=Credentials(GivenKeys(old.line())))
    await first.systems.create(System(0, "police"), actor)
    await first.connections.create(CONNECTION, actor)
    path = tmp_path / "keys"
    path.write_text(new.line())
    stores = Stores.on(database, PREFIX, credentials=Credentials(FileKeys(path)))
    await stores.connections.create(replace(CONNECTION, config_json=""), actor)
    closed, open_ = (await image(stores)).connections
    assert [each.is_key_missing for each in closed.unreadable] == [True] * 4
    assert not open_.unreadable
    await stores.secrets.require_right_keys()
    changed = await stores.connections.update(1, {"api_timeout": 9}, actor)
    assert len(changed.unreadable) == 4
    path.write_text(f"{new.line()}\n{old.line()}")
    assert (await image(stores)).connections[0].config_json == CONFIG
    assert {name: getattr(await first.connections.get(1), name) for name in SECRETS} == SECRETS
    await first.live.look(first.journal.reconcile)
    assert [each for each in await told(database) if each[0] == "sql"] == []
