"""A stream that is followed through its ends, its failures and its silences."""

import asyncio
from collections.abc import AsyncGenerator, Callable

from intertie_chassis.errors import Unavailable
from intertie_chassis.following import follow
from waiting import eventually


async def test_a_stream_is_opened_again_however_it_ends() -> None:
    """It ends, it fails, it falls silent: each time it is opened again, with a taker of its own."""
    streams: list[list[str]] = []
    opened = 0

    async def open_stream() -> AsyncGenerator[str, None]:
        nonlocal opened
        opened += 1
        number = opened
        yield f"first of {number}"
        yield f"second of {number}"
        if number == 2:
            raise Unavailable("away")
        if number == 3:
            await asyncio.Event().wait()

    def begin() -> Callable[[str], None]:
        streams.append([])
        return streams[-1].append

    task = asyncio.create_task(follow(open_stream, begin, what="a stream", silence=0.05))
    try:
        await eventually(lambda: len(streams) > 4)
    finally:
        task.cancel()
    assert streams[:4] == [[f"first of {number}", f"second of {number}"] for number in range(1, 5)]
