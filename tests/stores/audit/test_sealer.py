"""Sealing on both databases: every row once, gapless, whoever wrote it, and wherever a sealer dies."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, exc, text
from sqlalchemy.ext.asyncio import create_async_engine

from chain_rig import CHAIN, CHECKPOINTS, LOGS, PREFIX, Rig, entry
from intertie_audit import chain, sealer
from intertie_audit.chain import EXPIRED, FOUND
from intertie_audit.chain_keys import ChainKeys, KnownKeys
from intertie_audit.migrations import MIGRATIONS
from intertie_audit.seal_store import Raced
from intertie_audit.verification import Scope
from intertie_chassis import direct
from intertie_chassis.database import Database
from intertie_chassis.errors import Unavailable
from mariadb import MariaDBServer

PHP = f"INSERT INTO {LOGS} (system_id, query_type, query_string, status) VALUES (7, 'select', :query, 'success')"


@pytest.fixture
async def opened(database_url: str) -> AsyncIterator[Database]:
    """A migrated database."""
    database = await Database.open(database_url, table_prefix=PREFIX)
    await MIGRATIONS.upgrade(database, PREFIX)
    yield database
    await database.close()


@pytest.fixture
def rig(opened: Database, tmp_path: Path) -> Rig:
    """A chain in it."""
    return Rig(opened, tmp_path)


async def test_what_ours_and_php_write_is_sealed(rig: Rig) -> None:
    """One link a row, in order; what was sealed stays through a restart; a row sealed is not sealed again."""
    await rig.seal(entry(), entry(request_payload=None, response_payload=None))
    await rig.run(PHP, query="it's PHP's")
    again = Rig(rig.database, rig.directory)
    await again.seal(entry())
    links = await rig.links.links(1, 10)
    assert [(link.sequence, link.kind, link.entry_id) for link in links] == [
        (number, "entry", number) for number in range(1, 5)
    ]
    assert await again.found() == []
    assert [checkpoint.sequence for checkpoint in await rig.stored()] == [2, 4]
    anchored = list(rig.anchor.checkpoints())
    assert [one.sequence for one in anchored if one] == [2, 4]


async def test_canonical_bytes_are_what_the_documentation_says(rig: Rig) -> None:
    """Computed here from the row alone, with nothing of ours: JSON, SHA-256 and HMAC of the standard library."""
    sent = entry()
    await rig.seal(sent)
    (link,) = await rig.links.links(1, 1)
    digests = [hashlib.sha256(p.encode()).hexdigest() for p in ('{"size": 12}', '{"status": "accepted"}')]
    values = [
        1,
        "entry",
        link.sealed_at.isoformat(" ", "microseconds"),
        1,
        sent.entry_id,
        "2025-01-20 12:00:00.123456",
        7,
        "fire_rescue",
        "webhook",
        sent.query_string,
        202,
        3,
        "success",
        None,
        None,
        "events",
        "system:fire_rescue",
        sent.delivery_id,
        "r-1",
        *digests,
    ]
    assert link.canonical == json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()
    start = hashlib.sha256(b"intertie audit chain v1").digest()
    leaf = hashlib.sha256(b"\x00" + link.canonical).digest()
    assert link.head == hashlib.sha256(b"\x01" + start + leaf).digest()
    assert link.mac == hmac.digest(rig.key.mac_key, link.head, "sha256")


async def test_a_backlog_does_not_hold_up_a_stop(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop seals and signs as much as its time allows, a batch here; the next start goes on behind it."""
    monkeypatch.setattr(sealer, "_FINISH_SECONDS", 0.0)
    monkeypatch.setattr(sealer, "_MOST_LINKS", 200)
    await rig.sealer.begin()
    for _ in range(3):
        await rig.log.append([entry() for _ in range(200)])
    await rig.sealer.finish()
    assert 0 < (await rig.links.end()).sequence < 600
    await rig.seal()
    assert (await rig.links.end()).sequence == 600


