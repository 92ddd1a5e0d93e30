"""The breaker's states, and what the target's health makes of them; the clock is the test's."""

import pytest

from intertie_mapper.breaker import Admission, Breaker, State
from intertie_mapper.target_health import DATABASE_PAUSES, TABLE_PAUSES, TRIAL_RECORDS, TargetHealth


def breaker() -> Breaker:
    """Three failures; pauses of five seconds, then ten."""
    return Breaker(failures=3, pauses=(5, 10), trial_seconds=60)


def opened() -> Breaker:
    """One that opened at 100."""
    made = breaker()
    assert made.failed(100, [1, 2, 3])
    return made


def test_it_opens_when_different_ones_failed_in_a_row() -> None:
    """Not for one that fails again and again, and not with a success in between."""
    made = breaker()
    assert not any(made.failed(now, [1]) for now in range(10))
    assert not made.failed(10, [2])
    assert not made.succeeded()
    assert not made.failed(11, [2])
    assert not made.failed(12, [3])
    assert made.admit(12) is Admission.ALL
    assert made.failed(13, [4])
    assert (made.state(13), made.admit(13), made.wait(14)) == (State.OPEN, Admission.NONE, 4)


def test_after_its_pause_one_trial_may_pass() -> None:
    """Nobody else beside it, until its end is told or it is forgotten."""
    made = opened()
    assert [made.admit(now) for now in (104.9, 105, 105)] == [Admission.NONE, Admission.TRIAL, Admission.NONE]
    assert made.state(106) is State.HALF_OPEN
    made.gave_up()
    assert [made.admit(106), made.admit(165.9), made.admit(166)] == [Admission.TRIAL, Admission.NONE, Admission.TRIAL]


def test_a_trial_that_fails_makes_the_next_pause_longer() -> None:
    """Up to the last one; one failure is enough, and a success makes it as if nothing had been."""
    made = opened()
    for start, end in ((105, 115), (115, 125), (125, 135)):
        assert made.admit(start) is Admission.TRIAL
        assert made.failed(start, [9])
        assert [made.admit(start), made.wait(start)] == [Admission.NONE, end - start]
    assert made.admit(135) is Admission.TRIAL
    assert made.succeeded()
    assert [made.admit(135), made.admit(135)] == [Admission.ALL] * 2
    assert made.failed(136, [1, 2, 3])
    assert made.wait(136) == 5


def test_what_had_begun_before_it_opened_makes_no_pause_longer() -> None:
    """A late success closes it all the same: it shows that things work."""
    made = opened()
    assert not made.failed(101, [4, 5, 6, 7])
    assert made.wait(101) == 4
    assert made.succeeded()
    assert made.state(101) is State.CLOSED


class Target:
    """A database that answers or not, and the time."""

    def __init__(self) -> None:
        self.is_there, self.asked, self.now = True, 0, 0.0
        self.health = TargetHealth(self.answers, lambda: self.now)

    async def answers(self) -> bool:
        """As it was set."""
        self.asked += 1
        return self.is_there


def test_a_table_at_rest_gets_nothing_and_then_a_few() -> None:
    """The state decides anew for each run: when the few have landed, the rest follows."""
    target = Target()
    target.health.table_failed("events", [1, 2, 3])
    assert target.health.is_well("campaigns")
    assert (target.health.is_well("events"), target.health.is_resting("events")) == (False, True)
    records = list(range(25))
    assert list(target.health.portions(records, "events")) == [(records, False)]
    target.now = TABLE_PAUSES[0]
    runs = []
    for run, may_try in target.health.portions(records, "events"):
        runs.append((len(run), may_try))
        assert list(target.health.portions([0], "events")) == [([0], len(runs) == 2)], "nobody beside the trial"
        target.health.landed(["events"])
    assert runs == [(TRIAL_RECORDS, True), (15, True)]


def test_a_trial_that_fails_leaves_the_rest() -> None:
    """And one that showed nothing is followed by the next."""
    target = Target()
    target.health.table_failed("events", [1, 2, 3])
    target.now = TABLE_PAUSES[0]
    runs = []
    for run, may_try in target.health.portions(list(range(25)), "events"):
        runs.append((len(run), may_try))
        if len(runs) == 2:
            target.health.table_failed("events", [7])
    assert runs == [(10, True), (10, True), (5, False)]
    assert target.health.wait("events") == TABLE_PAUSES[1]


async def test_an_outage_is_what_the_database_says() -> None:
    """A transaction that failed is no outage while it answers."""
    target = Target()
    assert await target.health.still_answers()
    assert not target.health.is_away
    target.is_there = False
    assert not await target.health.still_answers()
    assert target.health.is_away
    assert list(target.health.portions([1, 2])) == [([1, 2], False)]


async def test_after_an_outage_a_few_records_are_leased_until_they_have_landed() -> None:
    """The database is asked first, as long as it takes."""
    target = Target()
    assert (await target.health.room(200), target.asked) == (200, 0)
    target.is_there = False
    await target.health.still_answers()
    target.is_there, target.now, target.asked = True, DATABASE_PAUSES[0], 0
    assert (await target.health.room(200), await target.health.room(5), target.asked) == (TRIAL_RECORDS, 5, 2)
    target.health.landed(())
    assert await target.health.room(200) == 200
    assert max(DATABASE_PAUSES) < 5, "within five seconds of its return"


@pytest.mark.parametrize("times", [1, 5])
async def test_each_look_in_vain_is_followed_by_a_pause(times: int) -> None:
    """Of one to three seconds."""
    target = Target()
    target.is_there = False
    pauses = []
    for _ in range(times):
        assert not await target.health.still_answers()
        pauses.append(target.health.wait())
        target.now += target.health.wait()
    assert pauses == [1.0, 1.0, 2.0, 3.0, 3.0][:times]
