"""What was refused: counted by system, route, reason, source and minute, so that a flood of refusals is a handful of
rows and of audit entries, whoever sends it from however many addresses.

In each minute there are at most so many rows with a source; beyond, refusals are counted without it, by system and
reason; and when systems too are many, by reason alone. Audit hears of a row when its first refusal is written, and at
the end of the minute how many more there were, in one entry for each system, route and reason. All of it is counted by
the process: two replicas of ingest have two such bounds.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from intertie_chassis.clock import utc_now
from intertie_chassis.errors import IntertieError, Unavailable
from intertie_chassis.outbox import Outbox
from intertie_chassis.sources import source_of
from intertie_ingest.errors import DuplicateKey, SourceNotAllowed
from intertie_ingest.model import RawDelivery, Route
from intertie_ingest.rejection_store import RejectionStore
from intertie_ingest.shown_model import Rejection

FLUSH_SECONDS = 0.5
MOST_ROWS = 100
"""Rows with a source that one minute has, by default; and as many without one."""
MOST_KEPT = 10_000
"""Rows that are kept while the database is away; further ones lose their source and system."""

_PRUNE_EVERY = timedelta(hours=1)

_Row = tuple[str, Route, str, str, datetime]


@dataclass(slots=True)
class _Count:
    """What a row is still to be given, and what audit is still to be told of it."""

    unwritten: int = 0
    untold: int = 0
    is_told: bool = False
    message: str = ""
    digest: bytes = b""


class Rejections:
    """Gathers refusals and writes them twice a second."""

    def __init__(
        self,
        store: RejectionStore,
        outbox: Outbox,
        entries: Callable[[Sequence[Rejection]], bytes],
        keep: timedelta,
        most_rows: int = MOST_ROWS,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """`entries` makes the audit's message; rows are kept for `keep`."""
        self._store = store
        self._outbox = outbox
        self._entries = entries
        self._keep = keep
        self._most_rows = most_rows
        self._now = now
        self._counts: dict[_Row, _Count] = {}
        self._minute = datetime.min
        self._sources = self._systems = 0
        self._prune_after = now()

    def add(self, raw: RawDelivery, system: str, error: IntertieError) -> None:
        """Counts a refusal; `system` is empty unless a known one was named."""
        minute = self._now().replace(second=0, microsecond=0)
        if minute != self._minute:
            self._minute, self._sources, self._systems = minute, 0, 0
        reason = error.noted_reason if isinstance(error, SourceNotAllowed) else error.reason
        row = self._row(system, raw.route, reason, source_of(raw.peer))
        count = self._counts.get(row)
        if count is None:
            count = self._counts[row] = _Count()
        count.unwritten += 1
        count.untold += 1
        # Of all texts this one repeats what the body says, and bodies have no place in a log that is kept for ever.
        count.message = str(DuplicateKey.__doc__) if isinstance(error, DuplicateKey) else error.message[:500]
        count.digest = hashlib.sha256(raw.body).digest()

    async def run(self) -> None:
        """Writes what is gathered, for ever; for `run_in_background`."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self, *, is_last: bool = False) -> None:
        """Writes what is gathered; what cannot be written now is kept for the next time.

        Args:
            is_last: whether the process ends, so that the counts of this minute are told now.
        """
        minute = self._now().replace(second=0, microsecond=0)
        rows = [_rejection(row, count.unwritten, count) for row, count in self._counts.items() if count.unwritten]
        told = [
            (row, count, count.untold)
            for row, count in self._counts.items()
            if count.untold and (not count.is_told or is_last or row[-1] < minute)
        ]
        entries = [
            *(_rejection(row, untold, count) for row, count, untold in told if not count.is_told),
            *_summed(_rejection(row, untold, count) for row, count, untold in told if count.is_told),
        ]
        if rows or entries:
            # What is added while this is written must not be taken for written.
            written = {row: count.unwritten for row, count in self._counts.items()}
            try:
                await self._store.add(rows, self._entries(entries) if entries else None)
            except Unavailable:
                return
            for row, number in written.items():
                self._counts[row].unwritten -= number
            for _, count, untold in told:
                count.untold -= untold
                count.is_told = True
            self._outbox.wake()
        for row in [row for row, one in self._counts.items() if row[-1] < minute and not one.unwritten + one.untold]:
            del self._counts[row]
        if self._now() >= self._prune_after and not is_last:
            self._prune_after = self._now() + _PRUNE_EVERY
            await self._store.prune(self._now() - self._keep)

    def _row(self, system: str, route: Route, reason: str, source: str) -> _Row:
        """The row that a refusal is counted in: the most telling one that there is, or for which there is room."""
        has_room = len(self._counts) < MOST_KEPT
        row: _Row = (system, route, reason, source, self._minute)
        if row in self._counts:
            return row
        if has_room and self._sources < self._most_rows:
            self._sources += 1
            return row
        row = (system, route, reason, "", self._minute)
        if row in self._counts:
            return row
        if has_room and self._systems < self._most_rows:
            self._systems += 1
            return row
        return ("", route, reason, "", self._minute)


def _rejection(row: _Row, number: int, count: _Count) -> Rejection:
    return Rejection(*row, number, count.message, count.digest)


def _summed(rejections: Iterable[Rejection]) -> list[Rejection]:
    """One for each system, route, reason and minute; without a source unless it is of one alone."""
    sums: dict[tuple[str, Route, str, datetime], Rejection] = {}
    for one in rejections:
        key = (one.system, one.route, one.reason, one.minute)
        before = sums.get(key)
        sums[key] = one if before is None else replace(one, count=before.count + one.count, source="")
    return list(sums.values())
