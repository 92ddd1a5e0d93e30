"""Requests that arrive together leave together: single items in, groups out, each item with its own result.

Nothing waits for a clock. While no call is in flight, what is there leaves at once (with whatever arrived in the same
turn of the loop); otherwise it waits for a call to end and leaves with all that came meanwhile. So groups are of one
when it is quiet, and grow by themselves under load.

Beside a call that is in flight another one leaves when it is as large, beside two when it is twice as large, and so on.
A call costs as much as a dozen items whatever it holds, so many small ones would cost more than they gain, and keep the
places of calls from all that waits; but the services behind must have the next group when they have done with one.
(64 senders: an eighth more than when the second call had to be twice as large.) Where calls are slow because the
database is far away, several are in flight. One that takes unusually long holds nobody up for more than a moment: then
the others leave beside it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from intertie_chassis.errors import Internal, IntertieError, InvalidArgument, Unavailable
from intertie_gateway.problems import Overloaded, RateLimited

R = TypeVar("R")

_PATIENCE_SECONDS = 0.05
"""How long a delivery waits for a call that is in flight, when another may leave. Under load calls take a fifth."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large groups and queue may grow."""

    group_items: int = 256
    group_bytes: int = 4 * 1024 * 1024
    """A single item larger than this makes a group of its own."""
    calls: int = 4
    """Calls in flight at once, at most."""
    waiting_items: int = 4096
    waiting_bytes: int = 32 * 1024 * 1024
    """Half of both for any one lane."""
    waiting_seconds: float = 3.0
    """How long an item waits to leave. With the time that its call may take it must be less than senders wait."""


@dataclass(frozen=True, slots=True)
class _Waiter(Generic[R]):
    item: bytes
    result: "asyncio.Future[R | IntertieError]"
    lane: str
    until: float


@dataclass(slots=True)
class _Lane:
    """What waits of one lane."""

    items: int = 0
    size: int = 0


