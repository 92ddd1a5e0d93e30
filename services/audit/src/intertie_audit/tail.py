"""Who waits for new entries, and how none is passed over.

A follower looks at the database when this process has appended, and once a second for what other replicas and the PHP
application wrote. It asks at its own pace and holds one look's entries at most, so a slow reader costs no memory.

Numbers are given before transactions commit, so on MySQL an entry may appear below one that was seen already. A
missing number is therefore awaited for longer than any transaction lasts; then it is taken for one rolled back.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from intertie_audit.errors import TooManyTails
from intertie_audit.model import Entry, EntryFilter, SystemFilter
from intertie_audit.store import Store

LOOK_SECONDS = 1.0
_PATIENCE_SECONDS = 15.0
"""Longer than the 10 s after which a transaction of ours is given up."""
_REST_SECONDS = 0.05
"""Between two looks: a burst of appends wakes a follower twenty times a second at most."""
_MOST_AWAITED = 10_000
_IDS_A_LOOK = 200


class Gaps:
    """Numbers below the highest one seen that are not in the log, or not yet."""

    def __init__(self, most: int = _MOST_AWAITED, patience: float = _PATIENCE_SECONDS) -> None:
        self._most = most
        self._patience = patience
        self._until: dict[int, float] = {}

    @property
    def awaited(self) -> list[int]:
        """The numbers that may still appear."""
        return list(self._until)

    def note(self, after: int, ids: Sequence[int], now: float) -> None:
        """Awaits what is missing between `after` and the last of `ids`, which ascend; beyond the bound the newest."""
        expected = after + 1
        for number in ids:
            for missing in range(max(expected, number - self._most), number):
                self._until[missing] = now + self._patience
            expected = number + 1
        for oldest in list(self._until)[: max(0, len(self._until) - self._most)]:
            del self._until[oldest]

    def forget(self, ids: Sequence[int]) -> None:
        """Awaits these no longer: they have appeared."""
        for number in ids:
            self._until.pop(number, None)

    def give_up(self, now: float) -> None:
        """Awaits no longer what has been missing for so long that no transaction can bring it."""
        for number in [number for number, until in self._until.items() if until <= now]:
            del self._until[number]


class Tail:
    """Wakes those who follow the log."""

    def __init__(self, store: Store, *, most_followers: int = 64, also_wake: Callable[[], None] | None = None) -> None:
        """`also_wake`: who else is told that entries were appended."""
        self._store = store
        self._also_wake = also_wake
        self._most_followers = most_followers
        self._appended = asyncio.Event()
        self.followers = 0
        """How many follow at the moment."""

    def wake(self) -> None:
        """Says that entries were appended."""
        self._appended.set()
        self._appended = asyncio.Event()
        if self._also_wake is not None:
            self._also_wake()

    async def follow(
        self, system: SystemFilter | None = None, *, last: int = 0, after_id: int | None = None
    ) -> AsyncGenerator[list[Entry]]:
        """Entries as they come, for ever, a few at a time, the oldest of each time first.

        Args:
            system: whose; None: all.
            last: how many of those that are there already come first.
            after_id: starts after the entry of this number instead.

        Raises TooManyTails when too many follow already, Unavailable when the store is away. Closing the generator
        frees all that it holds.
        """
        if self.followers >= self._most_followers:
            raise TooManyTails(retry_after=5)
        self.followers += 1
        try:
            async for entries in self._follow(system, last, after_id):
                yield entries
        finally:
            self.followers -= 1

    async def _follow(
        self, system: SystemFilter | None, last: int, after_id: int | None
    ) -> AsyncGenerator[list[Entry]]:
        loop = asyncio.get_running_loop()
        gaps = Gaps()
        if after_id is not None:
            position = after_id
        else:
            position = await self._store.newest_id()
            floor = max(0, position - _MOST_AWAITED // 10)
            gaps.note(floor, await self._ids_between(floor, position), loop.time())
            async for entries in self._newest(system, last, position):
                gaps.forget([entry.id for entry in entries])
                yield entries
        look_for_late_at = loop.time()
        while True:
            appended = self._appended
            ids = await self._store.ids_after(position, _IDS_A_LOOK)
            now = loop.time()
            late: list[int] = []
            if gaps.awaited and now >= look_for_late_at:
                late = await self._store.present(gaps.awaited)
                gaps.forget(late)
                gaps.give_up(now)
                look_for_late_at = now + LOOK_SECONDS
            if ids:
                gaps.note(position, ids, now)
                position = ids[-1]
            for start in range(0, len(late) + len(ids), _IDS_A_LOOK):
                entries = await self._store.among([*late, *ids][start : start + _IDS_A_LOOK], system)
                if entries:
                    yield entries
            if len(ids) < _IDS_A_LOOK:
                await _wait(appended)
                await asyncio.sleep(_REST_SECONDS)

    async def _ids_between(self, floor: int, newest: int) -> list[int]:
        ids: list[int] = []
        while floor < newest:
            some = [number for number in await self._store.ids_after(floor, _IDS_A_LOOK) if number <= newest]
            if not some:
                break
            ids.extend(some)
            floor = some[-1]
        return ids

    async def _newest(self, system: SystemFilter | None, last: int, newest: int) -> AsyncGenerator[list[Entry]]:
        """The last entries up to a number, the oldest first."""
        if not last:
            return
        page = await self._store.page(EntryFilter(system=system), limit=last, before_id=newest + 1)
        oldest_first = page.entries[::-1]
        for start in range(0, len(oldest_first), _IDS_A_LOOK):
            yield oldest_first[start : start + _IDS_A_LOOK]


async def _wait(appended: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            await appended.wait()
    except TimeoutError:
        return
