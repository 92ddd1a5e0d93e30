"""The lease of one run: kept while the run is worked on, and the place where the work learns that it must stop."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import structlog

from intertie_chassis.errors import Unavailable
from intertie_ingest.errors import RunNotFound
from intertie_ingest.syncs.model import Claim, Signal
from intertie_ingest.syncs.run_store import RunStore

T = TypeVar("T")

_LONGEST_STORE_PAUSE = 2.0
_LOOKS_A_LEASE = 3
"""How often at least a lease is extended before it ends."""

_log = structlog.get_logger()


class Halt(StrEnum):
    """Why the work on a run stops before its end."""

    #: it was cancelled
    CANCEL = "cancel"
    #: another process has it
    LOST = "lost"
    #: this process stops; another one shall go on at once
    STOPPING = "stopping"


class Halted(Exception):
    """The work is to stop, for the reason in `halt`."""

    def __init__(self, halt: Halt) -> None:
        """The reason."""
        self.halt = halt
        super().__init__(halt.value)


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things take that nothing but time decides. Seconds."""

    #: a run whose process says nothing for so long is another's
    lease: int = 30
    #: how often it is looked whether a run is cancelled, and so how soon one stops
    look: float = 1.0
    #: how long records may wait for mapper before their run ends without them
    settle: float = 600.0
    #: how often a source is tried that cannot be reached, without a page in between
    tries: int = 3
    #: the first pause between two tries; each further one is twice as long
    first_pause: float = 1.0
    longest_pause: float = 60.0
    #: what waits between tries; tests hand in one that does not
    sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep


class RunLease:
    """The lease of a claimed run."""

    def __init__(self, runs: RunStore, claim: Claim, pace: Pace) -> None:
        self._runs = runs
        self._run_id = claim.run.run_id
        self._token = claim.token
        self._pace = pace
        self._halt: Halt | None = Halt.CANCEL if claim.run.is_cancel_requested else None
        self._halted = asyncio.Event()
        if self._halt is not None:
            self._halted.set()

    def stop(self, halt: Halt) -> None:
        """Stops the work; the first reason counts."""
        self._halt = self._halt or halt
        self._halted.set()

    def check(self) -> None:
        """Raises Halted when the work is to stop."""
        if self._halt is not None:
            raise Halted(self._halt)

    async def keep(self) -> None:
        """Extends the lease, and looks whether the run is cancelled, until it is lost or this is cancelled itself."""
        extended = time.monotonic()
        while self._halt is not Halt.LOST:
            await asyncio.sleep(self._pace.look)
            try:
                # Most times a look will do: what is written keeps others from writing, where one file has one writer.
                is_due = time.monotonic() - extended >= self._pace.lease / _LOOKS_A_LEASE
                signal = await (self._extend() if is_due else self._look())
            except Unavailable as error:
                # Should another process take the run meanwhile, whatever is written for this lease is refused.
                _log.warning("a sync's lease cannot be kept", run=self._run_id, cause=error.message)
                continue
            extended = time.monotonic() if is_due else extended
            if signal is not Signal.GO_ON:
                self.stop(Halt.CANCEL if signal is Signal.CANCEL else Halt.LOST)

    async def _extend(self) -> Signal:
        return await self._runs.extend(self._run_id, self._token, self._pace.lease)

    async def _look(self) -> Signal:
        try:
            run = await self._runs.get(self._run_id)
        except RunNotFound:
            return Signal.LOST
        if run.state.has_ended:
            return Signal.LOST
        return Signal.CANCEL if run.is_cancel_requested else Signal.GO_ON

    async def unless_halted(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives; when the lease is halted first, the work is cancelled. Raises Halted."""
        task, halted = asyncio.ensure_future(work), asyncio.ensure_future(self._halted.wait())
        try:
            await asyncio.wait({task, halted}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                self.check()
            return await task
        finally:
            halted.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
            if not task.cancelled():
                task.exception()

    async def stored(self, work: Callable[[], Awaitable[T]]) -> T:
        """What a store gives, asked again while the database is away: what was read need not be read again for that.

        Raises Halted when the run is lost, or the process stops, meanwhile.
        """
        pause, is_told = self._pace.first_pause, False
        while True:
            try:
                return await work()
            except Unavailable as error:
                if not is_told:
                    _log.warning("a sync waits for the database", run=self._run_id, cause=error.message)
                is_told = True
            if self._halt in (Halt.LOST, Halt.STOPPING):
                self.check()
            await self._pace.sleep(pause)
            pause = min(pause * 2, _LONGEST_STORE_PAUSE)
