"""The power fails under load: what was acknowledged is there when the machine comes back, once, and it ends.

Each cut is a copy of the disk that the suite and its database are on (`power_cuts`), on which another suite starts and
is held against the ledger of the clients. Where commits are not synced the same harness must find losses.
"""

import asyncio
import platform
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

import fault_checker
import fault_form
import load
import requirement
import weak_sqlite
from fault_checker import Findings
from ledger import Ledger
from loop_disk import Disks
from power_cuts import Installation, Outage

# Seconds of a lease prove as much as a minute.
ENV = {"INTERTIE_MAPPER_LEASE_SECONDS": "10"}
RATE = 80.0
MOST_CUTS_OF_A_START = 12


@pytest.fixture
def disks() -> Iterator[Disks]:
    """Disks of the test's own."""
    opened = Disks.open()
    if opened is None:
        requirement.missing("loop devices", "run as root, on Linux with e2fsprogs and util-linux")
    with opened:
        yield opened


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("store", fault_form.stores("sqlite"))
async def test_a_power_cut_loses_and_doubles_nothing(store: str, disks: Disks, tmp_path: Path) -> None:
    """One cut, or as many as asked for, of one suite under load.

    On MariaDB then one more, with `innodb_flush_log_at_trx_commit=2`: it must find losses.
    """
    seed = fault_form.seed()
    chance = random.Random(seed)
    cuts = fault_form.amount("CUTS", 1, 50)
    with _running(disks, store) as live, Ledger(tmp_path / "ledger.jsonl") as ledger:
        for number in range(1, cuts + 1):
            began = time.monotonic()
            outage = await _cut_under_load(disks, live, ledger, chance, f"cut-{number}")
            findings, said = await _restarted(outage, ledger)
            _publish("power cut", live, seed, number, began, findings)
            assert not findings.faults
            assert findings.acknowledged
            assert "intact" in said
            outage.disk.remove()
        if live.server is not None:
            live.weaken()
            await _require_loss(disks, live, ledger, seed)


@pytest.mark.timeout(300)
async def test_without_syncing_sqlite_is_seen_to_lose(disks: Disks, tmp_path: Path) -> None:
    """With `synchronous=NORMAL` the harness misses what was acknowledged; so it means something when it misses none."""
    env = {"PYTHONPATH": weak_sqlite.path_of(tmp_path / "weak")}
    with _running(disks, "sqlite", env) as live, Ledger(tmp_path / "ledger.jsonl") as ledger:
        live.disk.sync()
        await _require_loss(disks, live, ledger, fault_form.seed())


@pytest.mark.timeout(3600)
@pytest.mark.skipif(not fault_form.is_long(), reason="the long form only")
@pytest.mark.parametrize("store", ["sqlite", "mariadb"])
async def test_what_a_power_cut_leaves_of_a_first_start_starts(store: str, disks: Disks, tmp_path: Path) -> None:
    """Cut while keys and tables are made for the first time: the next start goes on from whatever is there."""
    seed = fault_form.seed()
    live = Installation.on_new_disk(disks, store, ENV)
    is_ready = threading.Event()
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        try:
            cutting = asyncio.create_task(
                asyncio.to_thread(_cut_until, is_ready, disks, live, ledger, random.Random(seed))
            )
            await asyncio.sleep(0)  # it begins; the start blocks here, and the cuts are made beside it
            live.suite.start()
            is_ready.set()
            outages = await cutting
        finally:
            is_ready.set()
            live.stop()
    assert outages
    for outage in outages:
        with outage.recovered() as one:
            one.suite.start()
            load.configure(one.suite)
            assert "intact" in one.suite.cli("audit", "verify").stdout
        outage.disk.remove()
    fault_form.publish(f"power cut at the first start, {store}", seed=seed, cuts=len(outages), failed=0)


@contextmanager
def _running(disks: Disks, store: str, env: dict[str, str] | None = None) -> Iterator[Installation]:
    """An installation that is ready for the load."""
    live = Installation.on_new_disk(disks, store, {**ENV, **(env or {})})
    try:
        live.suite.start()
        load.configure(live.suite)
        yield live
    finally:
        live.stop()


async def _cut_under_load(disks: Disks, live: Installation, ledger: Ledger, chance: random.Random, name: str) -> Outage:
    """Send for a second or three and cut in the midst of it; nothing is under way any more when this returns."""
    traffic = load.Traffic(random.Random(chance.random()), prefix=name)
    client = load.Client(live.suite.port, traffic, ledger, rate=RATE)
    sending = asyncio.create_task(client.run())
    try:
        await asyncio.sleep(chance.uniform(1.0, 3.0))  # the moment is what is tried, nothing is waited for
        outage = await asyncio.to_thread(live.cut, disks, name, ledger)
    finally:
        client.stop()
        await sending
    assert not client.wrong
    return outage


def _cut_until(
    is_ready: threading.Event, disks: Disks, live: Installation, ledger: Ledger, chance: random.Random
) -> list[Outage]:
    """Cut again and again until it is ready, so often at most as leaves room on the real disk."""
    outages: list[Outage] = []
    while not is_ready.wait(chance.uniform(0.1, 1.0)) and len(outages) < MOST_CUTS_OF_A_START:
        outages.append(live.cut(disks, f"start-{len(outages)}", ledger))
    return outages


async def _restarted(outage: Outage, ledger: Ledger) -> tuple[Findings, str]:
    """Start the suite on the disk, let it come to the end of its work, and hold it against the ledger.

    Gives what is found, and what verifying the log says.
    """
    with outage.recovered() as one:
        one.end_leases()
        one.suite.start()
        await fault_checker.drained(one.suite)
        # With the anchor of that moment: nothing that was signed and shown to others by then may be missing.
        said = one.suite.cli("audit", "verify", "--anchor", str(outage.anchor), check=False)
        return fault_checker.check(one.suite, outage.known_to(ledger)), said.stdout + said.stderr


async def _require_loss(disks: Disks, live: Installation, ledger: Ledger, seed: int) -> None:
    """Cut where commits are not synced: what was acknowledged must be missed in the databases that come up."""
    began = time.monotonic()
    outage = await _cut_under_load(disks, live, ledger, random.Random(seed), "control")
    with outage.recovered() as one:
        findings = fault_checker.check(one.suite, outage.known_to(ledger))
    findings.faults = findings.faults[:1]  # nothing has been drained, so the others mean nothing
    _publish("power cut, control that must lose", live, seed, 1, began, findings)
    assert findings.lost


def _publish(name: str, live: Installation, seed: int, number: int, began: float, findings: Findings) -> None:
    store = "sqlite" if live.server is None else "mariadb"
    fault_form.publish(
        f"{name}, {store}",
        seed=seed,
        number=number,
        version=live.version,
        kernel=platform.release(),
        seconds=round(time.monotonic() - began, 1),
        **asdict(findings),
    )
