"""External ids are texts that cannot be confused, or a fault."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from intertie_mapping.documents import parse
from intertie_mapping.errors import MappingFault, Reason
from intertie_mapping.identities import content_identity, identity
from intertie_mapping.values import MISSING


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("INC-1", "INC-1"),
        (" trailing ", " trailing "),
        ("É", "É"),
        ("😀" * 255, "😀" * 255),
        (0, "0"),
        (2**64 + 1, "18446744073709551617"),
        (5.0, "5"),
        (5.5, "5.5"),
        (Decimal("1.00000000000000000001"), "1.00000000000000000001"),
        (None, None),
        (MISSING, None),
    ],
)
def test_ids(value: Any, text: str | None) -> None:
    assert identity(value) == text


@pytest.mark.parametrize(
    "value", ["", "x" * 256, "a\x00b", "a\nb", "\x7f", "\x85", True, False, {}, [], ["a"], {"id": 1}, 10**300]
)
def test_what_is_no_id_is_a_fault(value: Any) -> None:
    with pytest.raises(MappingFault) as fault:
        identity(value)
    assert (fault.value.reason, fault.value.field) == (Reason.INVALID_EXTERNAL_ID, "external_id_field")


def test_the_same_bytes_are_the_same_record() -> None:
    first, again, other = parse(b'[{"a":1},{"a":1},{"a": 1}]').records
    assert content_identity(first) == content_identity(again) != content_identity(other)
    assert len(content_identity(first)) <= 255
