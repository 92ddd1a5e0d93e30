"""Handshakes that were answered: audit hears of them by system, minute and source, so that a flood of them, from a
system that lets everybody in, is a handful of entries.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from intertie_chassis.clock import utc_now
from intertie_chassis.errors import Unavailable
from intertie_chassis.outbox import Outbox
from intertie_chassis.sources import source_of
from intertie_ingest.model import Greeting, RawDelivery

FLUSH_SECONDS = 0.5
MOST_SOURCES = 20
"""Sources of one system and minute that are told apart; what comes from others is counted without it."""
MOST_KEPT = 10_000
"""Places that are kept while the database is away; what comes from further ones is counted without its source."""


@dataclass(frozen=True, slots=True)
class Greeted:
    """Handshakes of one system, minute and source."""

    system_id: int
    system: str
    minute: datetime
    #: empty: various
    source: str
    verified_by: str
    #: of the last one
    status: int
    count: int


_Place = tuple[int, datetime, str, str]


class Greetings:
    """Gathers handshakes and has audit told of them: of a minute's first one at once, of the others when it is over."""

    def __init__(
        self,
        outbox: Outbox,
        entries: Callable[[Sequence[Greeted]], bytes],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """`entries` makes the audit's message."""
        self._outbox = outbox
        self._entries = entries
        self._now = now
        self._untold: dict[_Place, Greeted] = {}
        self._told: set[_Place] = set()
        self._minute = datetime.min
        self._sources: Counter[int] = Counter()
        """By system, how many sources this minute has."""

    def add(self, raw: RawDelivery, greeting: Greeting) -> None:
        """Counts a handshake."""
        minute = self._now().replace(second=0, microsecond=0)
        if minute != self._minute:
            self._minute = minute
            self._sources.clear()
        system = greeting.system_id
        place: _Place = (system, minute, source_of(raw.peer), greeting.verified_by)
        if place not in self._untold and place not in self._told:
            if self._sources[system] < MOST_SOURCES and len(self._untold) < MOST_KEPT:
                self._sources[system] += 1
            else:
                place = (system, minute, "", greeting.verified_by)
        before = self._untold.get(place)
        count = 1 if before is None else before.count + 1
        self._untold[place] = Greeted(
            system, greeting.system, minute, place[2], greeting.verified_by, greeting.answer.status, count
        )

    async def run(self) -> None:
        """Tells what is gathered, for ever; for `run_in_background`."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self, *, is_last: bool = False) -> None:
        """Tells what is to be told by now, or all of it when the process ends; what cannot be told is kept."""
        minute = self._now().replace(second=0, microsecond=0)
        due = {
            place: greeted
            for place, greeted in self._untold.items()
            if is_last or place not in self._told or place[1] < minute
        }
        if due:
            message = self._entries(list(due.values()))
            for place in due:
                del self._untold[place]
            is_kept = False
            try:
                await self._outbox.post(message)
                is_kept = True
            except Unavailable:
                return
            finally:
                if not is_kept:
                    self._give_back(due)
            self._told.update(due)
        self._told = {place for place in self._told if place[1] >= minute}

    def _give_back(self, due: Mapping[_Place, Greeted]) -> None:
        for place, greeted in due.items():
            since = self._untold.get(place)
            self._untold[place] = replace(greeted, count=greeted.count + (since.count if since is not None else 0))
