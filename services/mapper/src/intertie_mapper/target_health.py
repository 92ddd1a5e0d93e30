"""Which parts of the target are worth trying: a breaker for its database, and one for each of its tables.

Whether the database is away is asked of it, never guessed from a batch that failed: a connection that was killed, a
lock or a slow trigger are no outage.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import structlog

from intertie_mapper.breaker import Admission, Breaker, State

T = TypeVar("T")

_log = structlog.get_logger()
TRIAL_RECORDS = 10
DATABASE_PAUSES = (1.0, 1.0, 2.0, 3.0)
"""Seconds between looks at a database that is away: it is used again within five seconds of its return."""
TABLE_PAUSES = (5.0, 10.0, 20.0, 40.0, 60.0)
TABLE_FAILURES = 3
"""Records that must fail at a table, each by itself, before it is the table's fault."""
_MOST_TABLES = 1000


class TargetHealth:
    """What is known of the target's health, shared by all that write to it."""

    def __init__(self, answers: Callable[[], Awaitable[bool]], clock: Callable[[], float] = time.monotonic) -> None:
        """`answers`: whether the target database can be written to, found out now."""
        self._answers = answers
        self._clock = clock
        self._database = Breaker(failures=1, pauses=DATABASE_PAUSES)
        self._tables: dict[str, Breaker] = {}
        self._turn = asyncio.Lock()

    @property
    def is_away(self) -> bool:
        """Whether the database was found away and nothing has been written since."""
        return self._database.state(self._clock()) is not State.CLOSED

    async def room(self, most: int) -> int:
        """How many records may be leased now: `most`, or a few for a trial. Waits while the database is away."""
        while self.is_away:
            async with self._turn:
                await asyncio.sleep(self._database.wait(self._clock()))
                if self.is_away:
                    if await self._answers():
                        return min(most, TRIAL_RECORDS)
                    self._database.failed(self._clock(), ["database"])
        return most

    async def still_answers(self) -> bool:
        """Whether the database answers, asked after a transaction that failed; if not, it is away from now on."""
        if await self._answers():
            return True
        if self._database.failed(self._clock(), ["database"]):
            _log.warning("the target database is away; nothing is leased until it answers")
        return False

    def landed(self, tables: Iterable[str]) -> None:
        """A transaction that wrote to these tables (or to none but ours) is committed."""
        if self._database.succeeded():
            _log.info("the target database is back")
        for name in tables:
            if self._tables and name in self._tables and self._tables.pop(name).succeeded():
                _log.info("the target table takes records again", table=name)

    def table_failed(self, table: str, records: Iterable[int]) -> None:
        """These records failed at the table and not by its database or their data."""
        if table not in self._tables and len(self._tables) >= _MOST_TABLES:
            self._tables.clear()
        breaker = self._tables.setdefault(table, Breaker(failures=TABLE_FAILURES, pauses=TABLE_PAUSES))
        now = self._clock()
        if breaker.failed(now, records):
            _log.warning("the target table is given a rest", table=table, seconds=breaker.wait(now))

    def is_well(self, table: str) -> bool:
        """Whether the table takes all records."""
        breaker = self._tables.get(table)
        return breaker is None or breaker.state(self._clock()) is State.CLOSED

    def is_resting(self, table: str) -> bool:
        """Whether the table takes no record at all."""
        breaker = self._tables.get(table)
        return breaker is not None and breaker.state(self._clock()) is State.OPEN

    def wait(self, table: str = "") -> float:
        """Seconds until the table, or without one the database, may be tried again."""
        breaker = self._tables.get(table) if table else self._database
        return 0.0 if breaker is None else breaker.wait(self._clock())

    def portions(self, records: Sequence[T], table: str = "") -> Iterator[tuple[Sequence[T], bool]]:
        """The records in runs, each with whether it may be tried at the table (without one: at the database).

        The state decides when a run is asked for, so that what became of the one before counts.
        """
        while records:
            breaker = self._tables.get(table) if table else self._database
            admission = Admission.ALL if breaker is None else breaker.admit(self._clock())
            count = TRIAL_RECORDS if admission is Admission.TRIAL else len(records)
            try:
                yield records[:count], admission is not Admission.NONE
            finally:
                if breaker is not None and admission is Admission.TRIAL:
                    breaker.gave_up()
            records = records[count:]
