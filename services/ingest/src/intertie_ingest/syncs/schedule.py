"""The schedule: makes a run of each tick that registry says is due, once, whoever else asks."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import structlog

from intertie_chassis.errors import IntertieError
from intertie_ingest.errors import NoSnapshot
from intertie_ingest.pull.configuration import PullConfiguration
from intertie_ingest.syncs.engine import Engine
from intertie_ingest.syncs.model import NewRun, Run, Trigger
from intertie_ingest.syncs.run_store import RunStore
from intertie_ingest.syncs.sources import default_mode

SPARE_TICKS = 4
"""More than there are free slots: what waits in our own database begins as soon as a slot is free."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Tick:
    """A moment at which a mapping is to sync."""

    mapping_id: int
    system_id: int
    #: naive, UTC
    due_at: datetime
    #: ticks between this one and now that are passed over with it; once it is taken up, those that its run stands for
    missed: int = 0


class Ticks(Protocol):
    """Registry, as far as it keeps the time."""

    async def claim_ticks(self, taken: Sequence[Tick], most: int) -> list[Tick]:
        """Tells which ticks have their run; gives up to `most` that are due. Raises IntertieError."""
        ...


class Schedule:
    """Takes up ticks for as long as the process runs."""

    def __init__(
        self,
        ticks: Ticks,
        runs: RunStore,
        engine: Engine,
        configuration: Callable[[], PullConfiguration],
        *,
        pause: float = 1.0,
    ) -> None:
        """`pause` is in seconds, between two questions."""
        self._ticks = ticks
        self._runs = runs
        self._engine = engine
        self._configuration = configuration
        self._pause = pause
        self._taken: list[Tick] = []
        self._passed_over = 0
        self._is_told = False

    async def run(self) -> None:
        """Asks and takes up, for ever, through every outage of registry and the database; for `run_in_background`."""
        while True:
            if not await self.turn():
                await asyncio.sleep(self._pause)

    async def turn(self) -> bool:
        """One question. Whether the next one should not wait, because there is something to confirm."""
        try:
            return await self._turn()
        except NoSnapshot:
            return False
        except IntertieError as error:
            # A tick stays due until it is taken up: an outage delays syncs and loses none.
            if not self._is_told:
                _log.warning("the schedule waits", cause=error.message, reason=error.reason)
            self._is_told = True
            return False

    async def _turn(self) -> bool:
        configuration, free = self._configuration(), self._engine.free
        # Ticks that could not be taken up last time must not stand before those that can.
        most = free + SPARE_TICKS + self._passed_over if free else 0
        confirmed = tuple(self._taken)
        due = await self._ticks.claim_ticks(confirmed, most)
        self._taken, self._is_told = [], False
        known = [tick for tick in due if tick.mapping_id in configuration.mappings]
        self._passed_over = len(due) - len(known)
        for tick in known:
            await self._take_up(configuration, tick)
        return bool(self._taken)

    async def _take_up(self, configuration: PullConfiguration, tick: Tick) -> None:
        mapping = configuration.mappings[tick.mapping_id]
        run, is_new = await self._runs.create(
            NewRun(
                mapping.system_id,
                mapping.id,
                default_mode(mapping),
                Trigger.SCHEDULE,
                tick_at=tick.due_at,
                missed_ticks=tick.missed,
            )
        )
        self._taken.append(replace(tick, missed=_passed_over(tick, run)))
        if tick.missed and is_new:
            _log.warning(
                "ticks were missed; one sync makes up for them",
                system=mapping.system,
                mapping=mapping.name,
                missed=tick.missed,
                run=run.run_id,
            )
        if is_new:
            self._engine.wake()


def _passed_over(tick: Tick, run: Run) -> int:
    """How many of the ticks after this one the run stands for that answers it.

    A run that was made, and perhaps ended, before they came does not: whoever made it died before saying so, and the
    ticks are due themselves.
    """
    if run.tick_at == tick.due_at:
        return run.missed_ticks
    return 0 if run.state.has_ended else tick.missed
