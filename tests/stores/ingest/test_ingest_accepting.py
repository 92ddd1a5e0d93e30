"""The acceptor on both stores: one result each whatever happens to the group, limits, and a store that is away."""

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from ingest_samples import mapping, nobody, raw, system
from intertie_chassis.database import Database
from intertie_chassis.errors import Internal, Unavailable
from intertie_chassis.outbox import Outbox
from intertie_ingest.accept import Acceptor, Limits
from intertie_ingest.audit_convert import entries_of_group, entries_of_rejections
from intertie_ingest.delivery import Admitted, Desk
from intertie_ingest.errors import Overloaded
from intertie_ingest.model import Accepted, Delivery, Greeting, RawDelivery
from intertie_ingest.rejection_store import RejectionStore
from intertie_ingest.rejections import Rejections
from intertie_ingest.snapshot import Change, Snapshot
from intertie_ingest.store import Store
from intertie_ingest.tables import Tables
from intertie_ingest.wakeup import Wakeup
from waiting import eventually

REFUSING_TRIGGERS = {
    "sqlite": "CREATE TRIGGER refuse BEFORE INSERT ON {prefix}inbound_deliveries WHEN NEW.source = '192.0.2.66' "
    "BEGIN SELECT RAISE(ABORT, 'refused'); END",
    "mysql": "CREATE TRIGGER refuse BEFORE INSERT ON {prefix}inbound_deliveries FOR EACH ROW "
    "IF NEW.source = '192.0.2.66' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'refused'; END IF",
}


def acceptor(database: Database, prefix: str = "t_", **limits: int) -> Acceptor:
    tables = Tables.named(prefix)
    outbox, snapshot = Outbox(database, tables.outbox), Snapshot()
    snapshot.apply(Change((system(mapping()),), is_snapshot=True))
    rejections = Rejections(RejectionStore(database, tables, outbox), outbox, entries_of_rejections, timedelta(days=1))
    store = Store(database, tables, outbox)
    return Acceptor(store, snapshot, rejections, outbox, Wakeup(), nobody, entries_of_group, Limits(**limits))


async def test_what_the_database_refuses_harms_nobody_else(ingest: Any) -> None:
    """The group is halved until the bad ones stand alone; all others are committed."""
    await ingest.sql(REFUSING_TRIGGERS[ingest.database.dialect])
    bad = {7, 31}
    raws = [raw({"id": number}, peer="192.0.2.66" if number in bad else "192.0.2.1") for number in range(50)]
    results = await acceptor(ingest.database).accept(raws)
    assert {number for number, result in enumerate(results) if isinstance(result, Internal)} == bad
    assert sum(isinstance(result, Accepted) for result in results) == 48
    assert await ingest.count("inbound_deliveries") == 48
    assert await ingest.count("external_data_cache") == 48


