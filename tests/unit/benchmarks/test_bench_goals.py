"""Whether a figure reaches what is asked of it."""

import pytest

from goals import GOALS, Goal


@pytest.mark.parametrize(
    ("value", "verdict"), [(4_999, "below"), (5_000, "at least"), (9_999, "at least"), (10_000, "reached")]
)
def test_more_is_better_for_rates(value: float, verdict: str) -> None:
    """A bound that is met exactly is met."""
    assert Goal(5_000, 10_000).judge(value) == verdict


@pytest.mark.parametrize(
    ("value", "verdict"), [(31, "below"), (30, "at least"), (15.1, "at least"), (15, "reached"), (0, "reached")]
)
def test_less_is_better_for_delays(value: float, verdict: str) -> None:
    """Where the aim is less than the least, the scale is turned round."""
    assert Goal(30, 15).judge(value) == verdict


def test_both_stores_have_the_same_goals() -> None:
    """What holds for MariaDB is asked of SQLite, too."""
    pairs = [(name, name.replace("mariadb", "sqlite")) for name in GOALS if name.endswith(".mariadb")]
    assert pairs
    assert all(GOALS[one] == GOALS[other] for one, other in pairs)
