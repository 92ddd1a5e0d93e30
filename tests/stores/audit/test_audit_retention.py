"""Payloads expire on both stores and the chain over them still verifies; nothing else is ever dropped."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.dialects import mysql, sqlite

from audit_chain import NOON, PREFIX, Chain, entry
from intertie_audit import retention, retention_store
from intertie_audit.chain import expiry
from intertie_audit.lease_store import Lease
from intertie_audit.retention import Retention
from intertie_audit.retention_store import AgedEntry, RetentionStore
from intertie_audit.seal_store import SealStore
from intertie_chassis.clock import utc_now
from intertie_chassis.database import Database
from intertie_chassis.errors import PermissionDenied
from mariadb import MariaDBServer

PAYLOADS = {"request_payload": '{"id": 1}', "response_payload": '{"rows": [1, 2]}'}


@pytest.fixture
async def chain(database_url: str, tmp_path: Path) -> AsyncIterator[Chain]:
    """A log and its chain, both empty."""
    opened = await Chain.open(database_url, tmp_path)
    yield opened
    await opened.database.close()


async def payloads(chain: Chain) -> list[tuple[int, bool, bool]]:
    """Each entry's number, and whether it has a request and a response."""
    rows = await chain.sql(
        "SELECT id, request_payload IS NOT NULL, response_payload IS NOT NULL FROM {logs} ORDER BY id"
    )
    return [(number, bool(first), bool(second)) for number, first, second in rows]


async def test_payloads_expire_and_the_chain_still_verifies(chain: Chain) -> None:
    """On the day, with a link that says so; the entries stay as they are, and the young ones whole."""
    young = utc_now().replace(microsecond=0) - timedelta(days=10)
    await chain.append(entry(**PAYLOADS), entry(request_payload="{}"), entry(), entry(**PAYLOADS, created_at=young))
    columns = await chain.sql("SELECT id, entry_id, created_at, query_type, status FROM {logs} ORDER BY id")
    day = timedelta(days=400)
    assert await chain.retention(400, lambda: NOON + day).round() == 0
    assert len(await chain.sql("SELECT 1 FROM {chain}")) == 4
    assert await chain.retention(400, lambda: NOON + day + timedelta(seconds=1)).round() == 2
    assert await payloads(chain) == [(1, False, False), (2, False, False), (3, False, False), (4, True, True)]
    assert await chain.sql("SELECT id, entry_id, created_at, query_type, status FROM {logs} ORDER BY id") == columns
    (note,) = [link for link in await chain.links.notes() if link.kind == "expired"]
    said = expiry(note.canonical)
    assert said is not None
    assert (said.sequence, said.before) == (4, "2025-01-20 12:00:01.123456")
    assert await chain.findings() == []
    assert await chain.retention(400, lambda: NOON + day + timedelta(days=1)).round() == 0
    assert len(await chain.links.notes()) == 1


async def test_who_takes_a_payload_away_by_hand_is_found_out(chain: Chain) -> None:
    """Though triggers let payloads go: before retention says so, and of what is younger than it said."""
    await chain.append(entry(**PAYLOADS), entry(**PAYLOADS, created_at=NOON + timedelta(days=2)))
    await chain.sql("UPDATE {logs} SET request_payload = NULL WHERE id = 2")
    assert [(one.kind, one.sequence) for one in await chain.findings()] == [("PAYLOAD_MISSING", 2)]
    assert await chain.retention(1, lambda: NOON + timedelta(days=2)).round() == 1
    assert [(one.kind, one.sequence) for one in await chain.findings()] == [("PAYLOAD_MISSING", 2)]


async def test_what_is_not_sealed_yet_keeps_its_payloads(chain: Chain) -> None:
    """A digest of nothing would be sealed otherwise; sealed, they go in the next round."""
    await chain.append(entry(**PAYLOADS))
    await chain.log.append([entry(**PAYLOADS)])
    keeper = chain.retention(1)
    assert await keeper.round() == 1
    assert await payloads(chain) == [(1, False, False), (2, True, True)]
    await chain.seal()
    assert await keeper.round() == 1
    assert await payloads(chain) == [(1, False, False), (2, False, False)]
    assert await chain.findings() == []


