"""How many requests, how they ended, how long they took: counted by what answers calls and requests, for Prometheus.

Counted in plain dicts and made into metrics when somebody looks: the library's own counters lock and hash, which on the
hot path costs ten times as much. One thread counts, another one may look.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the buckets."""
UNCLAIMED = "unknown"
"""The label of what is none of ours: what callers make up must not become labels."""

Labels = tuple[str, ...]


class RequestMetrics(Collector):
    """`<name>_requests_total` and `<name>_duration_seconds` of one kind of request."""

    def __init__(
        self, registry: CollectorRegistry, name: str, what: str, *, counted: Sequence[str], timed: Sequence[str]
    ) -> None:
        """Args:
        what: they are, in a word or two.
        counted: names of the labels by which they are counted.
        timed: the same of the histogram.
        """
        self._name = name
        self._what = what
        self._counted = counted
        self._timed = timed
        self._counts: dict[Labels, int] = {}
        self._times: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}
        registry.register(self)

    def note(self, counted: Labels, timed: Labels | None, seconds: float) -> None:
        """Counts one that was answered; `timed` None leaves it out of the histogram."""
        self._counts[counted] = self._counts.get(counted, 0) + 1
        if timed is None:
            return
        times = self._times.get(timed)
        if times is None:
            times = self._times[timed] = [0] * (len(SECONDS) + 1)
        times[bisect_left(SECONDS, seconds)] += 1
        self._sums[timed] = self._sums.get(timed, 0.0) + seconds

    def collect(self) -> Iterator[Metric]:
        """The metrics as they stand."""
        count = CounterMetricFamily(f"{self._name}_requests", f"{self._what}, by how they ended.", labels=self._counted)
        for labels, number in list(self._counts.items()):
            count.add_metric(labels, number)
        yield count
        duration = HistogramMetricFamily(
            f"{self._name}_duration_seconds", f"How long {self._what} took, in seconds.", labels=self._timed
        )
        for labels, times in list(self._times.items()):
            buckets: list[tuple[str, float]] = []
            total = 0
            for bound, number in zip((*map(str, SECONDS), "+Inf"), list(times), strict=True):
                total += number
                buckets.append((bound, total))
            duration.add_metric(labels, buckets, self._sums.get(labels, 0.0))
        yield duration

    def describe(self) -> Iterator[Metric]:
        """The metrics' names, without a look at anything."""
        yield CounterMetricFamily(f"{self._name}_requests", self._what, labels=self._counted)
        yield HistogramMetricFamily(f"{self._name}_duration_seconds", self._what, labels=self._timed)