class Coalescer(Generic[R]):
    """Groups items into calls of `send`."""

    def __init__(self, send: Callable[[Sequence[bytes]], Awaitable[Sequence[R]]], bounds: Bounds | None = None) -> None:
        """Args:
        send: makes one call; gives one result an item, in order. What it raises is the failure of all its items.
        """
        self._send = send
        self._bounds = bounds or Bounds()
        self._waiting: deque[_Waiter[R]] = deque()
        self._waiting_bytes = 0
        self._lanes: dict[str, _Lane] = {}
        self._calls: dict[asyncio.Task[None], int] = {}
        """Those in flight, each with the number of its items."""
        self._dispatch_due = False
        self._sweep: asyncio.TimerHandle | None = None
        self._impatient: asyncio.TimerHandle | None = None
        self._log = structlog.get_logger()

    async def deliver(self, item: bytes, lane: str = "") -> R | IntertieError:
        """The item's result, or why there is none.

        Items of one lane fill at most half of the places: one sender that floods keeps no other out. The lane without
        a name may fill them all.

        A failure is returned, not raised: the one error of a call is shared by all its items. Cancelling takes this
        item back when it has not left yet, and never touches another.
        """
        bounds = self._bounds
        if self._waiting and (
            len(self._waiting) >= bounds.waiting_items or self._waiting_bytes + len(item) > bounds.waiting_bytes
        ):
            return Overloaded()
        waiting = self._lanes.get(lane) or _Lane()
        if lane and (
            waiting.items >= max(1, bounds.waiting_items // 2)
            or (waiting.items and waiting.size + len(item) > bounds.waiting_bytes // 2)
        ):
            return RateLimited("too many deliveries of the system are waiting; send fewer at once", 1)
        loop = asyncio.get_running_loop()
        waiter: _Waiter[R] = _Waiter(item, loop.create_future(), lane, loop.time() + bounds.waiting_seconds)
        self._waiting.append(waiter)
        self._waiting_bytes += len(item)
        self._lanes[lane] = waiting
        waiting.items += 1
        waiting.size += len(item)
        if not self._may_leave():
            self._sweep_later()
        elif not self._dispatch_due:
            # Not at once: what else has arrived in this turn of the loop goes along.
            self._dispatch_due = True
            loop.call_soon(self._dispatch)
        return await waiter.result

    async def close(self) -> None:
        """Waits for the calls in flight and what waits for them."""
        while self._calls:
            await asyncio.wait(self._calls)
            await asyncio.sleep(0)

    def _dispatch(self) -> None:
        self._dispatch_due = False
        while self._waiting and self._may_leave():
            self._begin()
        self._sweep_later()

    def _begin(self) -> None:
        group = self._take()
        if group:
            call = asyncio.get_running_loop().create_task(self._carry(group))
            self._calls[call] = len(group)
            call.add_done_callback(self._ended)

    def _may_leave(self) -> bool:
        """Whether what waits may leave now."""
        if not self._calls:
            return True
        bounds = self._bounds
        if len(self._calls) >= bounds.calls:
            return False
        enough = min(len(self._calls) * max(self._calls.values()), bounds.group_items)
        return len(self._waiting) >= enough or self._waiting_bytes >= bounds.group_bytes

    def _sweep_later(self) -> None:
        """One timer of either kind for all that wait: the first of them is the first that has waited too long."""
        if not self._waiting:
            return
        loop = asyncio.get_running_loop()
        if self._sweep is None:
            self._sweep = loop.call_at(self._waiting[0].until, self._give_up)
        if self._impatient is None:
            self._impatient = loop.call_at(self._patient_until(), self._lose_patience)

    def _patient_until(self) -> float:
        """When the first of those that wait has waited for a call long enough."""
        return self._waiting[0].until - self._bounds.waiting_seconds + _PATIENCE_SECONDS

    def _lose_patience(self) -> None:
        """Lets what waits leave beside a call that takes long; it may be stuck on something of its own."""
        self._impatient = None
        if self._waiting and self._patient_until() <= asyncio.get_running_loop().time():
            if len(self._calls) >= self._bounds.calls:
                return  # the end of one looks again
            self._begin()
        self._sweep_later()

    def _give_up(self) -> None:
        """Tells those that have waited too long for a call to end; nothing of theirs has left."""
        self._sweep = None
        now = asyncio.get_running_loop().time()
        while self._waiting and self._waiting[0].until <= now:
            waiter = self._next()
            if not waiter.result.done():
                waiter.result.set_result(Overloaded())
        self._sweep_later()

    def _next(self) -> _Waiter[R]:
        waiter = self._waiting.popleft()
        self._waiting_bytes -= len(waiter.item)
        lane = self._lanes[waiter.lane]
        lane.items -= 1
        lane.size -= len(waiter.item)
        if not lane.items:
            del self._lanes[waiter.lane]
        return waiter

    def _ended(self, call: "asyncio.Task[None]") -> None:
        if self._calls.pop(call, None) is not None:
            self._dispatch()

    def _take(self) -> list[_Waiter[R]]:
        """The next group, in order of arrival, without what was cancelled while it waited."""
        group: list[_Waiter[R]] = []
        size = 0
        waiting, bounds = self._waiting, self._bounds
        while waiting and len(group) < bounds.group_items:
            item_size = len(waiting[0].item)
            if group and size + item_size > bounds.group_bytes:
                break
            waiter = self._next()
            if not waiter.result.done():
                group.append(waiter)
                size += item_size
        return group

    async def _carry(self, group: list[_Waiter[R]]) -> None:
        """Makes the call of a group and tells each waiter its result."""
        try:
            results = await self._results([waiter.item for waiter in group])
        except asyncio.CancelledError:
            stopping = Unavailable("the gateway stops; try again", retry_after=1)
            _tell(group, [stopping] * len(group))
            raise
        call = asyncio.current_task()
        if call is not None:
            # First the next group: the other side works on it while this one's answers are written.
            self._ended(call)
        _tell(group, results)

    async def _results(self, items: list[bytes]) -> Sequence[R | IntertieError]:
        """One result an item, in order."""
        try:
            results = await self._send(items)
        except IntertieError as error:
            if len(items) > 1 and isinstance(error, (InvalidArgument, Internal)):
                # One of them is what the other side cannot take: halved until it stands alone. An Internal may have
                # been stored all the same; but its sender would only send it again.
                middle = len(items) // 2
                return [*await self._results(items[:middle]), *await self._results(items[middle:])]
            return [error] * len(items)
        except Exception:
            # Whatever it is, the waiters must hear of it: without an answer they would wait for ever.
            self._log.exception("a group of deliveries failed", items=len(items))
            return [Internal()] * len(items)
        if len(results) != len(items):
            self._log.error("results and items differ in number", items=len(items), results=len(results))
            return [Internal()] * len(items)
        return results


def _tell(group: Sequence[_Waiter[R]], results: Sequence[R | IntertieError]) -> None:
    for waiter, result in zip(group, results, strict=True):
        if not waiter.result.done():
            waiter.result.set_result(result)