async def test_what_was_there_before_the_chain_expires_too(chain: Chain) -> None:
    """Its links seal many rows each; without a link nothing is dropped."""
    await chain.append_found(*(entry(**PAYLOADS) for _ in range(3)))
    assert await chain.retention(1).round() == 0
    await chain.seal()
    assert len(await chain.sql("SELECT 1 FROM {chain}")) == 1
    assert await chain.retention(1).round() == 3
    assert [has for _number, *has in await payloads(chain)] == [[False, False]] * 3
    assert await chain.findings() == []


async def test_many_expire_in_small_steps_beside_each_other(
    chain: Chain, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes at once, while entries are appended: each payload goes once, and the chain verifies."""
    monkeypatch.setattr(retention_store, "MOST_ROWS", 7)
    monkeypatch.setattr(retention, "MOST_DROPPED", 3)
    await chain.append(*(entry(**PAYLOADS, created_at=NOON + timedelta(seconds=number % 5)) for number in range(50)))
    other = await Chain.open(database_url, tmp_path)
    first, second, _ = await asyncio.gather(
        chain.retention(1).round(), other.retention(1).round(), chain.log.append([entry(created_at=utc_now())])
    )
    await other.database.close()
    assert first + second == 50
    assert not any(first or second for _number, first, second in await payloads(chain))
    await chain.seal()
    assert await chain.findings() == []


async def test_a_later_round_begins_behind_what_is_done(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """And now and then at the oldest of all, for entries that tell of long ago."""
    monkeypatch.setattr(retention, "_ROUNDS_TO_ALL", 3)
    keeper = chain.retention(1)
    await chain.append(entry(**PAYLOADS))
    assert await keeper.round() == 1
    await chain.append(entry(**PAYLOADS, created_at=NOON - timedelta(days=1)), entry(**PAYLOADS))
    assert [await keeper.round() for _ in range(3)] == [1, 0, 1]


async def test_for_ever_is_for_ever(chain: Chain) -> None:
    """0 days: nothing is dropped, however old."""
    await chain.append(entry(**PAYLOADS, created_at=datetime(1990, 1, 1)))
    task = asyncio.create_task(chain.retention(0).run())
    await asyncio.wait({task}, timeout=0.2)
    assert not task.done()
    task.cancel()
    assert await payloads(chain) == [(1, True, True)]


async def test_an_account_that_may_not_is_told_how(mariadb_server: MariaDBServer, tmp_path: Path) -> None:
    """Nothing is lost; with the two columns granted it goes on."""
    name = mariadb_server.create_database()
    owner = await Chain.open(mariadb_server.url(name), tmp_path)
    await owner.append(entry(**PAYLOADS))
    user, logs = f"keeper_{name[-6:]}", f"`{name}`.`{PREFIX}integration_query_logs`"
    account = f"'{user}'@'127.0.0.1'"

    def run(*statements: str) -> None:
        with mariadb_server.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    run(f"CREATE USER {account} IDENTIFIED BY 'only-here'", f"GRANT SELECT, INSERT ON `{name}`.* TO {account}")
    url = f"mysql://{user}:only-here@127.0.0.1:{mariadb_server.port}/{name}"
    database = await Database.open(url, table_prefix=PREFIX)
    keeper = Retention(RetentionStore(database), SealStore(database, owner.keys.mac_keys[0]), Lease(database), 1)
    with pytest.raises(PermissionDenied, match=r"GRANT UPDATE \(request_payload, response_payload\)"):
        await keeper.round()
    assert await payloads(owner) == [(1, True, True)]
    run(f"GRANT UPDATE (request_payload, response_payload) ON {logs} TO {account}")
    assert await keeper.round() == 1
    assert await owner.findings() == []
    await database.close()
    await owner.database.close()
    run(f"DROP USER {account}")
    mariadb_server.drop_database(name)


async def test_the_search_reads_an_index(chain: Chain) -> None:
    """From any place on; it sorts nothing."""
    on_mysql = chain.database.dialect == "mysql"
    dialect: Any = mysql.dialect() if on_mysql else sqlite.dialect()
    await chain.log.append([entry() for _ in range(50)])
    for after in (None, AgedEntry(NOON, 3, True)):
        query = RetentionStore(chain.database).aging(utc_now(), after)
        said = str(query.compile(dialect=dialect, compile_kwargs={"literal_binds": True})).replace("%%", "%")
        rows = await chain.sql(f"EXPLAIN {'' if on_mysql else 'QUERY PLAN '}{said}")
        plan = " ".join(str(value) for row in rows for value in row)
        assert "intertie_created_at" in plan, plan
        assert "filesort" not in plan, plan
        assert "B-TREE" not in plan, plan
