"""Counts deliveries where they come in: the rate and the number at once of each system, the failures of each address.

A system's rate is taken from only by what was verified, so that nobody without its secret can use it up.
"""

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from intertie_chassis.buckets import Bucket, Buckets
from intertie_chassis.sources import source_of
from intertie_ingest.admission import Rate, Terms
from intertie_ingest.errors import RateLimited


@dataclass(frozen=True, slots=True)
class Allowances:
    """What holds for every system that has no terms of its own; 0: no limit."""

    #: deliveries a second
    rate: float = 0.0
    #: at once; 0: as many as a second's
    burst: int = 0
    #: verified deliveries that wait for their commit
    in_flight: int = 0
    #: of one address, over all systems
    failures_per_minute: int = 0


class Turnstile:
    """The counts of one process."""

    def __init__(self, allowances: Allowances | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is in seconds and never goes back."""
        allowances = allowances or Allowances()
        self._clock = clock
        self._default = _rate(allowances)
        self._in_flight_default = allowances.in_flight
        self._rates: dict[int, Bucket] = {}
        self._in_flight: Counter[int] = Counter()
        failures = allowances.failures_per_minute
        self._failures = Buckets(failures / 60, failures) if failures else None
        # Large deliveries are judged in threads.
        self._lock = Lock()

    def require_few_failures(self, peer: str) -> None:
        """Raises RateLimited when so many deliveries of the address have failed to be verified that no further one is
        looked at. An address that is not known is not counted: it would stand for many.
        """
        if self._failures is None or not peer:
            return
        with self._lock:
            wait = self._failures.wait(source_of(peer), self._clock())
        if wait:
            raise RateLimited("too many deliveries from this address could not be verified", retry_after=wait)

    def failed(self, peer: str) -> None:
        """Counts a delivery of the address that could not be verified."""
        if self._failures is not None and peer:
            with self._lock:
                self._failures.take(source_of(peer), self._clock())

    def admit(self, system_id: int, terms: Terms) -> None:
        """Takes a verified delivery from the system's rate. Raises RateLimited that says when the next one may come."""
        rate = terms.rate or self._default
        if rate is None:
            return
        now = self._clock()
        with self._lock:
            bucket = self._rates.get(system_id)
            if bucket is None:
                bucket = self._rates[system_id] = Bucket(rate.burst, now)
            wait = bucket.take(rate.per_second, rate.burst, now)
        if wait:
            raise RateLimited(f"the system sends more than {rate.per_second:g} deliveries a second", retry_after=wait)

    def enter(self, system_id: int, terms: Terms) -> None:
        """Counts a delivery in; `leave` counts it out. Raises RateLimited beyond the system's number at once."""
        most = terms.max_in_flight or self._in_flight_default
        if most and self._in_flight[system_id] >= most:
            raise RateLimited(f"{most} deliveries of the system are being stored; send fewer at once", retry_after=1)
        self._in_flight[system_id] += 1

    def leave(self, system_id: int) -> None:
        """Counts a delivery out."""
        self._in_flight[system_id] -= 1
        if not self._in_flight[system_id]:
            del self._in_flight[system_id]


def _rate(allowances: Allowances) -> Rate | None:
    if not allowances.rate:
        return None
    return Rate(allowances.rate, float(allowances.burst or max(1, math.ceil(allowances.rate))))
