"""How a record ends that failed for no fault of its own, and how long a lease is surely held."""

import pytest

from intertie_ingest.leases import LOOK_SECONDS
from intertie_mapper import convert
from intertie_mapper.errors import TargetReason
from intertie_mapper.held_leases import HeldLeases
from intertie_mapper.model import Action, LeasedRecord, Outcome
from intertie_mapper.retries import after_failure, retry_seconds, untried
from intertie_mapper.settings import MapperSettings
from intertie_mapping.retrying import DELAYS, MOST_SECONDS

BUSY = TargetReason.TARGET_BUSY


def record(attempts: int) -> LeasedRecord:
    """A record at so many attempts."""
    return LeasedRecord(1, 1, 1, "a", 1, b"{}", attempts=attempts)


@pytest.mark.parametrize("delays", [DELAYS, (1,), (2, 4, 8)])
def test_a_record_is_tried_once_more_than_it_has_delays(delays: tuple[int, ...]) -> None:
    """Then it is set aside, with a reason that says so and the last cause in its text."""
    for attempt, delay in enumerate(delays, 1):
        ending = after_failure(record(attempt), delays, "events", BUSY, "locked")
        assert (ending.outcome, ending.reason, ending.is_untried) == (Outcome.RETRY, "target_busy", False)
        assert 0.8 * delay - 1 <= ending.retry_seconds <= 1.2 * delay + 1
    ending = after_failure(record(len(delays) + 1), delays, "events", BUSY, "locked")
    assert (ending.outcome, ending.action) == (Outcome.SET_ASIDE, Action.REFUSED)
    assert ending.reason == "retries_exhausted"
    assert f"{len(delays) + 1} times" in ending.message
    assert "locked" in ending.message


def test_no_delay_is_longer_than_ingest_takes() -> None:
    assert retry_seconds(1, (MOST_SECONDS,), lambda low, high: high) == MOST_SECONDS


def test_what_was_not_tried_says_so_to_ingest() -> None:
    """It comes again after the rest, no sooner, and is no attempt."""
    ending = untried(record(3), "events", 40.0)
    assert 41 <= ending.retry_seconds <= 50
    (settlement,) = convert.settlements("t", [ending]).settlements
    assert (settlement.untried, settlement.reason) == (True, "target_paused")
    (settlement,) = convert.settlements("t", [after_failure(record(3), DELAYS, "events", BUSY, "x")]).settlements
    assert not settlement.untried


def test_a_lease_that_could_not_be_renewed_for_45_seconds_is_held_no_more() -> None:
    """A quarter of its time before another mapper may have its records; renewed, it counts from when that was asked."""
    held = HeldLeases(60)
    held.take("a", 1000)
    assert (held.is_held("a", 1044.9), held.is_held("a", 1045), held.is_held("b", 1000)) == (True, False, False)
    held.renewed(["a", "b"], [], asked=1015)
    assert (held.is_held("a", 1059.9), held.is_held("a", 1060), held.is_held("b", 1016)) == (True, False, False)
    held.renewed(["a"], ["a"], asked=1030)
    assert not held.is_held("a", 1030)
    held.end("a")
    assert held.due(2000) == []


def test_a_lease_is_renewed_for_as_long_as_it_was_asked_for_when_a_quarter_of_its_time_has_passed() -> None:
    held = HeldLeases(60)
    held.take("long", 1000)
    held.take("short", 1000, 8)
    assert held.due(1001.9) == []
    assert held.due(1002) == ["short"]
    assert (held.is_held("short", 1005.9), held.is_held("short", 1006)) == (True, False)
    held.renewed(["short"], [], asked=1002)
    assert held.due(1014.9) == []
    assert sorted(held.due(1017)) == ["long", "short"]
    assert held.is_held("short", 1046.9)


def test_by_default_a_dead_lease_is_taken_up_within_90_seconds() -> None:
    """Its records are available at its end, and whoever waits for some looks each second."""
    seconds = MapperSettings.model_fields["mapper_lease_seconds"].default
    assert seconds + LOOK_SECONDS < 90
