"""What audit measures, for Prometheus; on the page of `intertie_chassis.metrics`."""

import time
from collections import deque
from collections.abc import Callable

from prometheus_client import Gauge

from intertie_audit.unsealed_store import Unsealed, UnsealedStore
from intertie_chassis.metrics import MOST_COUNTED, REGISTRY

UNSEALED_ENTRIES = Gauge(
    "intertie_unsealed_entries",
    f"Entries of the log that have no link in the chain yet; {MOST_COUNTED} stands for that many or more.",
    registry=REGISTRY,
)
SEAL_LAG = Gauge(
    "intertie_seal_lag_seconds",
    "For how long entries have been without a link, as far as this process has seen, in seconds; 0 when all have one.",
    registry=REGISTRY,
)


class SealLag:
    """For how long the oldest entry without a link has been there.

    Told by when it was first seen here, not by its own time, which is that of what it tells of, and with PHP's rows of
    whatever zone.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def after(self, unsealed: Unsealed, now: float) -> float:
        """The seconds, having seen this at `now`."""
        if not self._seen or unsealed.newest > self._seen[-1][1]:
            self._seen.append((now, unsealed.newest))
        while self._seen and self._seen[0][1] <= unsealed.sealed:
            self._seen.popleft()
        return now - self._seen[0][0] if self._seen and unsealed.entries else 0.0


class SealLook:
    """Looks how far the sealer is behind."""

    def __init__(self, store: UnsealedStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._lag = SealLag()

    async def look(self) -> None:
        """Sets the metrics. Raises Unavailable."""
        unsealed = await self._store.read()
        UNSEALED_ENTRIES.set(unsealed.entries)
        SEAL_LAG.set(self._lag.after(unsealed, self._clock()))
