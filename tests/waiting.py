"""Waiting for something to become true, with a deadline and without guessing how long it takes."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(probe: Callable[[], T | Awaitable[T]], timeout: float = 10, *, every: float = 0.02) -> T:
    """Call ``probe`` until it answers something true, and return that.

    The probe may be a plain or an async function; an AssertionError that it raises means "not yet". After ``timeout``
    seconds AssertionError tells what the probe last said.
    """
    deadline = time.monotonic() + timeout
    while True:
        failure: AssertionError | None = None
        answer: T | None = None
        try:
            result = probe()
            answer = await result if inspect.isawaitable(result) else result
            if answer:
                return answer
        except AssertionError as not_yet:
            failure = not_yet
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s; last: {failure or repr(answer)}") from failure
        await asyncio.sleep(every)
