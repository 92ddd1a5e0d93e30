"""The arithmetic of schedules: ticks keep their phase, none comes twice, and those that are missed are counted."""

import itertools
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intertie_registry import ticks
from intertie_registry.ticks import PERIODS, Schedule, Tick

NOW = datetime(2026, 3, 1, 12)
HOUR, DAY, WEEK = PERIODS["hourly"], PERIODS["daily"], PERIODS["weekly"]
SECOND = timedelta(seconds=1)

FREQUENCIES = st.sampled_from(tuple(PERIODS))
NUMBERS = st.integers(1, 2**32 - 1)
#: seconds that pass between two looks at the clock: mostly little, sometimes days
STEPS = st.lists(st.integers(1, 7200) | st.integers(1, 30 * 86_400), min_size=1, max_size=40)


def hourly(next_at: datetime | None, *, frequency: str = "hourly", changed_at: datetime | None = NOW) -> Schedule:
    """The schedule of a mapping."""
    return Schedule(7, 3, frequency, next_at, changed_at)


@given(FREQUENCIES, NUMBERS, STEPS)
def test_no_tick_twice_and_no_drift(frequency: str, number: int, steps: list[int]) -> None:
    """However late each is taken: moments grow, all but the first lie on one grid, and each is run or counted."""
    period, now = PERIODS[frequency], NOW
    schedule = Schedule(number, 1, frequency, None, NOW)
    taken: list[Tick] = []
    for step in steps:
        now += timedelta(seconds=step)
        tick = ticks.due(schedule, now)
        if tick is None:
            assert schedule.next_at is not None
            assert schedule.next_at > now
            continue
        assert ticks.taken(schedule, tick.due_at, now) == tick
        moved = Schedule(number, 1, frequency, ticks.following(schedule, tick, now), NOW)
        assert moved.next_at is not None
        assert now < moved.next_at <= now + period * 5 / 4
        assert ticks.due(moved, now) is None
        assert ticks.taken(moved, tick.due_at, now) is None
        taken.append(tick)
        schedule = moved
    moments = [tick.due_at for tick in taken]
    assert moments == sorted(set(moments))
    grid = taken[1:]
    for before, after in itertools.pairwise(grid):
        assert after.due_at == before.last_missed(period) + period


@given(FREQUENCIES, st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)), st.integers(0, 2**31 - 10**7))
def test_whatever_is_stored_gives_a_tick_that_can_be_taken(frequency: str, stored: datetime, seconds: int) -> None:
    """A time long gone or centuries ahead: once taken, the next tick is at most a period and a quarter away."""
    now = datetime(1970, 1, 2) + timedelta(seconds=seconds)
    schedule = hourly(stored, frequency=frequency)
    tick = ticks.due(schedule, now)
    if tick is None:
        assert now < stored <= now + PERIODS[frequency] * 5 / 4
        return
    assert tick.due_at <= now
    assert 0 <= tick.missed < 2**32
    assert now < ticks.following(schedule, tick, now) <= now + PERIODS[frequency]


@pytest.mark.parametrize(
    ("late", "missed"),
    [(timedelta(0), 0), (HOUR - SECOND, 0), (HOUR, 1), (3 * HOUR + SECOND, 3), (365 * DAY, 365 * 24)],
)
def test_missed_ticks_are_counted(late: timedelta, missed: int) -> None:
    """Those between the tick that is due and now; the next one is the first in the future."""
    schedule = hourly(NOW)
    tick = ticks.due(schedule, NOW + late)
    assert tick == Tick(7, 3, NOW, missed)
    assert ticks.following(schedule, tick, NOW + late) == NOW + (missed + 1) * HOUR
    assert tick.last_missed(HOUR) == NOW + missed * HOUR


def test_a_tick_that_is_not_due_yet() -> None:
    """Not a second early, and not at all without a period."""
    assert ticks.due(hourly(NOW), NOW - SECOND) is None
    assert ticks.due(hourly(NOW), NOW - SECOND / 2) is None
    for frequency in ("manual", "realtime", "", "HOURLY", "yearly"):
        assert ticks.due(hourly(None, frequency=frequency), NOW) is None
        assert ticks.due(hourly(NOW - DAY, frequency=frequency), NOW) is None
        with pytest.raises(ValueError, match="no ticks"):
            ticks.following(hourly(NOW, frequency=frequency), Tick(7, 3, NOW), NOW)


def test_the_first_tick_is_due_at_once() -> None:
    """As of the last change, so that it is the same for everybody; nothing counts as missed before it."""
    long_ago = NOW - 400 * DAY + timedelta(microseconds=5)
    for changed_at, due_at in ((NOW, NOW), (long_ago, long_ago.replace(microsecond=0)), (None, ticks.NO_TIME)):
        assert ticks.due(hourly(None, changed_at=changed_at), NOW) == Tick(7, 3, due_at)
        assert ticks.due(hourly(None, changed_at=changed_at), NOW + DAY) == Tick(7, 3, due_at)


def test_a_thousand_mappings_do_not_run_in_one_second() -> None:
    """What was made in one second spreads over its first period, and stays so."""
    seconds = [
        ticks.following(Schedule(number, 1, "hourly", None, NOW), Tick(number, 1, NOW), NOW)
        for number in range(500, 1500)
    ]
    assert max(seconds.count(second) for second in seconds) <= 8
    assert min(seconds) >= NOW + HOUR
    assert max(seconds) <= NOW + HOUR + timedelta(minutes=3)


