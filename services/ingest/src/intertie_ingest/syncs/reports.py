"""Tells registry when a mapping has synced: beside the runs, and through registry's outages."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

import structlog

from intertie_chassis.errors import IntertieError

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 15.0

_log = structlog.get_logger()


class Reports:
    """What registry is still to be told: of each mapping its last sync."""

    def __init__(self, send: Callable[[int, datetime, bool], Awaitable[None]]) -> None:
        """`send` takes a mapping's number, when it synced (naive, UTC), and whether a tick brought it."""
        self._send = send
        self._waiting: dict[int, tuple[datetime, bool]] = {}
        self._woken = asyncio.Event()

    def report(self, mapping_id: int, finished_at: datetime, is_scheduled: bool) -> None:
        """Says that a mapping has synced."""
        self._waiting[mapping_id] = (finished_at, is_scheduled)
        self._woken.set()

    async def run(self) -> None:
        """Reports what there is, again until registry has it, for ever; for `run_in_background`."""
        pause = _FIRST_PAUSE
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                await self._report()
                pause = _FIRST_PAUSE
            except IntertieError as error:
                _log.warning("syncs cannot be reported to registry; trying again", cause=error.message)
                self._woken.set()
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)

    async def _report(self) -> None:
        for mapping_id in list(self._waiting):
            finished_at, is_scheduled = self._waiting[mapping_id]
            await self._send(mapping_id, finished_at, is_scheduled)
            if self._waiting[mapping_id] == (finished_at, is_scheduled):
                del self._waiting[mapping_id]
