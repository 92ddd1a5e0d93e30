"""The version before and this one on one database, both under load, and then the old one goes."""

import asyncio
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import fault_checker
import fault_form
import load
import previous_version
from ledger import Ledger
from mariadb import MariaDBServer
from suite import Suite
from waiting import eventually


@pytest.fixture
def old(previous: Path, tmp_path: Path, mariadb_server: MariaDBServer) -> Iterator[Suite]:
    """The version before, running. (An embedded database is one suite's alone.)"""
    url = mariadb_server.url(mariadb_server.create_database())
    path = previous_version.python_path(previous)
    suite = Suite(tmp_path / "old", url, {"INTERTIE_MAPPER_LEASE_SECONDS": "10", "PYTHONPATH": path})
    yield suite.start()
    suite.stop()


@pytest.fixture
def new(old: Suite, tmp_path: Path) -> Iterator[Suite]:
    """This version on the same database, with the same keys; not yet started."""
    suite = Suite(tmp_path / "new", old.database_url, {"INTERTIE_MAPPER_LEASE_SECONDS": "10"})
    shutil.copytree(old.data, suite.data)
    yield suite
    suite.stop()


@pytest.mark.timeout(300)
async def test_two_versions_share_a_database_and_one_takes_over(old: Suite, new: Suite, tmp_path: Path) -> None:
    """Both take deliveries of the same entities, lease from one queue and seal one log; none is lost or doubled."""
    assert "previous" in _loaded_from(old)
    load.configure(old)
    traffic = load.Traffic(random.Random(fault_form.seed()))
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        first = load.Client(old.port, traffic, ledger, rate=40.0)
        sending = asyncio.create_task(first.run())
        await eventually(lambda: first.statuses[202] > 20, timeout=30)
        await asyncio.to_thread(new.start)  # migrates under the load
        second = load.Client(new.port, traffic, ledger, rate=40.0)
        taking_over = asyncio.create_task(second.run())
        both = first.statuses[202]
        await eventually(lambda: second.statuses[202] > 100 and first.statuses[202] > both + 100, timeout=60)
        first.stop()
        await sending
        assert await asyncio.to_thread(old.stop) == 0
        alone = second.statuses[202]
        await eventually(lambda: second.statuses[202] > alone + 50, timeout=60)
        second.stop()
        await taking_over
        await second.send_left()
        await fault_checker.drained(new)
        findings = await asyncio.to_thread(fault_checker.check, new, ledger)
    assert not findings.faults
    assert not first.wrong + second.wrong
    assert "intact" in new.cli("audit", "verify").stdout


def _loaded_from(suite: Suite) -> str:
    """Where the suite's code is loaded from."""
    command = [suite.command()[0], "-c", "import intertie_ingest; print(intertie_ingest.__file__)"]
    done = subprocess.run(command, env={**os.environ, **suite.env}, capture_output=True, text=True, check=True)
    return done.stdout