async def test_two_sealers_at_once(rig: Rig, opened: Database) -> None:
    """Both work without a lease: no row twice, no gap; one may lose a batch to the other and looks again."""
    other = Rig(opened, rig.directory)
    await rig.sealer.begin()
    await other.sealer.begin()
    for _ in range(4):
        await rig.log.append([entry() for _ in range(20)])
        await asyncio.gather(rig.sealer.step(), other.sealer.step(), rig.seals.append_note("remark", "by the way"))
    await asyncio.gather(rig.sealer.finish(), other.sealer.finish())
    links = await rig.links.links(1, 1000)
    assert [link.sequence for link in links] == list(range(1, 85))
    assert len({link.entry_id for link in links}) == 81
    assert await rig.found() == []


async def test_only_one_has_the_lease(mariadb_url: str, tmp_path: Path) -> None:
    """Of two processes one seals, and the other one takes over when it ends."""
    database = await Database.open(mariadb_url, table_prefix=PREFIX)
    await MIGRATIONS.upgrade(database, PREFIX)
    one, two = Rig(database, tmp_path), Rig(database, tmp_path)
    async with one.sealer._lease.held():
        with pytest.raises(Unavailable):
            async with two.sealer._lease.held():
                pass
    async with two.sealer._lease.held():
        await two.sealer._lease.keep()
    await database.close()


class Crash(Exception):
    """The process died here."""


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_sealer_that_dies_at_any_statement(opened: Database, tmp_path: Path, when: str) -> None:
    """Before or after each statement and each commit: the next one goes on, and the chain is whole."""
    step, write = 0, direct.write
    while True:
        rig = Rig(opened, tmp_path)
        await rig.log.append([entry() for _ in range(3)])
        counted = 0

        def crash(*_arguments: Any, stop: int = step) -> None:
            nonlocal counted
            counted += 1
            if counted == stop + 1:
                raise Crash

        async def written(*arguments: Any, crash: Any = crash) -> int:
            if when == "before":
                crash()
            count = await write(*arguments)
            if when == "after":
                crash()
            return count

        engine = opened._writer.sync_engine
        names = [f"{when}_cursor_execute", *(["commit"] if when == "before" else [])]
        for name in names:
            event.listen(engine, name, crash)
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(direct, "write", written)
                await rig.seal()
            crashed = False
        except Crash:
            crashed = True
        finally:
            for name in names:
                event.remove(engine, name, crash)
        await Rig(opened, tmp_path).seal()
        assert await rig.found() == [], step
        if not crashed:
            break
        step += 1
    assert step >= 3
    ids = [link.entry_id for link in await rig.links.links(1, 1000)]
    assert sorted(ids) == [row.id for row in await rig.run(f"SELECT id FROM {LOGS} ORDER BY id")]  # type: ignore[type-var]


async def test_a_row_that_commits_late_is_not_passed_over(mariadb_url: str, tmp_path: Path) -> None:
    """Its number was given before others that are sealed already; and one that nobody awaits is found at the start."""
    database = await Database.open(mariadb_url, table_prefix=PREFIX)
    await MIGRATIONS.upgrade(database, PREFIX)
    rig = Rig(database, tmp_path)
    outside = create_async_engine(database._writer.url)
    async with outside.connect() as late, outside.connect() as later:
        await late.execute(text(PHP), {"query": "late"})
        await later.execute(text(PHP), {"query": "later"})
        await rig.seal(entry(), sign=False)
        await late.commit()
        rig.sealer._late_at = 0.0
        await rig.sealer.step()
        assert [link.entry_id for link in await rig.links.links(1, 9)] == [3, 1]
        rig.sealer._gaps.give_up(float("inf"))
        await later.commit()
        await rig.sealer.step()
        assert len(await rig.links.links(1, 9)) == 2
        await Rig(database, tmp_path).seal()
    assert [link.entry_id for link in await rig.links.links(1, 9)] == [3, 1, 2]
    assert await rig.found() == []
    await outside.dispose()
    await database.close()


@pytest.fixture
async def filled(database_url: str, tmp_path: Path) -> AsyncIterator[Rig]:
    """A chain that was made over a log with 2500 rows, and one more since."""
    database = await Database.open(database_url, table_prefix=PREFIX)
    await MIGRATIONS.upgrade(database, PREFIX)
    rig = Rig(database, tmp_path)
    await rig.log.append([entry(query_string=f"found {number}") for number in range(2500)])
    await rig.run(f"UPDATE {PREFIX}integration_audit_origin SET found_up_to = 2500")
    await rig.seal(entry())
    yield rig
    await database.close()


