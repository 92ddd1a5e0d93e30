"""Following a stream of another service for as long as the process runs, through its outages and its silences."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

import structlog

from intertie_chassis.errors import IntertieError

T = TypeVar("T")
Open = Callable[[], AsyncGenerator[T, None]]

_log = structlog.get_logger()
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 1.0


async def follow(open_stream: Open[T], begin: Callable[[], Callable[[T], None]], *, what: str, silence: float) -> None:
    """Hands every message of the stream on until cancelled, opening it again whenever it ends.

    `begin` is called for each new stream and gives what takes its messages, so that what a stream has only half said
    goes with it. A stream that says nothing for `silence` seconds is dead, and opened again. `what` names it in the
    log, which has one line an outage.
    """
    pause, is_told = _FIRST_PAUSE, False
    while True:
        started = time.monotonic()
        try:
            await follow_once(open_stream, begin(), silence=silence)
            cause = "it ended"
        except IntertieError as error:
            cause = error.message
        except TimeoutError:
            cause = "it fell silent"
        if time.monotonic() - started > silence:
            pause, is_told = _FIRST_PAUSE, False
        if not is_told:
            _log.warning("a stream is away; what it said is kept", stream=what, cause=cause)
            is_told = True
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


async def follow_once(open_stream: Open[T], take: Callable[[T], None], *, silence: float) -> None:
    """Hands the messages of one stream on until it ends. Raises what it raises, TimeoutError when it is silent."""
    async with aclosing(open_stream()) as messages:
        while True:
            async with asyncio.timeout(silence):
                try:
                    message = await anext(messages)
                except StopAsyncIteration:
                    return
            take(message)
