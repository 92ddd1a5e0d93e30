"""What a grant is worth at a moment."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from intertie_ingest.errors import GrantExpired, GrantMissing
from intertie_ingest.grants import Grant, held, require

NOW = 1_800_000_000.0


@dataclass(frozen=True)
class _System:
    is_active: bool = True
    grants: Mapping[str, Grant] = field(
        default_factory=lambda: {
            "reader": Grant("read"),
            "writer": Grant("write", NOW + 0.001),
            "ended": Grant("read_write", NOW),
            "odd": Grant("everything"),
        }
    )


@pytest.mark.parametrize(
    ("module", "access", "refusal"),
    [
        ("reader", "read", None),
        ("reader", "write", GrantMissing),
        ("writer", "write", None),
        ("writer", "read", GrantMissing),
        ("ended", "read", GrantExpired),
        ("odd", "read", GrantMissing),
        ("stranger", "read", GrantMissing),
        ("Reader", "read", GrantMissing),
    ],
)
def test_a_grant_covers_what_it_says_until_it_ends(module: str, access: str, refusal: type[Exception] | None) -> None:
    """To the moment: at its end it has ended."""
    if refusal is None:
        require(_System(), "police", module, access, NOW)
        return
    with pytest.raises(refusal):
        require(_System(), "police", module, access, NOW)


def test_a_system_that_is_off_grants_nothing_and_is_told_from_none_by_nothing() -> None:
    """Nor from one that does not exist."""
    texts = set()
    for system in (_System(is_active=False), None, _System(grants={})):
        with pytest.raises(GrantMissing) as refused:
            held(system, "police", "reader", NOW)
        texts.add((refused.value.message, refused.value.reason, tuple(refused.value.metadata.items())))
    assert len(texts) == 1
