"""When a store counts as away: decisions only, on a clock of the test's."""

from intertie_chassis.breaker import Breaker


def _stalled() -> Breaker:
    breaker = Breaker()
    for now in (-1, 0):
        breaker.ran_out(4, now)
    return breaker


def test_errors_alone_open_nothing() -> None:
    breaker = Breaker()
    for now in range(100):
        breaker.refused(now)
        breaker.ran_out(0.5, now)
        breaker.wants_look(now)
        assert breaker.admits(now, writes=True)
    assert not breaker.is_away


def test_a_look_without_an_answer_opens_and_one_with_closes() -> None:
    breaker = Breaker()
    assert breaker.looked(False, breaker.served)
    assert breaker.is_away
    assert not breaker.admits(0, writes=False)
    assert not breaker.admits(0, writes=True)
    assert not breaker.looked(False, breaker.served)  # no news
    assert breaker.looked(True, breaker.served)
    assert breaker.admits(0, writes=True)


def test_a_look_in_vain_says_nothing_while_others_are_served() -> None:
    """A machine that is slow, or a server that takes no further connection, is not away."""
    breaker = Breaker()
    before = breaker.served
    breaker.committed()
    assert not breaker.looked(False, before)
    assert not breaker.is_away
    before = breaker.served
    breaker.answered()
    assert not breaker.looked(False, before)
    assert breaker.looked(False, breaker.served)


def test_there_is_one_look_a_second() -> None:
    breaker = Breaker()
    assert [now for now in (0.0, 0.1, 0.99, 1.0, 1.5, 2.0) if breaker.wants_look(now)] == [0.0, 1.0, 2.0]


def test_a_store_that_commits_nothing_is_tried_once_a_second() -> None:
    breaker = _stalled()
    assert [now for now in (0.0, 0.1, 0.99, 1.0, 1.5, 2.0) if breaker.admits(now, writes=True)] == [0.0, 1.0, 2.0]
    assert breaker.admits(2.1, writes=False)
    breaker.committed()
    assert breaker.admits(2.2, writes=True)
    assert breaker.admits(2.2, writes=True)


def test_who_found_nothing_to_do_gives_its_turn_to_the_next() -> None:
    """Else a question that changes nothing would take every turn of those that would find out that it is over."""
    breaker = _stalled()
    assert breaker.admits(0.1, writes=True)
    assert not breaker.admits(0.2, writes=True)
    breaker.ended()
    assert breaker.admits(0.2, writes=True)
    assert not breaker.admits(0.3, writes=True)


def test_a_stall_is_one_until_a_commit_or_for_a_minute() -> None:
    breaker = _stalled()
    assert breaker.is_stalled(1)
    assert not breaker.is_stalled(61)  # who gets no work would not find out that it is over
    breaker.committed()
    assert not breaker.is_stalled(1)


def test_timeouts_that_lie_far_apart_are_no_stall() -> None:
    breaker = Breaker()
    for now in (0, 100, 200):
        breaker.ran_out(4, now)
        assert breaker.admits(now, writes=True)
    breaker.ran_out(4, 201)
    assert [breaker.admits(202, writes=True) for _ in range(2)] == [True, False]
    assert [breaker.admits(300, writes=True) for _ in range(2)] == [True, True]


def test_timeouts_between_commits_are_load() -> None:
    breaker = Breaker()
    for now in range(100):
        breaker.ran_out(4, now)
        breaker.committed()
        breaker.ran_out(4, now)
        breaker.committed()
        assert breaker.admits(now, writes=True)
        assert breaker.admits(now, writes=True)


def test_a_return_from_away_ends_the_trials() -> None:
    breaker = _stalled()
    breaker.looked(False, breaker.served)
    breaker.looked(True, breaker.served)
    assert breaker.admits(0, writes=True)
    assert breaker.admits(0, writes=True)


def test_three_refusals_in_a_row_are_told_until_a_commit_or_for_ten_seconds() -> None:
    breaker = Breaker()
    breaker.refused(0)
    breaker.refused(1)
    assert not breaker.is_refusing(1)
    breaker.refused(2)
    assert breaker.is_refusing(2)
    assert breaker.is_refusing(11.9)
    assert not breaker.is_refusing(12.1)  # who gets no work would not find out that it is over
    breaker.refused(13)
    assert breaker.is_refusing(13)
    breaker.committed()
    assert not breaker.is_refusing(13)
