"""Records that are leased as they are stored: where a worker waits and nothing else does, they are its batch already.

A claim locks rows, reads them, and writes each once more into the index that is the queue's order. Here rows are
written under a lease that still gathers, and one look, which locks nothing, hands it over. Only the token is kept in
memory; which records there are the look finds. What cannot be handed over is released into the queue.

Nobody has the lease of a process that dies before it has handed it over, so it is a short one. While anything waits in
the queue nothing is leased so.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta

from intertie_chassis.ids import new_ulid
from intertie_ingest.wakeup import Wakeup

_LONGEST_SECONDS = 10
_GATHERING_SHARE = 0.2
"""Of a lease's time: so long groups join it. What is handed over must have time to be worked on."""
_UNWANTED_SHARE = 0.3
"""Of a lease's time: after that nobody will come for it."""
_MOST_GATHERING = 3
_BUSY_SECONDS = 0.5
"""Who waited so recently is working, and will be back."""
_LATE_SECONDS = 0.25
"""How long a look waits for groups on their way; after that their lease is for another look."""


class Gathering:
    """A lease whose records are still coming."""

    def __init__(
        self, most: int, seconds: int, began: float, now: datetime, when_late: Callable[[], None] = lambda: None
    ) -> None:
        """`when_late` is called when the last group has come for which somebody has waited in vain."""
        self.token = new_ulid()
        self.seconds = seconds
        #: by the database's clock; each record has its place in the microseconds behind it
        self.expires_at = now + timedelta(seconds=seconds)
        self.is_unsure = False
        """Whether a group failed, so that its records may still come when all others are there."""
        self._began = began
        self._most = most
        self._when_late = when_late
        self._is_late = False
        self._records = 0
        self._groups = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def places(self) -> timedelta:
        """How far behind `expires_at` its records may stand."""
        return timedelta(microseconds=self._records)

    @property
    def is_idle(self) -> bool:
        """Whether no group is on its way."""
        return not self._groups

    @contextmanager
    def joined(self, records: int) -> Iterator[datetime]:
        """While the block runs, a group of so many records is on its way; gives the place of the first."""
        place = self.expires_at + self.places
        self._records += records
        self._groups += 1
        self._idle.clear()
        try:
            yield place
        except BaseException:
            self.is_unsure = True
            raise
        finally:
            self._groups -= 1
            if not self._groups:
                self._idle.set()
                if self._is_late:
                    self._when_late()

    def has_room(self, records: int, now: float) -> bool:
        """Whether so many records more may join."""
        has_place = self._records + records <= self._most and not self.is_unsure
        return has_place and not self.has_gathered_for(_GATHERING_SHARE, now)

    def has_gathered_for(self, share: float, now: float) -> bool:
        """Whether such a share of its time has passed."""
        return now > self._began + share * self.seconds

    def close(self) -> None:
        """Lets no further group join."""
        self._most = 0

    async def settle(self) -> None:
        """Lets no further group join, and waits for those on their way, but not for long."""
        self.close()
        try:
            async with asyncio.timeout(_LATE_SECONDS):
                await self._idle.wait()
        except TimeoutError:
            self._is_late = True


class Reservations:
    """Whether what is stored may be leased at once, and the leases that gather."""

    def __init__(
        self,
        wakeup: Wakeup,
        stopping: asyncio.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`wakeup` knows whether something waits; from `stopping` on nothing is leased; `clock` is in seconds and never
        goes back.
        """
        self._wakeup = wakeup
        self._stopping = stopping or asyncio.Event()
        self._clock = clock
        self._takers = 0
        self._taken_at = -math.inf
        self._most = self._seconds = 0
        self._gathering: deque[Gathering] = deque()

    @property
    def is_gathering(self) -> bool:
        """Whether there is a lease to hand over."""
        return bool(self._gathering)

    @property
    def has_full(self) -> bool:
        """Whether there is one that no group joins any more."""
        return len(self._gathering) > 1

    @contextmanager
    def taker(self, most: int, seconds: int) -> Iterator[None]:
        """While the block runs, somebody waits for up to so many records, to have them for so long at most."""
        self._takers += 1
        self._most, self._seconds = most, min(seconds, _LONGEST_SECONDS)
        try:
            yield
        finally:
            self._takers -= 1
            self._taken_at = self._clock()

    def gathering(self, records: int, now: datetime, commit_seconds: float = 0.0) -> Gathering | None:
        """The lease under which a group of up to so many records is to be stored; None: it goes into the queue.

        `now` is the database's time, `commit_seconds` how long the group may take to be committed.
        """
        if self._wakeup.may_wait or not 0 < records <= self._most or not self._is_wanted():
            return None
        if commit_seconds > self._seconds / 2:
            return None  # it might be there only when the lease has ended
        last = self._gathering[-1] if self._gathering else None
        if last is not None and last.has_room(records, self._clock()):
            return last
        if len(self._gathering) >= _MOST_GATHERING:
            return None
        last = Gathering(self._most, self._seconds, self._clock(), now, self._wakeup.wake)
        self._gathering.append(last)
        return last

    @asynccontextmanager
    async def taking(self) -> AsyncIterator[Gathering | None]:
        """The first lease of which no group is on its way; None when there is none. One block at a time.

        It is handed over, or released, in the block. Should that fail, it is the next one's.
        """
        first = next((one for one in self._gathering if one.is_idle), None)
        if first is None and self._gathering:
            first = self._gathering[0]
            await first.settle()
        if first is None or not first.is_idle:
            yield None
            return
        self._gathering.remove(first)
        try:
            yield first
        except BaseException:
            self._gathering.appendleft(first)
            raise

    def unwanted(self) -> list[Gathering]:
        """Gives up the leases that nobody comes for, and of which no group is on its way; they are to be released."""
        now, is_wanted = self._clock(), self._is_wanted()
        old = [one for one in self._gathering if not is_wanted or one.has_gathered_for(_UNWANTED_SHARE, now)]
        for one in old:
            one.close()
        return self._without([one for one in old if one.is_idle])

    async def all(self) -> list[Gathering]:
        """Gives up all leases; they are to be released."""
        for one in list(self._gathering):
            await one.settle()
        return self._without(list(self._gathering))

    def _without(self, given_up: list[Gathering]) -> list[Gathering]:
        for one in given_up:
            self._gathering.remove(one)
        return given_up

    def _is_wanted(self) -> bool:
        return not self._stopping.is_set() and (self._takers > 0 or self._clock() < self._taken_at + _BUSY_SECONDS)