async def test_what_was_there_before_is_sealed_in_blocks(filled: Rig) -> None:
    """Three links for 2500 rows, and from then on one an entry; each row is verified, and told by its number."""
    links = await filled.links.links(1, 10)
    assert [link.kind for link in links] == [FOUND, FOUND, FOUND, "entry"]
    assert [len(chain.block_rows(link.canonical)) for link in links[:3]] == [1000, 1000, 500]
    assert await filled.links.places([1, 1000, 1001, 2500, 2501, 9999]) == {1: 1, 1000: 1, 1001: 2, 2500: 3, 2501: 4}
    assert await filled.found() == []
    assert await filled.found(scope=Scope(2, 0)) == []
    await filled.drop_triggers()
    await filled.run(f"UPDATE {LOGS} SET actor = 'nobody' WHERE id = 1500")
    await filled.run(f"UPDATE {LOGS} SET request_payload = NULL WHERE id = 1501")
    await filled.run(f"DELETE FROM {LOGS} WHERE id = 2200")
    _, findings = await filled.verify()
    assert [(one.kind, one.sequence, one.entry_id) for one in findings] == [
        ("ENTRY_ALTERED", 2, 1500),
        ("PAYLOAD_MISSING", 2, 1501),
        ("ENTRY_MISSING", 3, 2200),
    ]


async def test_a_row_that_appears_among_those_found_gets_a_link(rig: Rig) -> None:
    """One that committed late, below the numbers of a block, is missed until it is sealed; the block stays whole."""
    await rig.drop_triggers()
    await rig.log.append([entry() for _ in range(5)])
    await rig.run(f"DELETE FROM {LOGS} WHERE id = 3")
    await rig.run(f"UPDATE {PREFIX}integration_audit_origin SET found_up_to = 5")
    await rig.seal(entry())
    assert [link.kind for link in await rig.links.links(1, 9)] == [FOUND, "entry"]
    await rig.run(f"INSERT INTO {LOGS} (id, query_type, status) VALUES (3, 'select', 'success')")
    _, findings = await rig.verify()
    assert [(one.kind, one.entry_id) for one in findings] == [("UNSEALED", 3)]
    await Rig(rig.database, rig.directory).seal()
    assert await rig.found() == []
    assert await rig.links.places([2, 3, 4]) == {2: 1, 3: 3, 4: 1}


async def test_payloads_that_retention_dropped(rig: Rig) -> None:
    """What it has said is no finding: up to the place that it named, and before the moment that it named."""
    await rig.seal(*(entry() for _ in range(4)))
    await rig.run(f"UPDATE {LOGS} SET request_payload = NULL WHERE id <= 3")
    assert await rig.found() == [("PAYLOAD_MISSING", number, number) for number in (1, 2, 3)]
    moment = entry().created_at.replace(year=2026)
    await rig.seals.append_note(EXPIRED, chain.expired_text(2, moment))
    assert await rig.found() == [("PAYLOAD_MISSING", 3, 3)]
    await rig.seals.append_note(EXPIRED, chain.expired_text(9, entry().created_at))
    assert await rig.found() == [("PAYLOAD_MISSING", 3, 3)]


async def test_the_log_and_the_chain_refuse_changes(rig: Rig) -> None:
    """By triggers, whoever asks; only payloads may go."""
    await rig.seal(entry())
    for table, column in ((CHAIN, "kind"), (CHECKPOINTS, "signed_text"), (LOGS, "actor")):
        with pytest.raises(exc.DBAPIError, match="append-only"):
            await rig.run(f"DELETE FROM {table}")
        with pytest.raises(exc.DBAPIError, match="append-only"):
            await rig.run(f"UPDATE {table} SET {column} = UPPER({column})")
    for change in ("request_payload = '{}'", "created_at = '2025-01-20 12:00:00.123457'", "system_id = NULL"):
        with pytest.raises(exc.DBAPIError, match="append-only"):
            await rig.run(f"UPDATE {LOGS} SET {change}")
    await rig.run(f"UPDATE {LOGS} SET request_payload = NULL, response_payload = NULL")
    assert await rig.found() == [("PAYLOAD_MISSING", 1, 1)]


