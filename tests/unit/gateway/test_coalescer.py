"""The coalescer: each item gets its own result, whatever else happens to the others."""

import asyncio
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intertie_chassis.errors import Internal, IntertieError, InvalidArgument, Unavailable
from intertie_gateway.coalescer import Bounds, Coalescer
from intertie_gateway.problems import Overloaded, RateLimited
from waiting import eventually


class Backend:
    """Answers each item with itself, in groups that wait to be let go."""

    def __init__(self, *, held: bool = False) -> None:
        self.groups: list[list[bytes]] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.open = asyncio.Event()
        self.fails: Callable[[Sequence[bytes]], Exception | None] = lambda items: None
        if not held:
            self.open.set()

    async def send(self, items: Sequence[bytes]) -> list[bytes]:
        """One call."""
        self.groups.append(list(items))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await self.open.wait()
            await asyncio.sleep(0)
            error = self.fails(items)
            if error is not None:
                raise error
            return list(items)
        finally:
            self.in_flight -= 1


async def _turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_single_item_leaves_at_once() -> None:
    """No clock is waited for: one turn of the loop, and it is on its way."""
    backend = Backend()
    coalescer = Coalescer(backend.send)
    assert await asyncio.wait_for(coalescer.deliver(b"a"), 1) == b"a"
    assert backend.groups == [[b"a"]]


async def test_what_arrives_in_one_turn_leaves_in_one_call() -> None:
    """Also when nothing is in flight."""
    backend = Backend()
    coalescer = Coalescer(backend.send)
    results = await asyncio.gather(*(coalescer.deliver(b"%d" % n) for n in range(10)))
    assert results == [b"%d" % n for n in range(10)]
    assert len(backend.groups) == 1


async def test_what_waits_too_long_for_a_call_to_end_is_told_to_come_again() -> None:
    """Ingest says nothing: who has left waits for the call's deadline, who has not is answered and never leaves."""
    backend = Backend(held=True)
    coalescer = Coalescer(backend.send, Bounds(calls=1, waiting_seconds=0.02))
    first = asyncio.ensure_future(coalescer.deliver(b"first"))
    await _turns()
    assert [type(result) for result in await asyncio.gather(*(coalescer.deliver(b"%d" % n) for n in range(3)))] == [
        Overloaded
    ] * 3
    assert isinstance(await coalescer.deliver(b"later"), Overloaded)
    backend.open.set()
    assert await first == b"first"
    assert await coalescer.deliver(b"again") == b"again"
    assert backend.groups == [[b"first"], [b"again"]]


async def test_groups_grow_while_calls_are_in_flight() -> None:
    """As large as the call in flight, twice as large as two; what comes beyond leaves together when one ends."""
    backend = Backend(held=True)
    coalescer = Coalescer(backend.send, Bounds(calls=3, group_items=100))
    tasks = []
    for n in range(20):
        tasks.append(asyncio.ensure_future(coalescer.deliver(b"%d" % n)))
        await _turns()
    assert [len(group) for group in backend.groups] == [1, 1, 2]
    backend.open.set()
    await asyncio.gather(*tasks)
    assert [len(group) for group in backend.groups] == [1, 1, 2, 16]
    assert backend.most_in_flight == 3


async def test_a_smaller_group_waits_for_the_call_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    """And leaves beside it as soon as it is as large."""
    monkeypatch.setattr("intertie_gateway.coalescer._PATIENCE_SECONDS", 3600)
    backend = Backend(held=True)
    coalescer = Coalescer(backend.send, Bounds(calls=3, waiting_seconds=3600))
    tasks = [asyncio.ensure_future(coalescer.deliver(b"large")) for _ in range(3)]
    await _turns()
    tasks += [asyncio.ensure_future(coalescer.deliver(b"small")) for _ in range(2)]
    await _turns()
    assert [len(group) for group in backend.groups] == [3]
    tasks.append(asyncio.ensure_future(coalescer.deliver(b"small")))
    await _turns()
    assert [len(group) for group in backend.groups] == [3, 3]
    backend.open.set()
    await asyncio.gather(*tasks)


async def test_a_call_that_is_stuck_holds_no_other_delivery_up() -> None:
    """What comes behind it leaves beside it after a moment, however few they are."""
    backend = Backend(held=True)
    coalescer = Coalescer(backend.send, Bounds(calls=2, waiting_seconds=30))
    stuck = [asyncio.ensure_future(coalescer.deliver(b"stuck")) for _ in range(2)]
    await _turns()
    other = asyncio.ensure_future(coalescer.deliver(b"other"))
    await eventually(lambda: backend.groups == [[b"stuck", b"stuck"], [b"other"]])
    backend.open.set()
    assert await asyncio.gather(*stuck, other) == [b"stuck", b"stuck", b"other"]


