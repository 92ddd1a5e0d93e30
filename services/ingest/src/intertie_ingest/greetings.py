"""Handshakes that were answered: audit hears of them by system, minute and source, so that a flood of them, from a
system that lets everybody in, is a handful of entries.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from intertie_chassis.clock import utc_now
from intertie_chassis.database import Database
from intertie_chassis.errors import Unavailable
from intertie_chassis.outbox import Outbox
from intertie_chassis.sources import source_of
from intertie_ingest.model import Greeting, RawDelivery

FLUSH_SECONDS = 0.5
MOST_SOURCES = 20
"""Sources of one system and minute that are told apart; what comes from others is counted without it."""


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
        database: Database,
        outbox: Outbox,
        entries: Callable[[Sequence[Greeted]], bytes],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """`entries` makes the audit's message."""
        self._database = database
        self._outbox = outbox
        self._entries = entries
        self._now = now
        self._untold: dict[_Place, Greeted] = {}
        self._told: dict[_Place, None] = {}

    def add(self, raw: RawDelivery, greeting: Greeting) -> None:
        """Counts a handshake."""
        minute = self._now().replace(second=0, microsecond=0)
        source = source_of(raw.peer)
        place: _Place = (greeting.system_id, minute, source, greeting.verified_by)
        if place not in self._untold and self._sources_of(greeting.system_id, minute) >= MOST_SOURCES:
            source = ""
            place = (greeting.system_id, minute, source, greeting.verified_by)
        before = self._untold.get(place)
        count = 1 if before is None else before.count + 1
        status = greeting.answer.status
        self._untold[place] = Greeted(
            greeting.system_id, greeting.system, minute, source, greeting.verified_by, status, count
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
            for place in due:
                del self._untold[place]
            message = self._entries(list(due.values()))
            try:
                await self._database.transaction(lambda connection: self._outbox.append(connection, message))
            except Unavailable:
                for place, greeted in due.items():
                    since = self._untold.get(place)
                    count = greeted.count + (since.count if since is not None else 0)
                    self._untold[place] = replace(greeted, count=count)
                return
            self._told.update(dict.fromkeys(due))
            self._outbox.wake()
        for place in [place for place in self._told if place[1] < minute]:
            del self._told[place]

    def _sources_of(self, system_id: int, minute: datetime) -> int:
        places = {*self._untold, *self._told}
        return sum(place[0] == system_id and place[1] == minute for place in places)
