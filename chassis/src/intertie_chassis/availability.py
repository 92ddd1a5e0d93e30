"""Keeps callers from waiting on a store that is away: looks when there is reason to, refuses at once, says when it is
back.

While a store is away one look at a time goes to it, each on a connection of its own with its own short limits; the
processes' callers stay out. What decides is `breaker`; here are the clock, the looks and those that wait.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from intertie_chassis import metrics
from intertie_chassis.breaker import Breaker
from intertie_chassis.errors import Unavailable

Look = Callable[[], Awaitable[bool]]
"""Whether the store answers on a connection of the look's own. May take as long as it likes, and raise OSError."""

_log = structlog.get_logger()
_SLOW_SECONDS = 1.0
_ANSWER_SECONDS = 1.5
_PAUSE_SECONDS = 0.5


class Availability:
    """The availability of one store for one process."""

    def __init__(self, name: str, look: Look | None, discard: Callable[[], Awaitable[None]]) -> None:
        """Args:
        name: of the store, for the metric; "" for none.
        look: None for a store that cannot be away, because it is a file.
        discard: throws the pooled connections away; called when the store is found away.
        """
        self._name = name
        self._look = look
        self._discard = discard
        self._breaker = Breaker()
        self._limits: set[asyncio.Timeout] = set()
        self._looking: asyncio.Task[None] | None = None
        self._is_closed = False
        self._is_stall_told = False

    @property
    def is_away(self) -> bool:
        """Whether the store was found away and has not been found back."""
        return self._breaker.is_away

    @property
    def is_refusing(self) -> bool:
        """Whether the store answers, and refuses to write."""
        return self._breaker.is_refusing(time.monotonic())

    @property
    def is_stalled(self) -> bool:
        """Whether the store answers, and commits nothing."""
        return self._breaker.is_stalled(time.monotonic())

    @asynccontextmanager
    async def within(self, seconds: float | None, *, writes: bool = False) -> AsyncIterator[None]:
        """The block ends within so many seconds, and at once when the store is found away.

        What lasts longer than a second is a reason to look. Raises Unavailable (STORE_UNAVAILABLE) instead of beginning
        when the store is known to be away, and when the block is ended.
        """
        if not self._breaker.admits(time.monotonic(), writes=writes):
            raise away()
        slow = asyncio.get_running_loop().call_later(_SLOW_SECONDS, self.suspect)
        limit = asyncio.timeout(seconds)
        self._limits.add(limit)
        try:
            async with limit:
                yield
        except TimeoutError as error:
            if not limit.expired():
                raise
            if self.is_away:
                raise away() from error
            if writes and seconds is not None:
                self._breaker.ran_out(seconds, time.monotonic())
                self._tell_stall()
            raise away("the database did not finish in time; try again") from error
        finally:
            slow.cancel()
            self._limits.discard(limit)

    def answered(self) -> None:
        """Says that the store answered somebody."""
        self._breaker.answered()

    def ended(self) -> None:
        """Says that a transaction that changed no rows was committed."""
        self._breaker.ended()

    def committed(self) -> None:
        """Says that a transaction that changed rows was committed."""
        self._breaker.committed()
        if self._is_stall_told:
            self._tell_stall()

    def refused(self) -> None:
        """Says that the store refused to write."""
        self._breaker.refused(time.monotonic())

    def suspect(self) -> None:
        """Says that the store may be away: looks, unless somebody is looking or has just looked."""
        if self._look is None or self._is_closed or self._looking is not None:
            return
        if self._breaker.wants_look(time.monotonic()):
            self._begin()

    def begin_away(self) -> None:
        """Says that the store was away from the start."""
        self._breaker.looked(False, self._breaker.served)
        self._tell()
        if self._look is not None and self._looking is None:
            self._begin()

    def begin_here(self) -> None:
        """Says that the store was there at the start."""
        self._tell()

    async def close(self) -> None:
        """Ends the looks."""
        self._is_closed = True
        looking = self._looking
        while looking is not None and not looking.done():
            looking.cancel()  # again if need be: the driver may lose one (asyncio.wait_for before Python 3.12)
            await asyncio.wait({looking}, timeout=0.2)

    def _begin(self) -> None:
        self._looking = asyncio.create_task(self._watch(), name="looks at the database")
        self._looking.add_done_callback(self._ended)

    def _begin_again(self) -> None:
        if self._looking is None and self.is_away and not self._is_closed:
            self._begin()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._looking = None
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("looking at the database failed", exc_info=error)
        if self.is_away and not self._is_closed:
            # While it is away nobody is let in who could give reason to look again.
            asyncio.get_running_loop().call_later(_PAUSE_SECONDS, self._begin_again)

    async def _watch(self) -> None:
        """Looks until the store answers."""
        since = time.monotonic()
        while True:
            served = self._breaker.served
            answers = await self._answers()
            if self._breaker.looked(answers, served):
                self._tell()
                if answers:
                    _log.info("database is back", away_seconds=round(time.monotonic() - since, 1))
                else:
                    _log.error("DATABASE IS AWAY: callers are refused until it answers")
                    self._release()
                    await self._discard()
            if answers:
                return
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _answers(self) -> bool:
        assert self._look is not None
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await self._look()
        except OSError:  # TimeoutError is one
            return False
        except Exception as error:  # a driver's own fault, at a server that is half there: no answer either
            _log.debug("a look at the database failed", exc_info=error)
            return False

    def _release(self) -> None:
        """Ends those that wait for the store's answer: they would wait on for as long as their limits are."""
        now = asyncio.get_running_loop().time()
        for limit in list(self._limits):
            if not limit.expired():
                limit.reschedule(now)

    def _tell_stall(self) -> None:
        if self.is_stalled == self._is_stall_told:
            return
        self._is_stall_told = self.is_stalled
        if self.is_stalled:
            _log.error("DATABASE COMMITS NOTHING: transactions are refused but for one a second, until one succeeds")
        else:
            _log.info("database commits again")
        self._tell()

    def _tell(self) -> None:
        if self._name:
            metrics.DATABASE_AVAILABLE.labels(self._name).set(not (self._breaker.is_away or self._is_stall_told))


def away(message: str = "the database is not available at the moment; try again") -> Unavailable:
    """The error of a store that is away."""
    return Unavailable(message, reason="STORE_UNAVAILABLE", retry_after=1)
