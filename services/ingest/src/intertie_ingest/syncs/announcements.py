"""Tells ingest that there are records for mapper: beside the runs, which never wait for it."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from intertie_chassis.errors import IntertieError

_log = structlog.get_logger()


class Announcements:
    """What is to be announced; many that come together are announced as one."""

    def __init__(self, send: Callable[[int], Awaitable[None]]) -> None:
        """`send` tells how many records there are; when it raises IntertieError nothing is lost but a second, for
        whoever waits for records also looks by itself."""
        self._send = send
        self._records = 0
        self._woken = asyncio.Event()

    def announce(self, records: int) -> None:
        """Says that so many records have been stored for mapper."""
        self._records += records
        self._woken.set()

    async def run(self) -> None:
        """Announces what there is, for ever; for `run_in_background`."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            records, self._records = self._records, 0
            try:
                await self._send(records)
            except IntertieError as error:
                _log.debug("records could not be announced", records=records, cause=error.message)
