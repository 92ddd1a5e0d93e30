"""What ingest counts and measures, for Prometheus; on the page of `intertie_chassis.metrics`."""

import math
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable

from prometheus_client import Counter, Gauge, Histogram

from intertie_chassis.errors import Internal, IntertieError, Unavailable
from intertie_chassis.metrics import MOST_COUNTED, REGISTRY, SNAPSHOT_AGE
from intertie_ingest.backlog import Backlog
from intertie_ingest.model import Accepted, Ending, Greeting

PENDING_RECORDS = Gauge(
    "intertie_pending_records",
    "Records that are not in their target: `ready` for mapper, `leased` to it, `waiting` for their next try, `held` "
    f"until their mapping releases them, `set_aside`; {MOST_COUNTED} stands for that many or more.",
    ["state"],
    registry=REGISTRY,
)
OLDEST_PENDING = Gauge(
    "intertie_oldest_pending_seconds",
    "For how long the record that is ready the longest has been ready, in seconds; 0 when none is.",
    registry=REGISTRY,
)
GROUP_DELIVERIES = Histogram(
    "intertie_group_deliveries",
    "How many deliveries were committed together.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000),
    registry=REGISTRY,
)
DELIVERIES = Counter(
    "intertie_deliveries_total",
    "Deliveries, by what they were answered: `accepted`, `unrouted`, `superseded`, `set_aside`, `duplicate`, "
    "`handshake`, `refused` (by a 4xx), `unavailable` (by a 5xx).",
    ["outcome"],
    registry=REGISTRY,
)


def count(results: Iterable[Accepted | Greeting | IntertieError]) -> None:
    """Counts what deliveries of one group were answered."""
    for outcome, number in Tally(map(outcome_of, results)).items():
        DELIVERIES.labels(outcome).inc(number)


def outcome_of(result: Accepted | Greeting | IntertieError) -> str:
    """The label of a result."""
    if isinstance(result, Accepted):
        if result.is_duplicate:
            return "duplicate"
        return "accepted" if result.state in (None, Ending.PENDING) else result.state.value
    if isinstance(result, Greeting):
        return "handshake"
    return "unavailable" if isinstance(result, Unavailable | Internal) else "refused"


def show(backlog: Backlog) -> None:
    """Sets what a look at the queue has found."""
    for state, number in backlog.records.items():
        PENDING_RECORDS.labels(state).set(number)
    OLDEST_PENDING.set(backlog.oldest_seconds)


def watch_snapshot(confirmed_at: Callable[[], float | None]) -> None:
    """Shows the age of what was last confirmed at this time, in seconds since 1970, whenever somebody looks."""

    def age() -> float:
        at = confirmed_at()
        return math.nan if at is None else max(0.0, time.time() - at)

    SNAPSHOT_AGE.set_function(age)