async def test_a_full_group_leaves_beside_another() -> None:
    """By its items or by its bytes: there is nothing that it could wait for."""
    for bounds in (Bounds(calls=2, group_items=3), Bounds(calls=2, group_bytes=3)):
        backend = Backend(held=True)
        coalescer = Coalescer(backend.send, bounds)
        tasks = [asyncio.ensure_future(coalescer.deliver(b"x")) for _ in range(6)]
        await _turns()
        assert [len(group) for group in backend.groups] == [3, 3]
        backend.open.set()
        await asyncio.gather(*tasks)


@pytest.mark.parametrize(
    ("bounds", "sizes", "groups"),
    [
        (Bounds(group_items=3), [1] * 7, [3, 3, 1]),
        (Bounds(group_bytes=10), [4, 4, 4, 10, 1], [2, 1, 1, 1]),
        (Bounds(group_bytes=10), [50, 1, 1], [1, 2]),
    ],
)
async def test_groups_are_bounded_by_count_and_bytes(bounds: Bounds, sizes: list[int], groups: list[int]) -> None:
    """An item larger than the bound makes a group of its own."""
    backend = Backend()
    coalescer = Coalescer(backend.send, bounds)
    await asyncio.gather(*(coalescer.deliver(b"x" * size) for size in sizes))
    assert [len(group) for group in backend.groups] == groups


@pytest.mark.parametrize("bounds", [Bounds(calls=1, waiting_items=2), Bounds(calls=1, waiting_bytes=2)])
async def test_a_full_queue_refuses_at_once(bounds: Bounds) -> None:
    """503 with a time to try again; what waits is not harmed."""
    backend = Backend(held=True)
    coalescer = Coalescer(backend.send, bounds)
    first = asyncio.ensure_future(coalescer.deliver(b"0"))
    await _turns()
    waiting = [asyncio.ensure_future(coalescer.deliver(b"%d" % n)) for n in (1, 2)]
    await _turns()
    refused = await coalescer.deliver(b"3")
    assert isinstance(refused, Unavailable)
    assert (refused.reason, refused.retry_after) == ("OVERLOADED", 1)
    backend.open.set()
    assert await asyncio.gather(first, *waiting) == [b"0", b"1", b"2"]


async def test_a_large_item_is_taken_when_nothing_waits() -> None:
    """The bound on waiting bytes is no bound on one item."""
    coalescer = Coalescer(Backend().send, Bounds(waiting_bytes=2))
    assert await coalescer.deliver(b"x" * 100) == b"x" * 100


async def test_cancelling_one_harms_no_other() -> None:
    """Before it left it does not leave; after that its result is dropped."""
    backend = Backend(held=True)
    coalescer = Coalescer(backend.send, Bounds(calls=1))
    tasks = [asyncio.ensure_future(coalescer.deliver(b"%d" % n)) for n in range(2)]
    await _turns()
    tasks += [asyncio.ensure_future(coalescer.deliver(b"%d" % n)) for n in range(2, 5)]
    await _turns()
    tasks[0].cancel()
    tasks[3].cancel()
    await _turns()
    backend.open.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [
        asyncio.CancelledError, bytes, bytes, asyncio.CancelledError, bytes,
    ]  # fmt: skip
    assert backend.groups == [[b"0", b"1"], [b"2", b"4"]]


async def test_when_all_that_waits_is_cancelled_nothing_is_sent() -> None:
    """No empty call."""
    backend = Backend(held=True)
    coalescer = Coalescer(backend.send, Bounds(calls=1))
    first = asyncio.ensure_future(coalescer.deliver(b"0"))
    await _turns()
    second = asyncio.ensure_future(coalescer.deliver(b"1"))
    await _turns()
    second.cancel()
    await _turns()
    backend.open.set()
    await first
    assert await coalescer.deliver(b"2") == b"2"
    assert backend.groups == [[b"0"], [b"2"]]


async def test_a_failed_call_fails_its_own_items_only() -> None:
    """An outage is the same for all of a group, and not of the next one."""
    backend = Backend()
    backend.fails = lambda items: Unavailable() if b"1" in items else None
    coalescer = Coalescer(backend.send)
    first = await asyncio.gather(*(coalescer.deliver(b"%d" % n) for n in range(3)))
    assert all(isinstance(result, Unavailable) for result in first)
    assert backend.groups == [[b"0", b"1", b"2"]]
    assert await coalescer.deliver(b"3") == b"3"


@pytest.mark.parametrize("error", [InvalidArgument(), Internal()])
async def test_a_group_that_cannot_be_taken_is_halved(error: IntertieError) -> None:
    """Until the item at fault stands alone."""
    backend = Backend()
    backend.fails = lambda items: error if b"5" in items else None
    coalescer = Coalescer(backend.send)
    results = await asyncio.gather(*(coalescer.deliver(b"%d" % n) for n in range(8)))
    assert results[5] is error
    assert results[:5] + results[6:] == [b"%d" % n for n in (0, 1, 2, 3, 4, 6, 7)]


