"""Every process and the database are killed again and again under load: nothing is lost, nothing is doubled.

The short form kills each of them once, the long one a thousand times in all, in rounds that are each drained and
checked. The seed decides who is killed when, and what is sent.
"""

import asyncio
import random
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest

import fault_checker
import fault_form
import load
from fleet import Fleet
from ledger import Ledger
from suite import PREFIX, Suite
from waiting import eventually

KILLS_A_ROUND = 100


def _last(table: str, key: str = "id") -> str:
    """The condition for the last row of a table; by way of a copy, since MySQL reads no table that it changes."""
    return f"{key} = (SELECT last FROM (SELECT MAX({key}) AS last FROM {table}) AS copy)"


_DELIVERIES, _CACHE = f"{PREFIX}inbound_deliveries", f"{PREFIX}external_data_cache"
_CAMPAIGNS, _EVENTS = f"{PREFIX}campaigns", f"{PREFIX}events"
_SPOILING = (
    ("ingest", f"DELETE FROM {_DELIVERIES} WHERE {_last(_DELIVERIES, 'delivery_id')}"),
    ("ingest", f"UPDATE {_CACHE} SET sync_status = 'pending', available_at = NULL WHERE {_last(_CACHE)}"),
    ("target", f"INSERT INTO {_CAMPAIGNS} (title) SELECT title FROM {_CAMPAIGNS} WHERE {_last(_CAMPAIGNS)}"),
    ("target", f"UPDATE {_EVENTS} SET capacity = capacity + 1 WHERE {_last(_EVENTS)}"),
)


@pytest.mark.timeout(7200)
async def test_nothing_is_lost_or_doubled_however_often_all_are_killed(fleet: Fleet, tmp_path: Path) -> None:
    """Kill -9 of gateway, services, two mappers and the database, under good, bad, repeated and broken off requests."""
    seed = fault_form.seed()
    chance = random.Random(seed)
    left = fault_form.amount("KILLS", 8, 1000)
    killed: Counter[str] = Counter()
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        number = 0
        while left > 0:
            number += 1
            traffic = load.Traffic(random.Random(chance.random()), prefix=f"r{number}")
            client = load.Client(fleet.suite.port, traffic, ledger, rate=fault_form.either(60.0, 100.0))
            started = time.monotonic()
            kills = await _round(fleet, client, chance, min(left, KILLS_A_ROUND))
            killed += kills
            left -= kills.total()
            await client.send_left()
            await fault_checker.drained(fleet.suite, timeout=180)
            findings = await asyncio.to_thread(fault_checker.check, fleet.suite, ledger)
            fault_form.publish(
                f"kill loop, {fleet.store}",
                seed=seed,
                round=number,
                kills=kills.total(),
                of=dict(killed),
                attempts=len(ledger),
                statuses=dict(client.statuses),
                seconds=round(time.monotonic() - started),
                **asdict(findings),
            )
            assert not findings.faults
            assert not client.wrong
            assert client.statuses[202]
        verified = await eventually(lambda: _verified(fleet.suite), timeout=60)
        assert "intact" in verified
        _spoil(fleet.suite)
        assert len(fault_checker.check(fleet.suite, ledger).faults) >= len(_SPOILING), "the checker finds what is wrong"


async def _round(fleet: Fleet, client: load.Client, chance: random.Random, kills: int) -> Counter[str]:
    """Send and kill until so many have been killed; gives how often each was."""
    sending = asyncio.create_task(client.run())
    killed: Counter[str] = Counter()
    deck: list[str] = []
    try:
        while killed.total() < kills:
            await asyncio.sleep(chance.uniform(0.3, 2.0))  # the interval is what is tried, nothing is waited for
            # Dealt like cards, so that a short run kills each as often as a long one.
            deck = deck or chance.sample(fleet.victims, len(fleet.victims))
            if await fleet.kill(victim := deck.pop()):
                killed[victim] += 1
    finally:
        client.stop()
        await sending
    return killed


def _spoil(suite: Suite) -> None:
    """Bring about one fault of each kind, so that a checker which finds none is found out."""
    for owner, statement in _SPOILING:
        suite.sql(owner, statement)


def _verified(suite: Suite) -> str:
    """What `audit verify` says; empty while audit is not there."""
    done = suite.cli("audit", "verify", check=False)
    return done.stdout if done.returncode == 0 else ""
