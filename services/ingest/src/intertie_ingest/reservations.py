"""Records that are leased as they are stored: where a worker waits and nothing else does, they are its batch already.

A claim locks rows, reads them, and writes each once more into the index that is the queue's order: a third of what a
record costs the database behind its acceptance. Here new rows are written under a lease that still gathers, and one
look, which locks nothing, hands it over. Only the token is kept in memory; which records there are the look finds.

Nobody has the lease of a process that dies before it has handed it over, so it is a short one. While anything waits in
the queue nothing is leased so: what is there is claimed first.
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
_GATHERING = 0.8
"""Of a lease's time: with less left no group joins it. What is handed over must have time to be worked on."""
_MOST_GATHERING = 3
_BUSY_SECONDS = 0.5
"""Who waited so recently is working, and will be back."""
_LATE_SECONDS = 0.25
"""How long a lease waits for groups on their way. One that comes later is found when the lease has ended."""


class Gathering:
    """A lease whose records are still coming."""

    def __init__(self, most: int, seconds: int, began: float, now: datetime) -> None:
        self.token = new_ulid()
        self.seconds = seconds
        #: by the database's clock; each record has its place in the microseconds behind it
        self.expires_at = now + timedelta(seconds=seconds)
        self.began = began
        self._most = most
        self._records = 0
        self._groups = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def places(self) -> timedelta:
        """How far behind `expires_at` its records may stand."""
        return timedelta(microseconds=self._records)

    @contextmanager
    def joined(self, records: int) -> Iterator[datetime]:
        """While the block runs, a group of so many records is on its way; gives the place of the first."""
        place = self.expires_at + self.places
        self._records += records
        self._groups += 1
        self._idle.clear()
        try:
            yield place
        finally:
            self._groups -= 1
            if not self._groups:
                self._idle.set()

    def left(self, now: float) -> float:
        """Seconds until it ends."""
        return self.began + self.seconds - now

    def has_room(self, records: int) -> bool:
        """Whether so many records more may join."""
        return self._records + records <= self._most

    async def settled(self) -> None:
        """Returns when no group is on its way, or one takes long."""
        try:
            async with asyncio.timeout(_LATE_SECONDS):
                await self._idle.wait()
        except TimeoutError:
            pass


class Reservations:
    """Whether what is stored may be leased at once, and the leases that gather."""

    def __init__(self, wakeup: Wakeup, clock: Callable[[], float] = time.monotonic) -> None:
        """`wakeup` knows whether something waits; `clock` is in seconds and never goes back."""
        self._wakeup = wakeup
        self._clock = clock
        self._takers = 0
        self._taken_at = -math.inf
        self._most = self._seconds = 0
        self._gathering: deque[Gathering] = deque()

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

    def gathering(self, records: int, now: datetime) -> Gathering | None:
        """The lease under which a group of up to so many records is to be stored; None: it goes into the queue.

        `now` is the database's time.
        """
        if self._wakeup.has_queued or not 0 < records <= self._most or not self._is_wanted():
            return None
        last = self._gathering[-1] if self._gathering else None
        if last is not None and last.has_room(records) and last.left(self._clock()) > _GATHERING * last.seconds:
            return last
        if len(self._gathering) >= _MOST_GATHERING:
            return None
        last = Gathering(self._most, self._seconds, self._clock(), now)
        self._gathering.append(last)
        return last

    @asynccontextmanager
    async def taking(self) -> AsyncIterator[tuple[Gathering, float] | None]:
        """The lease that began first, and what is left of its seconds; None when there is none.

        It is handed over in the block. Should that fail, it is the next one's.
        """
        if not self._gathering:
            yield None
            return
        first = self._gathering.popleft()
        try:
            await first.settled()
            yield first, first.left(self._clock())
        except BaseException:
            self._gathering.appendleft(first)
            raise

    def _is_wanted(self) -> bool:
        return self._takers > 0 or self._clock() < self._taken_at + _BUSY_SECONDS
