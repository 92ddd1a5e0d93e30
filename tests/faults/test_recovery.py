"""How long it takes until all is well again: after a dead mapper, a poisonous record, a database that was away.

In the long form alone: it measures, and what it measures is tried elsewhere.
"""

import asyncio
import os
import random
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles

import pymysql
import pytest

import fault_checker
import fault_form
import load
from fleet import Fleet
from ledger import Ledger
from suite import FILES, PREFIX, mysql
from waiting import eventually

CALM = load.Shape(bad=0, hang_ups=0, misfits=0, repeats=0)
POISON = {"entity": "poison", "version": 1, "title": "poison", "date": "2026-03-01"}
_LEASED = f"SELECT id FROM {PREFIX}external_data_cache WHERE sync_status = 'pending' AND lease_token IS NOT NULL"


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One fleet a store for all tests of this file, with the leases that are the default."""
    fault_form.require_long()
    leases = {"INTERTIE_MAPPER_LEASE_SECONDS": "60"}
    fleet = Fleet.launch(request.param, tmp_path_factory.mktemp(f"recovery-{request.param}"), leases)
    yield fleet
    fleet.stop()


@pytest.mark.timeout(300)
async def test_a_dead_mappers_records_are_taken_up_again(fleet: Fleet, tmp_path: Path) -> None:
    """Both mappers are killed while they hold leases: what they held lands when the leases have ended."""
    with Ledger(tmp_path / "ledger.jsonl") as ledger, _held_target(fleet):
        client = load.Client(
            fleet.suite.port, load.Traffic(random.Random(1), CALM, "orphan"), ledger, rate=50.0, connections=4
        )
        sending = asyncio.create_task(client.run())
        await eventually(lambda: client.statuses[202] >= 20 and fleet.suite.sql("ingest", _LEASED), timeout=30)
        client.stop()
        await sending
        killed = time.monotonic()
        await _kill_mappers(fleet)

    async def landed() -> bool:
        rows = await asyncio.to_thread(fleet.suite.rows, "campaigns", "title LIKE 'orphan-%%'")
        return len(rows) == client.statuses[202]

    await eventually(landed, timeout=90, every=0.1)
    fault_form.publish(
        f"dead mapper, {fleet.store}",
        lease_seconds=int(fleet.suite.env["INTERTIE_MAPPER_LEASE_SECONDS"]),
        records=client.statuses[202],
        seconds=round(time.monotonic() - killed, 1),
    )


@pytest.mark.timeout(900)
async def test_a_poisonous_record_is_set_aside_and_the_others_go_on(fleet: Fleet, tmp_path: Path) -> None:
    """Every mapper that holds the record dies, as of too little memory, until it is set aside as `crashed`."""
    if fleet.server is None:
        pytest.skip("what holds up one table and no other takes a server")
    kills, state = 0, ""
    suite = fleet.suite
    where = "external_id LIKE 'poison%%' AND mapping_id = (SELECT MAX(id) FROM " + PREFIX + "external_data_mappings)"
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        # A table of its own: who locks one that refers to others, locks those, too.
        suite.sql("target", f"CREATE TABLE {PREFIX}reports (id INT AUTO_INCREMENT PRIMARY KEY, title VARCHAR(200))")
        suite.add_mapping(load.SYSTEM, "poison", _POISONED, "reports")
        client = load.Client(suite.port, load.Traffic(random.Random(1), CALM, "beside"), ledger, rate=30.0)
        sending = asyncio.create_task(client.run())
        started = time.monotonic()
        with _locked_table(fleet, "reports"):
            answer = await asyncio.to_thread(suite.webhook, load.SYSTEM, POISON)
            assert answer.status_code == 202
            while state != "error":
                rows = await asyncio.to_thread(suite.rows, "external_data_cache", where, (), "ingest")
                state = rows[0]["sync_status"] if rows else ""
                if rows and rows[0]["lease_token"] is not None and state == "pending":
                    await _kill_mappers(fleet)
                    kills += 1
                    token = rows[0]["lease_token"]

                    async def is_given_up(token: str = token) -> bool:
                        (row,) = await asyncio.to_thread(suite.rows, "external_data_cache", where, (), "ingest")
                        return bool(row["lease_token"] != token)

                    await eventually(is_given_up, timeout=120, every=0.05)
                await asyncio.sleep(0.05)
        seconds = time.monotonic() - started
        client.stop()
        await sending
    (row,) = suite.rows("external_data_cache", where, (), "ingest")
    assert row["error_reason"] == "crashed"
    await fault_checker.drained(suite)
    ages = _ages(fleet, "beside")
    assert len(ages) == client.statuses[202]
    fault_form.publish(
        f"poison, {fleet.store}",
        kills=kills,
        lease_seconds=int(suite.env["INTERTIE_MAPPER_LEASE_SECONDS"]),
        seconds=round(seconds, 1),
        others=len(ages),
        **_spread(ages),
    )


@pytest.mark.parametrize("fault", ["killed", "hanging"])
@pytest.mark.timeout(300)
async def test_senders_are_told_at_once_while_the_database_is_away(fleet: Fleet, tmp_path: Path, fault: str) -> None:
    """503 while it is away, 202 again soon after it is back, with nobody having restarted anything."""
    server = fleet.server
    if server is None:
        pytest.skip("an embedded database is never away")
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        client = load.Client(
            fleet.suite.port, load.Traffic(random.Random(1), CALM, f"outage-{fault}"), ledger, rate=100.0
        )
        sending = asyncio.create_task(client.run())
        await eventually(lambda: client.statuses[202] > 200, timeout=30)
        gone = time.time()
        if fault == "killed":
            server.kill()
        else:
            os.kill(server.pid, signal.SIGSTOP)
        await asyncio.sleep(15)  # so long it is away
        if fault == "killed":
            server.start()
            await eventually(lambda: _answers(fleet), timeout=60)
        else:
            os.kill(server.pid, signal.SIGCONT)
        back, acknowledged = time.time(), client.statuses[202]
        await eventually(lambda: client.statuses[202] > acknowledged, timeout=30)
        await eventually(lambda: client.statuses[202] > acknowledged + 200, timeout=30)
        client.stop()
        await sending
        await client.send_left()
        await fault_checker.drained(fleet.suite)
        first = min(one.sent_at + one.seconds for one in ledger if one.outcome == "ok" and one.sent_at >= gone + 1)
        away = [one for one in ledger if one.sent_at >= gone and one.status == 503]
        late = [one.seconds for one in away if one.sent_at > gone + 5]
        fault_form.publish(
            f"database {fault}, {fleet.store}",
            refused=len(away),
            first_refusals=_spread([one.seconds for one in away if one.sent_at <= gone + 5]),
            later_refusals=_spread(late),
            back_after=round(first - back, 2),
            statuses=dict(client.statuses),
        )
    assert not client.wrong


@pytest.mark.timeout(300)
async def test_answers_are_quick_while_all_is_well(fleet: Fleet, tmp_path: Path) -> None:
    """Two hundred a second for a minute: how long senders wait."""
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        client = load.Client(
            fleet.suite.port, load.Traffic(random.Random(1), CALM, "calm"), ledger, rate=200.0, connections=16
        )
        sending = asyncio.create_task(client.run())
        await asyncio.sleep(60)  # it is the load that is measured
        client.stop()
        await sending
        fault_form.publish(
            f"calm, {fleet.store}",
            statuses=dict(client.statuses),
            **_spread([one.seconds for one in ledger if one.outcome == "ok"]),
        )
    assert set(client.statuses) == {202}


_POISONED = {
    "field_mappings": {"title": "title"},
    "external_id_field": "entity",
    "filter": "entity = 'poison'",
}


@contextmanager
def _held_target(fleet: Fleet) -> Iterator[None]:
    """Nobody writes to the target meanwhile: who tries waits, and holds what it has leased."""
    if fleet.server is not None:
        with _locked_table(fleet, "campaigns"):
            yield
        return
    connection = sqlite3.connect(fleet.suite.data / FILES["target"], isolation_level=None, timeout=30)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.rollback()
        connection.close()


@contextmanager
def _locked_table(fleet: Fleet, name: str) -> Iterator[None]:
    assert fleet.suite.database_url
    with mysql(fleet.suite.database_url) as connection, connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLES {PREFIX}{name} WRITE")
        yield
        cursor.execute("UNLOCK TABLES")


async def _kill_mappers(fleet: Fleet) -> None:
    await asyncio.gather(fleet.kill("mapper"), fleet.kill("second mapper"))


def _answers(fleet: Fleet) -> bool:
    assert fleet.server is not None
    try:
        fleet.server.connect().close()
    except pymysql.err.OperationalError:
        return False
    return True


def _ages(fleet: Fleet, prefix: str) -> list[float]:
    """Seconds from the receipt of each delivery to its row."""
    joined = f"{PREFIX}external_record_links AS l JOIN {PREFIX}inbound_deliveries AS d ON d.delivery_id = l.delivery_id"
    rows = fleet.suite.sql(
        "target",
        f"SELECT l.created_at AS landed, d.received_at AS received FROM {joined} "
        f"JOIN {PREFIX}external_data_mappings AS m ON m.id = l.mapping_id "
        "WHERE m.mapping_name = %s AND d.delivery_key LIKE %s",
        [load.COLLECT, f"{prefix}-%"],
    )
    return [(row["landed"] - row["received"]).total_seconds() for row in rows]


def _spread(seconds: list[float]) -> dict[str, float]:
    """Median, 99th percentile and longest, in milliseconds."""
    if len(seconds) < 2:
        return {}
    cuts = quantiles(seconds, n=100)
    return {
        "p50_ms": round(cuts[49] * 1000),
        "p99_ms": round(cuts[98] * 1000),
        "longest_ms": round(max(seconds) * 1000),
    }
