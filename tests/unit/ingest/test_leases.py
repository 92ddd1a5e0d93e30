"""Batches grow under load, and no batch that is lost holds the others up for long."""

import asyncio
import time
from datetime import datetime
from typing import Any

from intertie_ingest.lease_model import Lease, Leased
from intertie_ingest.leases import Leases
from intertie_ingest.pressure import Pressure
from intertie_ingest.wakeup import Wakeup
from waiting import eventually


class Pending:
    """A queue of so many records in the memory, in the place of both stores and the snapshot."""

    def __init__(self) -> None:
        self.records = 0
        self.solo = 0
        self.given = 0
        self.active_mappings = frozenset({1})

    def configuration(self) -> "Pending":
        return self

    async def lanes(self) -> tuple[bool, bool]:
        return self.records > 0, self.solo > 0

    async def lease(self, most: int, seconds: int, active: Any, *, solo_first: bool) -> Lease:
        count = min(most, self.records)
        self.records -= count
        self.given += 1
        record = Leased(1, 1, 1, "x", 1, b"{}", "", "", b"", 1)
        return Lease(f"lease {self.given}", (record,) * count, datetime(2025, 1, 1), is_last=count < most)

    async def settle(self, token: str, settlements: Any) -> list[int]:
        return []


class Bench:
    """Leases over such a queue."""

    def __init__(self) -> None:
        self.pending, self.wakeup = Pending(), Wakeup()
        store: Any = self.pending
        self.pressure = Pressure()
        self.leases = Leases(store, store, store, self.wakeup, asyncio.Event(), self.pressure, gathered=store)

    def arrive(self, records: int) -> None:
        self.pending.records += records
        self.wakeup.ring(records)

    def ask(self, most: int = 10) -> "asyncio.Task[Lease | None]":
        return asyncio.create_task(self.leases.lease(most, 60, 30.0))

    async def sizes(self, *asked: "asyncio.Task[Lease | None]") -> list[int]:
        return [len(lease.records) for lease in await asyncio.gather(*asked) if lease is not None]


async def turns() -> None:
    """Lets everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_comes_during_a_small_batch_goes_together_when_it_is_settled() -> None:
    bench = Bench()
    bench.arrive(1)
    first = await bench.ask()
    assert first is not None
    second = bench.ask()
    for _ in range(3):
        await turns()
        bench.arrive(2)
    await turns()
    assert not second.done()
    await bench.leases.settle(first.token, [])
    assert await bench.sizes(second) == [6]


async def test_between_small_batches_is_a_pause_that_grows_with_their_work() -> None:
    """Mapping that takes long is not begun again at once for the few records that came meanwhile."""
    bench = Bench()
    bench.arrive(1)
    began = time.monotonic()
    first = await bench.ask()
    assert first is not None
    second = bench.ask()
    while time.monotonic() - began < 0.02:
        await turns()
    took = time.monotonic() - began
    await bench.leases.settle(first.token, [])
    bench.arrive(2)
    assert await bench.sizes(second) == [2]
    assert time.monotonic() - began >= 1.4 * took


async def test_a_full_batch_waits_for_no_other() -> None:
    bench = Bench()
    bench.arrive(1)
    assert await bench.sizes(bench.ask()) == [1]
    second = bench.ask()
    await turns()
    bench.arrive(10)
    assert await bench.sizes(second) == [10]


async def test_with_a_backlog_every_caller_has_its_batch() -> None:
    bench = Bench()
    bench.arrive(30)
    assert await bench.sizes(bench.ask(), bench.ask(), bench.ask()) == [10, 10, 10]


async def test_a_small_batch_that_is_never_settled_holds_nobody_up_for_good() -> None:
    """Its worker hangs or is gone; nobody rings again."""
    bench = Bench()
    bench.arrive(1)
    assert await bench.sizes(bench.ask()) == [1]
    second = bench.ask()
    await turns()
    bench.arrive(1)
    assert await bench.sizes(second) == [1]


async def test_a_record_that_stands_alone_holds_back_no_other() -> None:
    """What came out of the solo lane says nothing of the other one."""
    bench = Bench()
    bench.pending.solo = 1
    bench.arrive(1)
    assert await bench.sizes(bench.ask()) == [1]
    bench.pending.solo = 0
    bench.arrive(3)
    second = bench.ask()
    await turns()
    assert second.done()
    assert await bench.sizes(second) == [3]


async def test_in_a_burst_batches_are_handed_out_slowly_and_never_not_at_all() -> None:
    """One at once, full ones too; the next one a quarter of a second later."""
    bench = Bench()
    pressure = bench.pressure
    now = time.monotonic()
    bench.arrive(25)
    with pressure.accepting(100), pressure.accepting(100), pressure.accepting(100):
        await eventually(lambda: pressure.is_high)
        first = await bench.ask()
        second = bench.ask()
        await turns()
        assert first is not None
        assert not second.done()
        assert await bench.sizes(second) == [10]
    assert time.monotonic() - now >= 0.25
