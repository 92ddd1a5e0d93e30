"""Numbers that are missing below the newest: awaited for a while, within bounds."""

from intertie_audit.tail import Gaps


def test_missing_numbers_are_awaited_until_they_appear() -> None:
    """Every number between the position and the newest that is not there may still commit."""
    gaps = Gaps()
    gaps.note(3, [5, 6, 9], now=0)
    assert gaps.awaited == [4, 7, 8]
    gaps.forget([7])
    assert gaps.awaited == [4, 8]


def test_a_number_is_given_up_after_the_longest_transaction() -> None:
    """A number that a rolled back transaction took never appears, and is not asked for for ever."""
    gaps = Gaps(patience=15)
    gaps.note(0, [2], now=100)
    gaps.note(2, [4], now=110)
    gaps.give_up(114.9)
    assert gaps.awaited == [1, 3]
    gaps.give_up(115)
    assert gaps.awaited == [3]
    gaps.give_up(125)
    assert gaps.awaited == []


def test_memory_is_bounded() -> None:
    """A jump of a billion numbers costs no more than the bound, and the newest of them are awaited."""
    gaps = Gaps(most=3)
    gaps.note(0, [1_000_000_000], now=0)
    assert gaps.awaited == [999_999_997, 999_999_998, 999_999_999]
    gaps.note(1_000_000_000, [1_000_000_003], now=0)
    assert gaps.awaited == [999_999_999, 1_000_000_001, 1_000_000_002]
