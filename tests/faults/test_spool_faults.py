"""A database that dies under load, with a spool: senders are accepted meanwhile, and all of it is stored, once."""

import asyncio
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import fault_checker
import fault_form
import load
from fleet import Fleet
from ledger import Ledger
from waiting import eventually

ACCEPTED = 60
"""Deliveries that must be accepted while the database is away, before it comes back."""


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A fleet on MariaDB whose ingest has a spool."""
    fleet = Fleet.launch("mariadb", tmp_path, {"INTERTIE_SPOOL_DIR": str(tmp_path / "spool")})
    yield fleet
    fleet.stop()


@pytest.mark.timeout(600)
async def test_what_is_accepted_without_a_database_is_stored_once(fleet: Fleet, tmp_path: Path) -> None:
    """Kill -9 of the server, twice: once it comes back under load, once the suite is stopped and started in between."""
    seed = fault_form.seed()
    # A key that is used twice cannot be told while its first use is out of reach; that is tried on the stores.
    shape = load.Shape(bad=0, hang_ups=0)
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        client = load.Client(fleet.suite.port, load.Traffic(random.Random(seed), shape), ledger, rate=60)
        sending = asyncio.create_task(client.run())
        await _go_on(client)
        assert fleet.server is not None
        fleet.server.kill()
        await _go_on(client)
        fleet.server.start()
        await eventually(lambda: _times_drained(fleet) == 1, timeout=120)
        await _go_on(client)
        fleet.server.kill()
        await _go_on(client)
        client.stop()
        await sending
        process = fleet.suite._process
        assert process is not None
        process.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(process.wait, 60) == 0, "a stop while the database is away is a good one"
        fleet.server.start()
        await eventually(lambda: _answers(fleet), timeout=60)
        fleet.suite.stop()
        fleet.suite.start()
        await eventually(lambda: _times_drained(fleet) == 2, timeout=120)
        await client.send_left()
        await fault_checker.drained(fleet.suite, timeout=180)
        findings = await asyncio.to_thread(fault_checker.check, fleet.suite, ledger)
        fault_form.publish(
            "spool, mariadb",
            seed=seed,
            statuses=dict(client.statuses),
            acknowledged=findings.acknowledged,
            lost=findings.lost,
            doubled=findings.doubled,
        )
    assert not client.wrong
    # Of a delivery that got no answer and came again: the first one was stored, the second one spooled meanwhile.
    assert not [fault for fault in findings.faults if not fault.startswith("answered with another id")]


async def _go_on(client: load.Client) -> None:
    """Wait until so many more have been accepted."""
    before = client.statuses[202]
    await eventually(lambda: client.statuses[202] >= before + ACCEPTED, timeout=120)


def _times_drained(fleet: Fleet) -> int:
    return fleet.suite.log.read_text(errors="replace").count("the spool is drained")


def _answers(fleet: Fleet) -> bool:
    try:
        return bool(fleet.suite.sql("ingest", "SELECT 1 AS one"))
    except Exception as error:
        raise AssertionError from error
