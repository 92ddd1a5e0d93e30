"""What mapper counts and measures, for Prometheus; on the page of `intertie_chassis.metrics`."""

import math
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable

from prometheus_client import Counter, Histogram

from intertie_chassis.metrics import REGISTRY, SNAPSHOT_AGE
from intertie_mapper.model import Ending, Outcome

BATCH_RECORDS = Histogram(
    "intertie_batch_records",
    "How many records were leased and mapped together.",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
    registry=REGISTRY,
)
RECORDS = Counter(
    "intertie_records_total",
    "Leased records, by how they ended: `synced`, `retried` (tried again later), `left` (not tried: the target rests), "
    "`set_aside`, `superseded`.",
    ["outcome"],
    registry=REGISTRY,
)
_OUTCOMES = {
    Outcome.SYNCED: "synced",
    Outcome.RETRY: "retried",
    Outcome.SET_ASIDE: "set_aside",
    Outcome.SUPERSEDED: "superseded",
}


def count(records: int, endings: Iterable[Ending]) -> None:
    """Counts a batch of so many records, and how they ended."""
    BATCH_RECORDS.observe(records)
    for outcome, number in Tally(map(outcome_of, endings)).items():
        RECORDS.labels(outcome).inc(number)


def outcome_of(ending: Ending) -> str:
    """The label of an ending."""
    return "left" if ending.is_untried else _OUTCOMES[ending.outcome]


def watch_snapshot(heard_at: Callable[[], float | None]) -> None:
    """Shows the age of what was last heard at this time, of the monotonic clock, whenever somebody looks."""

    def age() -> float:
        at = heard_at()
        return math.nan if at is None else time.monotonic() - at

    SNAPSHOT_AGE.set_function(age)
