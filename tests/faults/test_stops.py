"""Processes that are told to stop: they finish what they have, exit with 0, and a rolling restart loses nothing."""

import asyncio
import os
import random
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import fault_checker
import fault_form
import load
import victims
from fleet import VICTIMS, Fleet
from ledger import Ledger
from waiting import eventually

DRAIN_SECONDS = 20


@pytest.fixture(scope="module", params=fault_form.stores("mariadb"))
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One fleet a store for all tests of this file: each leaves it as well as it was."""
    fleet = Fleet.launch(request.param, tmp_path_factory.mktemp(f"stops-{request.param}"))
    yield fleet
    fleet.stop()


@pytest.mark.timeout(3600)
async def test_a_rolling_restart_of_every_process_loses_and_doubles_nothing(fleet: Fleet, tmp_path: Path) -> None:
    """SIGTERM of one process after the other under load: each drains in time and exits with 0."""
    seed = fault_form.seed()
    order = random.Random(seed)
    stops, longest, most = 0, 0.0, fault_form.amount("STOPS", len(VICTIMS), 102)
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        client = load.Client(fleet.suite.port, load.Traffic(order, prefix="rolling"), ledger, rate=80.0)
        sending = asyncio.create_task(client.run())
        try:
            while stops < most:
                for victim in order.sample(VICTIMS, len(VICTIMS)):
                    longest = max(longest, await _stopped(fleet, victim))
                    stops += 1
                    acknowledged = client.statuses[202]
                    # The next one only when this one has been replaced, as in a rolling restart.
                    await eventually(lambda victim=victim: _pid(fleet, victim), timeout=30)
                    await eventually(lambda least=acknowledged: client.statuses[202] > least + 20, timeout=60)
        finally:
            client.stop()
            await sending
        await client.send_left()
        await fault_checker.drained(fleet.suite)
        findings = await asyncio.to_thread(fault_checker.check, fleet.suite, ledger)
        fault_form.publish(
            f"rolling restarts, {fleet.store}",
            seed=seed,
            stops=stops,
            longest_seconds=round(longest, 1),
            statuses=dict(client.statuses),
            lost=findings.lost,
            doubled=findings.doubled,
            acknowledged=findings.acknowledged,
        )
    assert not findings.faults
    assert not client.wrong
    ended = re.findall(r"(\w+) (ended by itself|ended with code \d+|was killed \(\w+\))", fleet.suite.log.read_text())
    assert len(ended) >= stops
    assert {how for _, how in ended} == {"ended by itself"}, "each exited with 0"


async def test_a_second_signal_changes_nothing(fleet: Fleet) -> None:
    """Who is impatient and says SIGTERM twice gets the same stop."""
    before = _pid(fleet, "ingest")
    killed = fleet.suite.log.read_text().count("was killed")
    for _ in range(3):
        os.kill(before, signal.SIGTERM)
    await eventually(lambda: not Path(f"/proc/{before}").exists(), timeout=DRAIN_SECONDS)
    await eventually(lambda: _pid(fleet, "ingest"), timeout=30)
    assert fleet.suite.log.read_text().count("was killed") == killed


async def test_a_stop_does_not_wait_for_a_database_that_is_away(fleet: Fleet) -> None:
    """SIGTERM of all while the server hangs: each ends in time, and what was promised is there when it answers."""
    if fleet.server is None:
        pytest.skip("an embedded database is never away")
    os.kill(fleet.server.pid, signal.SIGSTOP)
    try:
        await asyncio.gather(*(_stopped(fleet, victim) for victim in ("ingest", "mapper", "audit", "registry")))
    finally:
        os.kill(fleet.server.pid, signal.SIGCONT)
    record = {"entity": "after", "version": 1, "title": "after", "date": "2026-03-01"}
    await eventually(lambda: fleet.suite.webhook(load.SYSTEM, record).status_code == 202, timeout=30)


async def _stopped(fleet: Fleet, victim: str) -> float:
    """Tell a process to stop; gives how many seconds it took."""
    pid = await eventually(lambda: _pid(fleet, victim), timeout=30)
    started = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    # A little more than it may take, for a machine that is busy.
    await eventually(lambda: not Path(f"/proc/{pid}").exists(), timeout=DRAIN_SECONDS + 5)
    return time.monotonic() - started


def _pid(fleet: Fleet, victim: str) -> int:
    """The process that serves now; 0 while there is none."""
    try:
        return victims.find_process(fleet.suite, victim)
    except LookupError:
        return 0
