"""When accepting has the process for itself: in bursts of large groups, and at no other time."""

from intertie_ingest.pressure import Pressure
from waiting import eventually


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def run(pressure: Pressure, clock: Clock, *, groups: int, size: int, work: float, gap: float) -> None:
    """Groups of one size, one after the other."""
    for _ in range(groups):
        with pressure.accepting(size):
            clock.now += work
        clock.now += gap


def test_large_groups_without_a_gap_are_a_burst_and_a_moment_after_it_all_is_as_before() -> None:
    """Within half a second either way."""
    clock = Clock()
    pressure = Pressure(clock)
    assert not pressure.is_high
    run(pressure, clock, groups=20, size=40, work=0.01, gap=0.002)
    assert not pressure.is_high
    run(pressure, clock, groups=30, size=40, work=0.01, gap=0.002)
    assert pressure.is_high
    clock.now += 0.5
    assert not pressure.is_high


def test_a_stream_that_leaves_room_is_none_however_large_its_groups_are() -> None:
    """Groups that the process works on for less than half of the time."""
    clock = Clock()
    pressure = Pressure(clock)
    run(pressure, clock, groups=500, size=100, work=0.01, gap=0.012)
    assert not pressure.is_high


def test_slow_commits_of_small_groups_are_none() -> None:
    """A slow disk has a group in work all the time, under whatever load."""
    clock = Clock()
    pressure = Pressure(clock)
    run(pressure, clock, groups=500, size=5, work=0.02, gap=0.0)
    assert not pressure.is_high


def test_groups_that_overlap_count_once() -> None:
    """The share is of time in which there is a group, not of their times added up."""
    clock = Clock()
    pressure = Pressure(clock)
    for _ in range(500):
        with pressure.accepting(40), pressure.accepting(40):
            clock.now += 0.004
        clock.now += 0.006
    assert not pressure.is_high


async def test_who_waits_for_a_burst_to_pass_goes_on_when_it_has_passed_and_after_a_while_in_any_case() -> None:
    """By the real clock, which the end of a burst needs."""
    pressure = Pressure()
    await pressure.wait(60)
    with pressure.accepting(100), pressure.accepting(100), pressure.accepting(100):
        await eventually(lambda: pressure.is_high)
        await pressure.wait(0.01)
        assert pressure.is_high
    await pressure.wait(60)
    assert not pressure.is_high
