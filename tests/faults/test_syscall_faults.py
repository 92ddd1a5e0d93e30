"""The disk fails or is full under a process, or the process is killed at the worst moment: the N-th time it syncs.

strace does it to processes of a real suite on SQLite, and each test asks strace whether it was done.
"""

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import fault_checker
import fault_form
import load
import requirement
import strace
import victims
from ledger import Ledger
from power_cuts import frozen
from suite import FILES, Suite
from waiting import eventually

GOOD = load.Shape(repeats=0, bad=0, hang_ups=0, misfits=0)
KILLS_A_ROUND = 5


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """One for all tests here: each leaves it whole."""
    if not strace.can_inject():
        requirement.missing("strace", "install strace, on a machine that lets it trace")
    running = Suite(tmp_path_factory.mktemp("syscalls") / "suite", None, {"INTERTIE_MAPPER_LEASE_SECONDS": "10"})
    try:
        load.configure(running.start())
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """Of all that they send."""
    with Ledger(tmp_path_factory.mktemp("ledger") / "ledger.jsonl") as opened:
        yield opened


@pytest.mark.parametrize(
    ("name", "fault"),
    [("EIO", "fdatasync:error=EIO:when=3+4"), ("ENOSPC", "pwrite64:error=ENOSPC:when=20..60")],
    ids=["EIO", "ENOSPC"],
)
async def test_what_the_disk_refuses_is_503_and_not_stored(
    suite: Suite, ledger: Ledger, tmp_path: Path, name: str, fault: str
) -> None:
    """Who could not be committed gets no 2xx, and only they do not; then all goes on in the same process."""
    traffic = load.Traffic(random.Random(1), GOOD, prefix=name)
    ingest = victims.find_process(suite, "ingest")
    async with _alone(suite, ledger, traffic):
        before = len(ledger)
        with strace.injected(ingest, fault, tmp_path) as trace:
            client = await _send_until(
                suite, ledger, traffic, lambda client: trace.injected >= 10 and client.statuses[202] >= 20
            )
            injected, succeeded = trace.injected, trace.succeeded
        stored = {row["delivery_key"] for row in suite.rows("inbound_deliveries", owner="ingest")}
    assert set(client.statuses) == {202, 503}
    assert not client.wrong
    assert client.statuses[503] <= injected
    if name == "EIO":  # sent one after the other, so each is a commit of its own, and each commit a call
        assert client.statuses[202] <= succeeded
    refused = {one.key for one in list(ledger)[before:] if one.status == 503}
    assert not stored & (refused - ledger.acknowledged().keys())

    again = load.Client(suite.port, traffic, ledger, rate=1000, connections=1)
    await again.send_left()
    assert set(again.statuses) <= {202}
    assert victims.find_process(suite, "ingest") == ingest
    findings = await _require_whole(suite, ledger)
    fault_form.publish(f"syscall fault, {name}", injected=injected, refused=client.statuses[503], lost=findings.lost)


@asynccontextmanager
async def _alone(suite: Suite, ledger: Ledger, traffic: load.Traffic) -> AsyncIterator[None]:
    """Freeze those who lease and those who log, so that deliveries alone are committed."""
    others = [victims.find_process(suite, other) for other in ("mapper", "audit", "pull")]
    for seconds in (5, 10, 45):
        with frozen(others):
            try:
                # The first ones go to leases that were asked for before.
                await _send_until(suite, ledger, traffic, lambda client: client.statuses[202] >= 15, seconds)
            except AssertionError:
                continue  # one was stopped in the middle of a write, for whose end the database waits
            yield
            return
    raise AssertionError("nothing is committed")


async def _send_until(
    suite: Suite, ledger: Ledger, traffic: load.Traffic, is_enough: Callable[[load.Client], bool], seconds: float = 60
) -> load.Client:
    """Send one delivery after the other; gives the client, which has ended."""
    client = load.Client(suite.port, traffic, ledger, rate=1000, connections=1)
    sending = asyncio.create_task(client.run())
    try:
        await eventually(lambda: is_enough(client), timeout=seconds)
    finally:
        client.stop()
        await sending
    return client


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("victim", fault_form.either(["ingest"], ["ingest", "mapper", "audit"]))
async def test_a_process_that_is_killed_at_its_nth_sync_loses_nothing(
    suite: Suite, ledger: Ledger, tmp_path: Path, victim: str
) -> None:
    """Killed as it enters the call, for some N or for 1 to 40: when it has written, and knows nothing of it yet."""
    places = fault_form.either([3], list(range(1, 41)))
    for number, place in enumerate(places, start=1):
        traffic = load.Traffic(random.Random(place), prefix=f"{victim}-{place}")
        client = load.Client(suite.port, traffic, ledger, rate=60)
        sending = asyncio.create_task(client.run())
        try:
            await _kill_at(suite, victim, f"fdatasync:signal=SIGKILL:when={place}", tmp_path)
        finally:
            client.stop()
            await sending
        await client.send_left()
        assert not client.wrong
        assert client.statuses[202]
        if number % KILLS_A_ROUND == 0 or number == len(places):
            # A record that is with the mapper at three deaths is set aside; so each has its rest between them.
            findings = await _require_whole(suite, ledger)
    fault_form.publish(
        f"killed at its N-th sync, {victim}",
        kills=len(places),
        acknowledged=findings.acknowledged,
        lost=findings.lost,
        doubled=findings.doubled,
    )


async def _kill_at(suite: Suite, victim: str, fault: str, directory: Path) -> None:
    """Have the process killed, and wait until another one runs."""
    before = await eventually(lambda: _process(suite, victim), timeout=30)
    with strace.injected(before, fault, directory) as trace:
        await eventually(lambda: trace.is_killed, timeout=60)
    await eventually(lambda: _process(suite, victim) not in (None, before), timeout=30)


def _process(suite: Suite, victim: str) -> int | None:
    try:
        return victims.find_process(suite, victim)
    except LookupError:
        return None


async def _require_whole(suite: Suite, ledger: Ledger) -> fault_checker.Findings:
    """Every promise is kept, and every file is sound."""
    await fault_checker.drained(suite)
    findings = await asyncio.to_thread(fault_checker.check, suite, ledger)
    assert not findings.faults
    for file in FILES.values():
        with sqlite3.connect(suite.data / file, timeout=10) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
    said = await eventually(lambda: _verified(suite), timeout=60)
    assert "intact" in said
    return findings


def _verified(suite: Suite) -> str:
    """What `audit verify` says; nothing while audit is not there yet."""
    done = suite.cli("audit", "verify", check=False)
    return done.stdout if done.returncode in (0, 1) else ""