@given(NUMBERS)
def test_the_spread_is_a_mappings_own(number: int) -> None:
    """The same each time, at most 5 % of a period and five minutes, in whole seconds."""
    for period, most in ((HOUR, 180), (DAY, 300), (WEEK, 300)):
        spread = ticks.spread(number, period)
        assert spread == ticks.spread(number, period)
        assert timedelta(0) <= spread <= timedelta(seconds=most)
        assert not spread.microseconds


def test_only_the_tick_that_is_due_can_be_taken() -> None:
    """Another moment, or one that was taken before, is passed over."""
    assert ticks.taken(hourly(NOW), NOW, NOW) == Tick(7, 3, NOW)
    for due_at in (NOW - HOUR, NOW + HOUR, NOW + SECOND):
        assert ticks.taken(hourly(NOW), due_at, NOW + 5 * HOUR) is None
    assert ticks.taken(hourly(None), NOW - SECOND, NOW) is None
    assert ticks.taken(hourly(NOW, frequency="manual"), NOW, NOW) is None


def test_a_time_too_far_ahead_is_due_at_once() -> None:
    """SQL made a weekly mapping an hourly one, or the clock went back: the phase stays, nothing was missed."""
    stored = NOW + 5 * DAY + timedelta(minutes=20)
    schedule = hourly(stored)
    tick = ticks.due(schedule, NOW)
    assert tick == Tick(7, 3, NOW - timedelta(minutes=40))
    assert ticks.following(schedule, tick, NOW) == NOW + timedelta(minutes=20)
    # It is the latest of the grid, so another may pass while its run is made.
    later = NOW + timedelta(minutes=25)
    assert ticks.taken(schedule, tick.due_at, later) == Tick(7, 3, NOW + timedelta(minutes=20))
    assert ticks.taken(schedule, tick.due_at - HOUR, later) is None
    assert ticks.taken(schedule, tick.due_at + SECOND, later) is None
    assert ticks.due(hourly(stored, frequency="weekly"), NOW) is None


def test_a_sync_by_hand_puts_the_next_tick_off() -> None:
    """By a whole period and the mapping's spread; without a period there is none."""
    spread = ticks.spread(7, HOUR)
    assert ticks.after_call(hourly(NOW), NOW - SECOND, NOW) == NOW - SECOND + HOUR + spread
    assert ticks.after_call(hourly(NOW), NOW + 3 * HOUR, NOW) == NOW + HOUR + spread
    late = ticks.after_call(hourly(NOW), NOW - 30 * HOUR, NOW)
    assert late is not None
    assert ticks.due(hourly(late), NOW) in (None, Tick(7, 3, late))
    assert ticks.after_call(hourly(None, frequency="manual"), NOW, NOW) is None


@pytest.mark.parametrize(
    ("before", "after", "next_at", "is_resumed", "wanted"),
    [
        # another frequency
        ("weekly", "hourly", NOW + 5 * DAY, False, None),
        ("weekly", "hourly", NOW + HOUR / 2, False, NOW + HOUR / 2),
        ("hourly", "weekly", NOW + HOUR / 2, False, NOW + HOUR / 2),
        ("weekly", "hourly", NOW - DAY - SECOND, False, NOW - SECOND),
        ("manual", "hourly", None, False, None),
        ("manual", "hourly", NOW - 90 * DAY, False, None),
        ("hourly", "manual", NOW + HOUR / 2, False, None),
        ("realtime", "manual", NOW, False, None),
        # active again
        ("hourly", "hourly", NOW - 90 * DAY - SECOND, True, NOW - SECOND),
        ("hourly", "hourly", NOW + HOUR / 2, True, NOW + HOUR / 2),
        ("hourly", "hourly", None, True, None),
        # neither: what was missed stays missed
        ("hourly", "hourly", NOW - 90 * DAY, False, NOW - 90 * DAY),
    ],
)
def test_after_a_change(
    before: str, after: str, next_at: datetime | None, is_resumed: bool, wanted: datetime | None
) -> None:
    """The next tick fits the new schedule, and what passed under another one was not missed."""
    old, new = hourly(next_at, frequency=before), hourly(next_at, frequency=after)
    assert ticks.after_change(old, new, NOW, is_resumed=is_resumed) == wanted


def test_what_a_run_does_not_stand_for_is_due_still() -> None:
    """A run that is older than the ticks after its own passes none of them over, and they count as missed then."""
    schedule, now = hourly(NOW), NOW + 3 * HOUR + SECOND
    assert ticks.taken(schedule, NOW, now) == ticks.taken(schedule, NOW, now, 7) == Tick(7, 3, NOW, missed=3)
    older = ticks.taken(schedule, NOW, now, 0)
    assert older == Tick(7, 3, NOW, missed=0)
    after = hourly(ticks.following(schedule, older, now))
    assert ticks.due(after, now) == Tick(7, 3, NOW + HOUR, missed=2)
    # Handed out before the last of them: that one is neither missed nor lost.
    earlier = ticks.taken(schedule, NOW, now, 2)
    assert earlier is not None
    assert ticks.due(hourly(ticks.following(schedule, earlier, now)), now) == Tick(7, 3, NOW + 3 * HOUR)


def test_only_a_grid_has_ticks_that_passed() -> None:
    """Not a mapping before its first tick, one without a period, or one whose time has gone astray."""
    assert ticks.passed(hourly(NOW), NOW + HOUR) == Tick(7, 3, NOW, missed=1)
    for schedule in (hourly(NOW + SECOND), hourly(None), hourly(NOW + 9 * HOUR), hourly(NOW, frequency="manual")):
        assert ticks.passed(schedule, NOW) is None