async def test_a_fault_of_ours_is_one_deliverys_alone(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever nobody thought of: its sender gets an error of ours, the others are committed."""

    def take_or_fail(self: Desk, delivery: RawDelivery) -> Admitted:
        if delivery.peer == "192.0.2.66":
            raise ArithmeticError("nobody thought of this")
        return take(self, delivery)

    take = Desk.admitted
    monkeypatch.setattr(Desk, "admitted", take_or_fail)
    peers = ["192.0.2.1", "192.0.2.66", "192.0.2.1"]
    results = await acceptor(ingest.database).accept([raw({"id": n}, peer=peer) for n, peer in enumerate(peers)])
    assert [type(result) for result in results] == [Accepted, Internal, Accepted]
    assert await ingest.count("inbound_deliveries") == 2


async def test_what_takes_long_is_taken_in_a_thread(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large bodies, and systems whose filters are heavy, keep no other sender waiting."""
    threads: list[bool] = []

    def take_slowly(self: Desk, delivery: Admitted) -> Delivery | Greeting:
        threads.append(threading.current_thread() is threading.main_thread())
        until = time.thread_time() + 0.11
        while b"heavy" in delivery.raw.body and time.thread_time() < until:
            sum(range(1000))
        return take(self, delivery)

    take = Desk.routed
    monkeypatch.setattr(Desk, "routed", take_slowly)
    accepting = acceptor(ingest.database)
    await accepting.accept([raw({"id": 1})])
    await accepting.accept([raw({"id": 2, "filler": "x" * 200_000})])
    await accepting.accept([raw({"id": 3, "heavy": True}), raw({"id": 4})])
    assert threads == [True, False, True, False]
    assert await ingest.count("inbound_deliveries") == 4


async def test_a_group_of_many_bytes_is_committed_in_parts(ingest: Any) -> None:
    """So that no statement meets the server's max_allowed_packet; the order of the results stays."""
    raws = [raw({"id": number, "filler": "x" * 1_000_000}) for number in range(12)]
    results = await acceptor(ingest.database).accept(raws)
    assert [result.external_ids for result in results if isinstance(result, Accepted)] == [
        (str(number),) for number in range(12)
    ]
    assert await ingest.count("ingest_outbox") > 1


async def test_beyond_the_limits_all_are_told_to_come_back(ingest: Any) -> None:
    """One group commits, one waits, the third is refused at once; the first two are committed in the end."""
    accepting = acceptor(ingest.database, groups=1, waiting=1)
    is_open, may_end = asyncio.Event(), asyncio.Event()

    async def hold(connection: Any) -> None:
        await connection.execute(
            ingest.tables.cache.insert(),
            {"system_id": 1, "mapping_id": 1, "external_id": "12345", "data_json": "{}"},
        )
        is_open.set()
        await may_end.wait()

    holding = asyncio.create_task(ingest.database.transaction(hold))
    await is_open.wait()
    groups = [asyncio.create_task(accepting.accept([raw()])) for _ in range(2)]
    await eventually(lambda: accepting._commits._waiting == 1)
    (refused,) = await accepting.accept([raw()])
    assert isinstance(refused, Overloaded)
    assert refused.retry_after
    may_end.set()
    await holding
    results = [result for group in await asyncio.gather(*groups) for result in group]
    assert [isinstance(result, Accepted) for result in results] == [True, True]


@pytest.mark.parametrize("count", [1, 3])
async def test_a_store_that_is_away_is_said_to_every_sender(count: int) -> None:
    """503 with a time to come back, no halving; what is refused for itself is still told so."""
    database = await Database.open("mysql://nobody:nothing@127.0.0.1:1/none")
    results = await acceptor(database).accept([*[raw({"id": n}) for n in range(count)], raw(b"no json")])
    await database.close()
    away = results[:count]
    assert all(isinstance(result, Unavailable) and result.reason == "STORE_UNAVAILABLE" for result in away)
    assert all(isinstance(result, Unavailable) and result.retry_after for result in away)
    assert not isinstance(results[-1], Accepted | Unavailable)


async def test_a_commit_that_hangs_is_answered_within_its_own_time(ingest: Any) -> None:
    """Senders wait, so a group has less time than other transactions; nothing of it is stored."""
    accepting = acceptor(ingest.database)
    accepting._commits._store._commit_seconds = 0.5
    is_open, may_end = asyncio.Event(), asyncio.Event()

    async def hold(connection: Any) -> None:
        await connection.execute(
            ingest.tables.cache.insert(),
            {"system_id": 1, "mapping_id": 1, "external_id": "12345", "data_json": "{}"},
        )
        is_open.set()
        await may_end.wait()

    holding = asyncio.create_task(ingest.database.transaction(hold, timeout=60))
    await is_open.wait()
    (result,) = await accepting.accept([raw()])
    assert not holding.done()
    assert isinstance(result, Unavailable)
    assert (result.reason, result.retry_after) == ("STORE_UNAVAILABLE", 1)
    may_end.set()
    await holding
    assert await ingest.count("inbound_deliveries") == 0
    assert isinstance((await accepting.accept([raw()]))[0], Accepted)


class TestWithoutTables:
    """A MySQL database that nobody has migrated."""

    async def test_missing_tables_are_no_fault_of_the_sender(self, mariadb_url: str) -> None:
        """503 until an operator migrates, and the text says how."""
        database = await Database.open(mariadb_url)
        (result,) = await acceptor(database).accept([raw()])
        await database.close()
        assert isinstance(result, Unavailable)
        assert "intertie db migrate" in result.message


async def test_a_commit_rings_for_those_who_wait(ingest: Any, make_ingest: Callable[..., Any]) -> None:
    """Only when there is something for mapper."""
    accepting = acceptor(ingest.database)
    rung = accepting._commits._wakeup.listen()
    await accepting.accept([raw(b"no json")])
    assert not rung.is_set()
    await accepting.accept([raw()])
    assert rung.is_set()
    rung = accepting._commits._wakeup.listen()
    await accepting.accept([raw()])
    assert not rung.is_set()