async def test_a_bug_in_the_call_is_an_answer_too() -> None:
    """Nobody waits for ever, and its text goes nowhere."""
    backend = Backend()
    backend.fails = lambda items: RuntimeError("secret text")
    result = await Coalescer(backend.send).deliver(b"a")
    assert isinstance(result, Internal)
    assert "secret" not in result.message


async def test_a_wrong_number_of_results_is_nobodys_result() -> None:
    """Better no answer than another's."""

    async def send(items: Sequence[bytes]) -> list[bytes]:
        return list(items)[1:]

    results = await asyncio.gather(*(Coalescer(send).deliver(b"%d" % n) for n in range(3)))
    assert all(isinstance(result, Internal) for result in results)


async def test_close_waits_for_what_is_in_flight() -> None:
    """And for what waits behind it."""
    backend = Backend(held=True)
    coalescer = Coalescer(backend.send, Bounds(calls=1))
    tasks = [asyncio.ensure_future(coalescer.deliver(b"0"))]
    await _turns()
    tasks.append(asyncio.ensure_future(coalescer.deliver(b"1")))
    closing = asyncio.ensure_future(coalescer.close())
    await _turns()
    assert not closing.done()
    backend.open.set()
    await asyncio.wait_for(closing, 5)
    assert await asyncio.gather(*tasks) == [b"0", b"1"]


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(st.sampled_from(["deliver", "turn", "cancel", "release", "hold"]), max_size=60),
    poisoned=st.sets(st.integers(0, 59)),
    calls=st.integers(1, 3),
    items=st.integers(1, 5),
)
def test_any_interleaving(steps: list[str], poisoned: set[int], calls: int, items: int) -> None:
    """However arrivals, cancels, failures and slow calls interleave: each item that is not cancelled ends with its own
    result or its own failure, no item is sent in two groups unless its group was halved, and bounds hold."""

    async def run() -> None:
        backend = Backend(held=True)
        names = {b"%d" % n for n in poisoned}
        backend.fails = lambda sent: InvalidArgument() if names & set(sent) else None
        coalescer = Coalescer(backend.send, Bounds(calls=calls, group_items=items))
        tasks: list[asyncio.Task[bytes | IntertieError]] = []
        for step in steps:
            if step == "deliver":
                tasks.append(asyncio.get_running_loop().create_task(coalescer.deliver(b"%d" % len(tasks))))
            elif step == "turn":
                await _turns(2)
            elif step == "cancel" and tasks:
                tasks[-1].cancel()
            elif step == "release":
                backend.open.set()
            elif step == "hold":
                backend.open.clear()
        backend.open.set()
        async with asyncio.timeout(10):
            results = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.wait_for(coalescer.close(), 10)
        for number, result in enumerate(results):
            if isinstance(result, asyncio.CancelledError):
                continue
            assert isinstance(result, InvalidArgument) if number in poisoned else result == b"%d" % number
        assert all(len(group) <= items for group in backend.groups)
        assert backend.most_in_flight <= calls
        clean = [item for group in backend.groups if not names & set(group) for item in group]
        assert len(clean) == len(set(clean))

    asyncio.run(run())


async def test_a_lane_that_floods_keeps_no_other_out() -> None:
    """One lane has half of the places, and half of the bytes; others are still taken, and it again once it left."""
    backend = Backend(held=True)
    coalescer = Coalescer(backend.send, Bounds(calls=1, group_items=1, waiting_items=8, waiting_bytes=100))
    going = asyncio.create_task(coalescer.deliver(b"going", "loud"))
    await _turns()
    loud = [asyncio.create_task(coalescer.deliver(b"l%d" % n, "loud")) for n in range(10)]
    quiet = [asyncio.create_task(coalescer.deliver(b"q%d" % n, "quiet")) for n in range(2)]
    large = [asyncio.create_task(coalescer.deliver(b"x" * 30, "large")) for _ in range(2)]
    await _turns()
    refused = [task.result() for task in [*loud, *large] if task.done()]
    assert [type(error) for error in refused] == [RateLimited] * 7
    assert all(isinstance(error, RateLimited) and error.retry_after == 1 for error in refused)
    backend.open.set()
    assert await going == b"going"
    assert await asyncio.gather(*loud[:4], *quiet, large[0]) == [b"l0", b"l1", b"l2", b"l3", b"q0", b"q1", b"x" * 30]
    assert await coalescer.deliver(b"again", "loud") == b"again"
    assert coalescer._lanes == {}
