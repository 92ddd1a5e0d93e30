"""Works on runs, a few at a time: claims them, whoever asked for them and wherever they were left, until the end."""

import asyncio
import time
from collections.abc import Callable

import structlog

from intertie_chassis.errors import IntertieError
from intertie_ingest.errors import NoSnapshot
from intertie_ingest.pull.configuration import PullConfiguration
from intertie_ingest.syncs.model import Run
from intertie_ingest.syncs.run_lease import Halt, Pace
from intertie_ingest.syncs.runner import Neighbours, Runner
from intertie_ingest.syncs.sources import SourceOf
from intertie_ingest.syncs.stores import Stores
from intertie_ingest.wakeup import Wakeup

SETTLING_FOR_EACH = 8
"""A run that only waits for mapper costs little; so many of them a slot may wait before no more runs are begun."""

_STOP_SECONDS = 8.0

_log = structlog.get_logger()


class Engine:
    """The runs of this process."""

    def __init__(
        self,
        stores: Stores,
        configuration: Callable[[], PullConfiguration],
        source_of: SourceOf,
        neighbours: Neighbours,
        *,
        most_runs: int = 4,
        pace: Pace | None = None,
    ) -> None:
        """`configuration` raises NoSnapshot before there is one; `most_runs` may be read at the same time."""
        self.ended = Wakeup()
        """Rings when a run of this process has ended, or is left."""
        self._stores = stores
        self._configuration = configuration
        self._source_of = source_of
        self._neighbours = neighbours
        self._most = most_runs
        self._pace = pace or Pace()
        self._bell = Wakeup()
        self._working: dict[asyncio.Task[None], Runner] = {}
        self._claiming: asyncio.Task[None] | None = None
        self._is_stopping = False

    @property
    def free(self) -> int:
        """How many more runs may be begun now."""
        reading = sum(not runner.is_settling for runner in self._working.values())
        return max(0, min(self._most - reading, self._most * SETTLING_FOR_EACH - len(self._working)))

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """The runs that are worked on now."""
        return list(self._working)

    def wake(self) -> None:
        """Says that there is a run to begin, or one to look after."""
        self._bell.ring()

    async def run(self) -> None:
        """Claims runs and begins them, for ever, through every outage of the database; for `run_in_background`."""
        is_told = False
        while True:
            rung = self._bell.listen()
            self._claiming = asyncio.create_task(self._claim())
            try:
                # A claim is committed though this is cancelled: then `stop` puts back what it came to.
                await asyncio.shield(self._claiming)
                is_told = False
            except NoSnapshot:
                pass
            except IntertieError as error:
                if not is_told:
                    _log.warning("runs cannot be claimed", cause=error.message)
                is_told = True
            await _heard(rung, self._pace.look)

    async def wait_for(self, run_id: str, seconds: float, stopping: asyncio.Event) -> Run:
        """The run when it has ended, or as it is after so many seconds, or once `stopping` is set.

        It may be another process that works on it. Raises RunNotFound, Unavailable.
        """
        until = time.monotonic() + seconds
        while True:
            rung = self.ended.listen()
            run = await self._stores.runs.get(run_id)
            left = until - time.monotonic()
            if run.state.has_ended or left <= 0 or stopping.is_set():
                return run
            await _heard(rung, min(left, self._pace.look))

    async def stop(self) -> None:
        """Leaves every run behind the page that it is at, for another process to go on at once; begins no more."""
        self._is_stopping = True
        if self._claiming is not None:
            await asyncio.wait({self._claiming}, timeout=_STOP_SECONDS)
            if self._claiming.done() and not self._claiming.cancelled():
                self._claiming.exception()  # looked at: what it came to, `run` says, or nobody needs
        for runner in self._working.values():
            runner.lease.stop(Halt.STOPPING)
        if self._working:
            await asyncio.wait(self._working, timeout=_STOP_SECONDS)
        for task in list(self._working):
            task.cancel()
        if self._working:
            await asyncio.wait(self._working, timeout=1.0)

    async def _claim(self) -> None:
        configuration = self._configuration()
        if self._is_stopping or not self.free:
            return

        def crashed(run: Run) -> bytes:
            return self._neighbours.entry(run, configuration)

        for claim in await self._stores.runs.claim(self.free, self._pace.lease, crashed):
            runner = Runner(claim, self._stores, self._configuration, self._source_of, self._neighbours, self._pace)
            if self._is_stopping:
                runner.lease.stop(Halt.STOPPING)
            task = asyncio.create_task(runner.run(), name=f"sync {claim.run.run_id}")
            self._working[task] = runner
            task.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[None]) -> None:
        del self._working[task]
        self.ended.ring()
        self._bell.ring()


async def _heard(bell: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await bell.wait()
    except TimeoutError:
        return
