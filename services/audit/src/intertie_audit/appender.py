"""Appends what several callers send as one transaction: batches grow with the load, and who comes alone need not wait.

A transaction costs what a hundred entries cost, and outboxes send few at a time, one batch after the other. What comes
while a transaction runs, or shortly after it, goes into the next one, and meanwhile more gathers in the outboxes. The
delay hurts no caller: what they send has happened, and the rows are sealed within the same second.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from intertie_audit.model import NewEntry
from intertie_audit.store import Store
from intertie_chassis.errors import Unavailable

_REST_SECONDS = 0.1
"""Behind a transaction, before the next one begins."""
_ENOUGH = 500
"""Entries for which no rest is kept: more would not make them cheaper."""


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    entries: Sequence[NewEntry]
    #: how many were new
    answer: asyncio.Future[int]


class Appender:
    """The one through whom the calls of a process append."""

    def __init__(self, store: Store, appended: Callable[[], None]) -> None:
        """`appended`: is called when entries were stored."""
        self._store = store
        self._appended = appended
        self._calls: list[_Call] = []
        self._waiting = 0
        self._enough = asyncio.Event()
        self._rest_until = 0.0
        self._work: asyncio.Task[None] | None = None

    async def append(self, entries: Sequence[NewEntry]) -> int:
        """Stores the entries whole or not at all, as `Store.add` does; gives how many were new. Raises what it does.

        A caller who is cancelled does not take them back.
        """
        call = _Call(entries, asyncio.get_running_loop().create_future())
        self._calls.append(call)
        self._waiting += len(entries)
        if self._waiting >= _ENOUGH:
            self._enough.set()
        if self._work is None:
            self._work = asyncio.create_task(self._work_off())
        return await call.answer

    async def _work_off(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._calls:
                await self._rest(self._rest_until - loop.time())
                calls, self._calls = self._calls, []
                self._waiting = 0
                self._enough.clear()
                await self._append(calls)
                self._rest_until = loop.time() + _REST_SECONDS
        finally:
            self._work = None  # whatever ended it: the next caller begins anew

    async def _rest(self, seconds: float) -> None:
        if seconds <= 0:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._enough.wait()
        except TimeoutError:
            return

    async def _append(self, calls: Sequence[_Call]) -> None:
        try:
            new = await self._store.add([entry for call in calls for entry in call.entries])
        except Exception as error:
            if len(calls) > 1 and not isinstance(error, Unavailable):
                # What the database refuses of one caller concerns no other.
                for call in calls:
                    await self._append([call])
                return
            for call in calls:
                if not call.answer.done():
                    call.answer.set_exception(error)
            return
        if new:
            self._appended()
        for call in calls:
            own = new.intersection(entry["entry_id"] for entry in call.entries)
            new -= own
            if not call.answer.done():
                call.answer.set_result(len(own))
