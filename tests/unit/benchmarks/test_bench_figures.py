"""What the benchmark makes of its measurements: medians, percentiles, and the file that keeps a run."""

import json

import pytest

from bench_samples import run_of
from figures import Figure, Run, percentile


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 50), (0.99, 99), (0.991, 100), (1.0, 100)])
def test_a_percentile_is_the_least_value_that_covers_the_share(share: float, expected: int) -> None:
    """Nearest rank: a value that was measured, never one between two."""
    assert percentile(list(range(100, 0, -1)), share) == expected


def test_a_percentile_of_nothing_is_refused() -> None:
    """Nothing measured is no zero."""
    with pytest.raises(ValueError, match="nothing was measured"):
        percentile([], 0.5)


def test_the_median_of_the_rounds_counts() -> None:
    """One round that was disturbed does not move it."""
    assert Figure("accepted.sqlite", "accepted", "/s", (900.0, 5000.0, 5100.0)).value == 5000.0


def test_a_run_is_read_as_it_was_written() -> None:
    """Through JSON and back it is the same, with each median beside its rounds."""
    run = run_of(Figure("growth", "growth", "", (0.9, 0.95, 1.0)))
    written = json.loads(json.dumps(run.to_json()))
    assert written["outcomes"][0]["figures"][0]["value"] == 0.95
    assert Run.from_json(written) == run
