"""One claimed run, from its first page, or the page behind the last stored one, to its end."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from intertie_chassis.errors import FailedPrecondition, Internal, IntertieError
from intertie_ingest.errors import RunLost
from intertie_ingest.pull.configuration import PullConfiguration
from intertie_ingest.syncs.cursors import CursorMismatch
from intertie_ingest.syncs.model import Claim, Mode, PageOutcome, Run, RunState, Trigger
from intertie_ingest.syncs.page_run import PageRun
from intertie_ingest.syncs.run_lease import Halt, Halted, Pace, RunLease
from intertie_ingest.syncs.sources import SourceOf, mapping_of
from intertie_ingest.syncs.stores import Stores

VANISHED_AT_ONCE = 1000
_SHORTEST_LOOK = 0.1
_LONGEST_LOOK = 5.0
_PAUSES_A_LOOK = 10
"""So many times as long as a look took is the pause behind it, at least: it counts what waits, and while hundreds of
thousands of records do, that is work which mapper's own statements would wait for."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What a run tells others. None of it waits or raises."""

    #: so many records are there for mapper
    announce: Callable[[int], None]
    #: the mapping has synced; when, and whether a tick brought it
    report: Callable[[int, datetime, bool], None]
    #: the audit's message of a run that ends as it is given
    entry: Callable[[Run, PullConfiguration], bytes]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ends."""

    state: RunState
    reason: str = ""
    message: str = ""


class Runner:
    """Works on one run."""

    def __init__(
        self,
        claim: Claim,
        stores: Stores,
        configuration: Callable[[], PullConfiguration],
        source_of: SourceOf,
        neighbours: Neighbours,
        pace: Pace,
    ) -> None:
        self.lease = RunLease(stores.runs, claim, pace)
        self._claim = claim
        self._run = claim.run
        self._stores = stores
        self._configuration = configuration
        self._source_of = source_of
        self._neighbours = neighbours
        self._pace = pace
        self._log = _log.bind(run=claim.run.run_id, mapping=claim.run.mapping_id)

    @property
    def is_settling(self) -> bool:
        """Whether all is read, and the run only waits for mapper."""
        return self._run.state is RunState.SETTLING

    async def run(self) -> None:
        """Works on the run until it has ended, is another's, or the process stops; raises nothing of its own."""
        keeper = asyncio.create_task(self.lease.keep(), name="sync: keeps the lease")
        try:
            await self._finish(await self._ending())
        except (RunLost, Halted) as error:
            if isinstance(error, Halted) and error.halt is Halt.STOPPING:
                await self._put_back()
            self._log.info("a sync is left to another process")
        except Exception:
            # The run stays claimed: when its lease ends it is taken up again, and given up after a few times.
            self._log.exception("a sync's end could not be stored")
        finally:
            keeper.cancel()
            await asyncio.wait({keeper})

    async def _ending(self) -> Ending:
        """Does the work; how the run ends. Raises Halted and RunLost when it does not end here."""
        try:
            self.lease.check()
            if not self.is_settling:
                await self._read()
            await self._settle()
        except Halted as error:
            if error.halt is not Halt.CANCEL:
                raise
            return Ending(RunState.CANCELLED)
        except RunLost:
            raise
        except CursorMismatch as error:
            message = f"{error}; when the cursor field has another type now, reset the mapping's cursor"
            return Ending(RunState.FAILED, FailedPrecondition.reason, message)
        except IntertieError as error:
            return Ending(RunState.FAILED, error.reason, error.message)
        except Exception:
            # Whatever it is that nobody thought of: it fails its own run, and the others go on.
            self._log.exception("a sync has failed inside")
            message = "Something went wrong inside; pull's log has it under the run's id."
            return Ending(RunState.FAILED, Internal.reason, message)
        return Ending(RunState.SUCCEEDED)

    async def _read(self) -> None:
        if self._run.mode is not Mode.RELEASE:
            reading = PageRun(self._claim, self._stores, self._configuration, self._source_of, self.lease, self._pace)
            await reading.read(self._took)
        if self._run.mode is Mode.FULL:
            await self._mark_vanished()
        self._run = await self.lease.stored(
            lambda: self._stores.runs.begin_settling(self._claim.run.run_id, self._claim.token)
        )

    def _took(self, outcome: PageOutcome) -> None:
        self._run = outcome.run
        if outcome.released:
            self._neighbours.announce(outcome.released)

    async def _mark_vanished(self) -> None:
        _, mapping = mapping_of(self._configuration(), self._run)
        if mapping.plan is not None and mapping.plan.every:
            return  # each row is something that happened; that it is told of no more does not undo it
        while await self.lease.stored(lambda: self._stores.settling.mark_vanished(self._claim, VANISHED_AT_ONCE)):
            self.lease.check()

    async def _release(self) -> None:
        """Hands over what deliveries brought and what waits for a sync."""
        released = await self.lease.stored(lambda: self._stores.settling.release_waiting(self._run))
        if released:
            self._neighbours.announce(released)

    async def _settle(self) -> None:
        """Waits until mapper has taken the run's records, or for as long as a run waits for that."""
        await self._release()
        began = looked = time.monotonic()
        while await self._look() and (waited := time.monotonic() - began) < self._pace.settle:
            # A look writes: what has waited long is looked after less often.
            pause = min(max(_SHORTEST_LOOK, waited / 5), _LONGEST_LOOK)
            pause = max(pause, _PAUSES_A_LOOK * (time.monotonic() - looked))
            await self.lease.unless_halted(asyncio.sleep(min(pause, self._pace.settle)))
            looked = time.monotonic()

    async def _look(self, *, is_final: bool = False) -> int:
        """How many of the run's records wait for mapper."""
        found = await self.lease.stored(lambda: self._stores.settling.settlement(self._run, is_final=is_final))
        self._run = found.run or self._run
        return found.pending

    async def _finish(self, ending: Ending) -> None:
        if ending.state is RunState.FAILED:
            await self._release()  # deliveries must not wait for as long as the source is away
        await self._look(is_final=True)
        entry = self._neighbours.entry(
            replace(self._run, state=ending.state, error_reason=ending.reason, error_message=ending.message),
            self._configuration(),
        )
        self._run = run = await self.lease.stored(
            lambda: self._stores.runs.finish(
                self._run.run_id, self._claim.token, ending.state, ending.reason, ending.message, entry
            )
        )
        if ending.state is RunState.SUCCEEDED and run.mode is not Mode.BACKFILL and run.finished_at is not None:
            self._neighbours.report(run.mapping_id, run.finished_at, run.trigger is Trigger.SCHEDULE)
        write = self._log.warning if ending.state is RunState.FAILED else self._log.info
        write("a sync has ended", state=ending.state.value, reason=ending.reason, cause=ending.message, read=run.read)

    async def _put_back(self) -> None:
        try:
            await self._stores.runs.put_back(self._run.run_id, self._claim.token)
        except IntertieError as error:
            self._log.warning("a sync could not be put back; it is taken up when its lease ends", cause=error.message)
