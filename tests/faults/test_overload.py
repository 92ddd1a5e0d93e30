"""More than can be taken: what is beyond the bounds is refused, with the time to come again; nothing else changes."""

import asyncio
import random
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

RATED = 100.0
"""Requests a second that this suite has no trouble with on any machine that tests run on."""

BOUNDS = {
    "INTERTIE_GATEWAY_WAITING_DELIVERIES": "64",
    "INTERTIE_INGEST_WAITING_GROUPS": "4",  # as many as a gateway has in flight
    "INTERTIE_INGEST_COMMIT_GROUPS": "1",
}
MOST_GROWTH_MEBIBYTES = 128


@pytest.fixture(params=fault_form.stores("sqlite"))
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    """A fleet with bounds that a client of Python's can meet."""
    fleet = Fleet.launch(request.param, tmp_path, BOUNDS)
    yield fleet
    fleet.stop()


@pytest.mark.timeout(600)
async def test_what_is_too_much_is_refused_and_soon_forgotten(fleet: Fleet, tmp_path: Path) -> None:
    """A flood over many connections: 429 and 503 with Retry-After, memory within bounds, then all is as before."""
    seed = fault_form.seed()
    chance = random.Random(seed)
    calm = load.Shape(bad=0, hang_ups=0)
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        await _send(fleet, ledger, load.Traffic(chance, calm, "before"), RATED, 8, fault_form.either(2, 20))
        before = _memory(fleet)
        flood = load.Traffic(chance, load.Shape(), "flood")
        flooding = await _send(fleet, ledger, flood, 100_000.0, 400, fault_form.either(4, 60))
        during = _memory(fleet)
        refused = flooding.statuses[429] + flooding.statuses[503]
        assert refused, "the bounds were met"
        assert flooding.statuses[202], "and what is within them is taken"

        after = load.Client(fleet.suite.port, load.Traffic(chance, calm, "after"), ledger, rate=RATED)
        sending = asyncio.create_task(after.run())
        # Full rate within ten seconds: so many in a row, none of them refused.
        await eventually(lambda: after.statuses[202] > RATED, timeout=10)
        refused_after = after.statuses[429] + after.statuses[503]
        await eventually(lambda: after.statuses[202] > 3 * RATED, timeout=20)
        assert after.statuses[429] + after.statuses[503] == refused_after
        after.stop()
        await sending

        await flooding.send_left()
        await fault_checker.drained(fleet.suite, timeout=180)
        findings = await asyncio.to_thread(fault_checker.check, fleet.suite, ledger)
        growth = {name: during[name] - before[name] for name in before}
        fault_form.publish(
            f"overload, {fleet.store}",
            seed=seed,
            statuses=dict(flooding.statuses),
            refused_after=refused_after,
            mebibytes=during,
            growth=growth,
            lost=findings.lost,
            doubled=findings.doubled,
            acknowledged=findings.acknowledged,
        )
    assert not findings.faults
    assert not flooding.wrong + after.wrong
    assert all(grown < MOST_GROWTH_MEBIBYTES for grown in growth.values()), growth


async def _send(
    fleet: Fleet, ledger: Ledger, traffic: load.Traffic, rate: float, connections: int, seconds: float
) -> load.Client:
    """Send for so long; gives the client, for what it was answered."""
    client = load.Client(fleet.suite.port, traffic, ledger, rate=rate, connections=connections)
    sending = asyncio.create_task(client.run())
    await asyncio.sleep(seconds)  # a flood is one for as long as it lasts
    client.stop()
    await sending
    assert not client.wrong
    return client


def _memory(fleet: Fleet) -> dict[str, int]:
    """By process the memory that it has, in MiB."""
    found = {}
    for victim in VICTIMS:
        status = Path(f"/proc/{victims.find_process(fleet.suite, victim)}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
        found[victim] = int(line.split()[1]) // 1024
    return found
