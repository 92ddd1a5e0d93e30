"""One process at a time is brought to this version and back, under load, on tables newer than either version."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

import fault_checker
import fault_form
import load
from ledger import Ledger
from mariadb import MariaDBServer
from rolling import PROCESSES, Rolling, Version
from waiting import eventually


@pytest.fixture
def rolling(previous: Path, tmp_path: Path, mariadb_server: MariaDBServer) -> Iterator[Rolling]:
    """A suite of which nothing runs yet."""
    fault_form.require_long()
    suite = Rolling(tmp_path / "suite", mariadb_server.url(mariadb_server.create_database()), previous)
    yield suite
    suite.stop()


@pytest.mark.timeout(400)
async def test_processes_are_brought_forth_and_back_one_by_one(rolling: Rolling, tmp_path: Path) -> None:
    """With each pair of neighbours in both mixtures deliveries are taken, land and are logged; none is lost or doubled.

    Of two processes the one that comes first in the order is the newer of the two for a while on the way forth, and the
    older of the two on the way back: so the two ways have every pair in both mixtures, whatever order a rollout takes.
    """
    rolling.migrate_beyond()
    for name in PROCESSES:
        await rolling.begin(name, "old")
    load.configure(rolling)
    traffic = load.Traffic(random.Random(fault_form.seed()))
    steps: list[tuple[str, Version]] = [(name, version) for version in ("new", "old") for name in PROCESSES]
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        client = load.Client(rolling.port, traffic, ledger, rate=20.0)
        sending = asyncio.create_task(client.run())
        await _goes_on(rolling, client)
        for name, version in steps:
            await rolling.replace(name, version)
            assert rolling.loaded_from(name) == version
            await _goes_on(rolling, client)
        client.stop()
        await sending
        await client.send_left()
        await fault_checker.drained(rolling)
        findings = await asyncio.to_thread(fault_checker.check, rolling, ledger)
    assert not findings.faults
    assert not client.wrong
    assert "intact" in rolling.cli("audit", "verify").stdout


async def _goes_on(rolling: Rolling, client: load.Client) -> None:
    """Wait for deliveries that are accepted, rows and entries of the log that come from now on."""
    taken, rows, entries = client.statuses[202], rolling.count("campaigns"), rolling.count("integration_query_logs")
    await eventually(lambda: client.statuses[202] > taken + 10, timeout=60)
    await eventually(lambda: rolling.count("campaigns") > rows + 5, timeout=60, every=0.2)
    await eventually(lambda: rolling.count("integration_query_logs") > entries + 5, timeout=60, every=0.2)
