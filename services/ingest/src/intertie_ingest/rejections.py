"""What was refused: counted by system, reason, source and minute, so that a flood of refusals is a handful of rows."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from intertie_chassis.clock import utc_now
from intertie_chassis.errors import IntertieError, Unavailable
from intertie_chassis.outbox import Outbox
from intertie_ingest.model import RawDelivery, Rejection, Route
from intertie_ingest.rejection_store import RejectionStore

FLUSH_SECONDS = 0.5
MOST_ROWS = 1000
"""Rows that are gathered between two writes; what is beyond is counted without its source."""

_PRUNE_EVERY = timedelta(hours=1)

_Place = tuple[str, Route, str, str, object]


class Rejections:
    """Gathers refusals and writes them, with an audit entry a row, twice a second."""

    def __init__(
        self,
        store: RejectionStore,
        outbox: Outbox,
        entries: Callable[[Sequence[Rejection]], bytes],
        keep: timedelta,
    ) -> None:
        """`entries` makes the audit's message; rows are kept for `keep`."""
        self._store = store
        self._outbox = outbox
        self._entries = entries
        self._keep = keep
        self._gathered: dict[_Place, Rejection] = {}
        self._prune_after = utc_now()

    def add(self, raw: RawDelivery, system: str, error: IntertieError) -> None:
        """Counts a refusal; `system` is empty unless a known one was named."""
        minute = utc_now().replace(second=0, microsecond=0)
        source = raw.peer[:45]
        place: _Place = (system, raw.route, error.reason, source, minute)
        if place not in self._gathered and len(self._gathered) >= MOST_ROWS:
            source = ""
            place = (system, raw.route, error.reason, source, minute)
        seen = self._gathered.get(place)
        count = 1 if seen is None else seen.count + 1
        digest = hashlib.sha256(raw.body).digest()
        self._gathered[place] = Rejection(
            system, raw.route, error.reason, source, minute, count, error.message[:500], digest
        )

    async def run(self) -> None:
        """Writes what is gathered, for ever; for `run_in_background`."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Writes what is gathered; what cannot be written now is kept for the next time."""
        gathered, self._gathered = self._gathered, {}
        if gathered:
            rows = list(gathered.values())
            try:
                await self._store.add(rows, self._entries(rows))
            except Unavailable:
                self._keep_for_later(gathered)
                return
            self._outbox.wake()
        if utc_now() >= self._prune_after:
            self._prune_after = utc_now() + _PRUNE_EVERY
            await self._store.prune(utc_now() - self._keep)

    def _keep_for_later(self, gathered: dict[_Place, Rejection]) -> None:
        for place, rejection in gathered.items():
            since = self._gathered.get(place)
            self._gathered[place] = rejection if since is None else replace(since, count=since.count + rejection.count)
