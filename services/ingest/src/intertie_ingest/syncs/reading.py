"""Works one page ahead: the next one is made ready while the present one is stored, and only these two are held."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol, TypeVar

_CLOSING_SECONDS = 0.2


class OneOfSome(Protocol):
    """What comes one after the other."""

    @property
    def is_last(self) -> bool:
        """Whether nothing comes behind it."""
        ...


T = TypeVar("T", bound=OneOfSome)


async def read_ahead(pages: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """The same pages, ending with the last one; a page is asked for when the one before it is taken.

    Closing this closes the source, whatever it waits for. Raises what the source raises, after the pages before it.
    """
    # A task of its own opens, reads and closes the source: drivers may tie what they hold to the task that they are in.
    turn, read = asyncio.Semaphore(1), asyncio.Queue[T | Exception | None]()
    reader = asyncio.create_task(_read(pages, turn, read), name="sync: reads ahead")
    try:
        while True:
            page = await read.get()
            if page is None:
                return
            if isinstance(page, Exception):
                raise page
            turn.release()
            yield page
            if page.is_last:
                return
    finally:
        while not reader.done():
            # Once is not enough: before Python 3.12 asyncio.wait_for, which drivers use, may swallow a cancellation.
            reader.cancel()
            await asyncio.wait({reader}, timeout=_CLOSING_SECONDS)


async def _read(
    pages: AsyncGenerator[T, None], turn: asyncio.Semaphore, read: "asyncio.Queue[T | Exception | None]"
) -> None:
    try:
        async with aclosing(pages):
            while True:
                await turn.acquire()
                page = await anext(pages, None)
                read.put_nowait(page)
                if page is None or page.is_last:
                    return
    except Exception as error:
        # Whatever the source raises is the run's to judge.
        read.put_nowait(error)
