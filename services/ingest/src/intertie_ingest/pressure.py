"""Whether accepting needs this process for itself: in a burst what was accepted may wait, senders may not.

Accepting, leasing and telling the audit share one processor and one database. Left alone they share them evenly, and
half of what a burst could be taken with goes into work that nobody waits for. So while groups of deliveries follow each
other without a gap, and large ones, the rest goes on at a slow pace; a moment after the burst it catches up, in full
batches. A stream that leaves room, however steady, is never slowed.

Groups are no sign of their own: where commits are slow because the disk is, they follow without a gap under any load,
but are small.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_MEMORY_SECONDS = 0.5
"""What was longer ago than this counts a third."""
_LOOK_SECONDS = 0.1
_MOST_SHARE = 0.5
_LARGE_GROUP = 16


class Pressure:
    """What accepting has done lately, in this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is in seconds and never goes back."""
        self._clock = clock
        self._share = 0.0
        self._size = 0.0
        self._open = 0
        self._seen_at = clock()

    @contextmanager
    def accepting(self, deliveries: int) -> Iterator[None]:
        """While the block runs, a group of so many deliveries is accepted."""
        self._pass_time()
        self._size += (deliveries - self._size) / 4
        self._open += 1
        try:
            yield
        finally:
            self._pass_time()
            self._open -= 1

    @property
    def is_high(self) -> bool:
        """Whether all else should wait a little."""
        self._pass_time()
        return self._share > _MOST_SHARE and self._size >= _LARGE_GROUP

    async def wait(self, seconds: float) -> None:
        """Returns when it is not high, at once if so, and after so many seconds in any case."""
        until = self._clock() + seconds
        while self.is_high and self._clock() < until:  # noqa: ASYNC110 - what ends it is time itself
            await asyncio.sleep(_LOOK_SECONDS)

    def _pass_time(self) -> None:
        """Counts the time since the last call as one with, or without, a group in work."""
        now = self._clock()
        kept = math.exp((self._seen_at - now) / _MEMORY_SECONDS)
        self._share = self._share * kept + (1.0 - kept) * (self._open > 0)
        self._seen_at = now
