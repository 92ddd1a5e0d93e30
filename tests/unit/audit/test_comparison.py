"""Which missing payloads retention has spoken for."""

import pytest

from intertie_audit.chain import ENTRY_COLUMNS, NO_DIGEST, BlockRow, Expiry
from intertie_audit.comparison import Comparison, PresentRow

SAID = [Expiry(5, "2026-03"), Expiry(9, "2026-05"), Expiry(9, "2026-04"), Expiry(12, "2026-02")]


@pytest.mark.parametrize(
    ("sequence", "created_at", "is_missed"),
    [
        (1, "2026-04", False),  # said of place 9, so of all before it
        (5, "2026-05", True),
        (9, "2026-04", False),
        (10, "2026-01", False),
        (10, "2026-02", True),  # what was said up to 9 is not said of it
        (13, "2026-01", True),
        (1, None, True),
    ],
)
def test_a_payload_is_missed_unless_its_place_and_time_were_told(
    sequence: int, created_at: str | None, is_missed: bool
) -> None:
    """Whatever order it was said in."""
    values = tuple(created_at if name == "created_at" else 1 for name in ENTRY_COLUMNS)
    sealed = BlockRow(1, b"row", b"request", NO_DIGEST)
    present = {1: (b"row", PresentRow(values, (None, None)))}
    for said in (SAID, SAID[::-1]):
        found = Comparison(said).of_block(sequence, [sealed], present)
        assert [one.kind for one in found] == ["PAYLOAD_MISSING"] * is_missed
