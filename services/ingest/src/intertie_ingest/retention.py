"""What ingest forgets, and when: bodies of deliveries first, all else of them much later.

What a key promises outlives the body: the digest tells a repetition from another delivery under the same key. A body
stays for as long as somebody may need it: while a record of it is pending, and while one is set aside, for 30 days at
the least, also when it has ended since. Replays need no body, since the cache holds the records themselves; the people
who mend things do.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate

import structlog

from intertie_chassis.clock import utc_now
from intertie_chassis.errors import Unavailable
from intertie_ingest.model import Ending
from intertie_ingest.retention_store import Aged, RetentionStore
from intertie_ingest.shown_model import StoredDelivery

SET_ASIDE_DAYS = 30
"""Days that the body of what was set aside is kept, however few `INTERTIE_INGEST_BODY_DAYS` are."""

_log = structlog.get_logger()
_ROUND_SECONDS = 3600.0
_AWAY_SECONDS = 30.0
_LEAST_PAUSE_SECONDS = 0.05
_LOOK_AT_ALL = timedelta(days=1)
_MOST_BYTES = 16 * 1024 * 1024
"""Bodies of one transaction: a database writes what it drops into its log."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What a round came to."""

    bodies: int
    deliveries: int
    endings: int


def is_needed(delivery: StoredDelivery, now: datetime) -> bool:
    """Whether the body of a delivery must stay, however old it is."""
    set_aside = [record for record in delivery.records if record.ending is Ending.SET_ASIDE]
    # Set aside it was at its end at the latest, which may be long after it was received.
    ends = [record.ended_at or delivery.received_at for record in set_aside]
    return (
        any(record.ending is Ending.PENDING for record in delivery.records)
        or any(not record.is_over for record in set_aside)
        or any(now - end < timedelta(days=SET_ASIDE_DAYS) for end in ends)
    )


class Retention:
    """Forgets what has been kept long enough, a little at a time; harmless when several processes do."""

    def __init__(
        self,
        store: RetentionStore,
        body_days: int,
        delivery_days: int,
        *,
        clock: Callable[[], datetime] = utc_now,
        least_pause: float = _LEAST_PAUSE_SECONDS,
    ) -> None:
        """Args:
        store: where it forgets.
        body_days: how long bodies are kept.
        delivery_days: how long deliveries are kept; not less than `body_days`.
        clock: the time, naive, in UTC.
        least_pause: seconds between two transactions; it rests twice as long as each step took.
        """
        self._store = store
        self._body_age = timedelta(days=body_days)
        self._delivery_age = timedelta(days=delivery_days)
        self._clock = clock
        self._least_pause = least_pause
        self._looked_at_all = datetime.min
        self._dropped_until: Aged | None = None

    async def run(self) -> None:
        """Forgets once an hour, for ever; for `run_in_background`."""
        while True:
            try:
                forgotten = await self.round()
            except Unavailable as error:
                _log.warning("nothing can be forgotten at the moment; trying again", cause=error.message)
                await asyncio.sleep(_AWAY_SECONDS)
                continue
            if forgotten != Forgotten(0, 0, 0):
                _log.info(
                    "forgot what has been kept long enough",
                    bodies=forgotten.bodies,
                    deliveries=forgotten.deliveries,
                    endings=forgotten.endings,
                )
            await asyncio.sleep(_ROUND_SECONDS)

    async def round(self) -> Forgotten:
        """Forgets all that is old enough now. Raises Unavailable; what is forgotten until then stays so."""
        now = self._clock()
        # Deliveries first, so that nobody drops the body of what goes as a whole.
        deliveries = await self._delete_deliveries(now)
        return Forgotten(await self._drop_bodies(now), deliveries, await self._delete_lost_endings(now))

    async def _delete_deliveries(self, now: datetime) -> int:
        deleted, after, began = 0, None, time.monotonic()
        while rows := await self._store.aged(now - self._delivery_age, after):
            rows = _some(rows)
            after = rows[-1]
            went = await self._forget(rows, now, self._store.delete_deliveries)
            deleted += went
            began = await self._rest(began, went)
        return deleted

    async def _drop_bodies(self, now: datetime) -> int:
        """Goes on where the round before came to, and once a day begins at the oldest of all, whose bodies somebody may
        need no more: one that is needed for long must not have everything behind it read again each hour.
        """
        if now - self._looked_at_all >= _LOOK_AT_ALL:
            self._looked_at_all, self._dropped_until = now, None
        dropped, began = 0, time.monotonic()
        while rows := await self._store.aged(now - self._body_age, self._dropped_until):
            rows = _some(rows)
            went = await self._forget([row for row in rows if row.has_body], now, self._store.drop_bodies)
            dropped += went
            self._dropped_until = rows[-1]
            began = await self._rest(began, went)
        return dropped

    async def _forget(
        self, rows: Sequence[Aged], now: datetime, forget: Callable[[Sequence[str]], Awaitable[int]]
    ) -> int:
        """Forgets those of the rows that nobody needs any more; gives how many."""
        if not rows:
            return 0
        standing = await self._store.standing([row.delivery_id for row in rows])
        ids = [delivery.delivery_id for delivery in standing if not is_needed(delivery, now)]
        return await forget(ids) if ids else 0

    async def _rest(self, began: float, forgotten: int) -> float:
        """Rests after a step, also one that has only read; gives when the next one begins."""
        took = time.monotonic() - began
        await asyncio.sleep(max(self._least_pause if forgotten else 0.0, 2 * took))
        return time.monotonic()

    async def _delete_lost_endings(self, now: datetime) -> int:
        deleted, after = 0, 0
        while True:
            went, behind = await self._store.delete_lost_endings(now - self._delivery_age, after)
            deleted += went
            if behind is None:
                return deleted
            after = behind
            await asyncio.sleep(self._least_pause if went else 0)


def _some(rows: list[Aged]) -> list[Aged]:
    """As many of the first rows as one transaction takes, but one at least."""
    sizes = accumulate(row.size if row.has_body else 0 for row in rows)
    return rows[: max(1, sum(1 for size in sizes if size <= _MOST_BYTES))]
