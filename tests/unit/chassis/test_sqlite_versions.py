"""Which SQLite versions may corrupt a file when two connections checkpoint at once."""

import pytest

from intertie_chassis.sqlite import has_wal_reset_bug


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
    ],
)
def test_the_bug_is_in_all_versions_but_the_mended_ones(version: tuple[int, ...], expected: bool) -> None:
    assert has_wal_reset_bug(version) is expected