async def test_an_account_that_may_only_append(mariadb_server: MariaDBServer, tmp_path: Path) -> None:
    """With the rights that docs/audit.md names audit appends, seals and verifies, and can change nothing."""
    name = mariadb_server.create_database()
    owner = await Database.open(mariadb_server.url(name), table_prefix=PREFIX)
    await MIGRATIONS.upgrade(owner, PREFIX)
    await owner.close()
    user = f"audit_{name[-6:]}"
    grants = [f"CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY 'only-here'"]
    grants += [
        f"GRANT SELECT, INSERT ON `{name}`.`{table}` TO '{user}'@'127.0.0.1'" for table in (LOGS, CHAIN, CHECKPOINTS)
    ]
    grants += [
        f"GRANT UPDATE (request_payload, response_payload) ON `{name}`.`{LOGS}` TO '{user}'@'127.0.0.1'",
        f"GRANT SELECT ON `{name}`.`{PREFIX}integration_audit_origin` TO '{user}'@'127.0.0.1'",
        f"GRANT SELECT ON `{name}`.`{PREFIX}audit_schema_versions` TO '{user}'@'127.0.0.1'",
    ]
    with mariadb_server.connect() as connection, connection.cursor() as cursor:
        for statement in grants:
            cursor.execute(statement)
    url = f"mysql://{user}:only-here@127.0.0.1:{mariadb_server.port}/{name}"
    database = await Database.open(url, table_prefix=PREFIX)
    least = Rig(database, tmp_path / "least")
    assert await MIGRATIONS.at_head(database, PREFIX)
    async with least.sealer._lease.held():
        await least.seal(entry(), entry())
    assert await least.found() == []
    for table in (CHAIN, CHECKPOINTS, LOGS):
        with pytest.raises(exc.DBAPIError, match="denied"):
            await least.run(f"DELETE FROM {table}")
    for statement in (f"UPDATE {CHAIN} SET kind = 'x'", f"UPDATE {LOGS} SET actor = 'x'", f"DROP TABLE {CHAIN}"):
        with pytest.raises(exc.DBAPIError, match="denied"):
            await least.run(statement)
    await least.run(f"UPDATE {LOGS} SET request_payload = NULL")
    await database.close()
    with mariadb_server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP USER '{user}'@'127.0.0.1'")
    mariadb_server.drop_database(name)


async def test_a_key_that_was_replaced_still_verifies(rig: Rig) -> None:
    """Links and checkpoints of both keys; the old private key is not needed, and a foreign one proves nothing."""
    await rig.seal(entry(), entry())
    (rig.directory / "keys" / "audit.jwk").unlink()
    after = Rig(rig.database, rig.directory)
    assert after.key.key_id != rig.key.key_id
    await after.seal(entry(), entry())
    assert await after.found() == []
    assert await after.found(scope=Scope(2, 3)) == []
    known = ChainKeys(rig.directory).known()
    assert await after.found(keys=known) == []
    assert await after.found(keys=KnownKeys(known.jwks, [b"k" * 32])) == [("LINK_BROKEN", 1, 4)]


async def test_an_anchor_that_was_away_is_filled_later(rig: Rig) -> None:
    """What could not be written is written when it can be; half a line of a power cut is no harm."""
    rig.anchor.path.parent.write_text("no directory")
    await rig.seal(entry())
    rig.anchor.path.parent.unlink()
    await rig.seal(entry())
    assert [one.sequence for one in rig.anchor.checkpoints() if one] == [1, 2]
    with rig.anchor.path.open("ab") as file:
        file.write(b'{"text": "intertie au')
    await rig.seal(entry())
    assert [one.sequence for one in rig.anchor.checkpoints() if one] == [1, 2, 3]
    assert await rig.found() == []


async def test_a_sealer_that_lost_a_race_stores_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its batch meets the other one's places, and nothing of it is kept."""
    await rig.seal(entry())
    insert: Callable[..., Any] = rig.seals._insert

    async def late(*arguments: Any) -> Any:
        connection = arguments[-1]
        result = await insert(*arguments)
        await connection.execute(text(f"INSERT INTO {CHAIN} SELECT * FROM {CHAIN} WHERE sequence = 1"))
        return result

    monkeypatch.setattr(rig.seals, "_insert", late)
    with pytest.raises(Raced):
        await rig.seals.append_note("remark", "never")
    assert await rig.links.end() == (await rig.seals.end())[0]
    assert (await rig.links.end()).sequence == 1
