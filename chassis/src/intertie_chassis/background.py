"""Work that runs beside the calls for as long as the process does, and is begun again when it fails."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from intertie_chassis.errors import Unavailable

_log = structlog.get_logger()
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0


async def keep_running(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Runs `work` until this is cancelled: again when it ends or raises, after a pause that grows to 5 s.

    A run that lasted a minute starts the pauses anew.
    """
    pause = _FIRST_PAUSE
    while True:
        started = time.monotonic()
        try:
            await work()
            _log.warning("background work ended; starting it again", work=name)
        except Unavailable as error:  # an outage is no bug: a line, and no stack for each attempt
            _log.warning("background work cannot go on; starting it again", work=name, cause=error.message)
        except Exception as error:  # whatever it is, the process goes on and so must its work
            _log.error("background work failed; starting it again", work=name, exc_info=error)
        if time.monotonic() - started > 60:
            pause = _FIRST_PAUSE
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
