"""Keys of versions compare, as plain bytes, in the order of the versions."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intertie_mapping.errors import MappingFault, Reason
from intertie_mapping.values import MISSING
from intertie_mapping.versions import MAX_KEY_LENGTH, version_key

NUMBERS = (
    st.integers()
    | st.integers(-(10**60), 10**60)
    | st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**15), max_value=10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
)
MOMENTS = st.datetimes(
    min_value=datetime(2, 1, 1),
    max_value=datetime(9998, 1, 1),
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=8)), timezone(-timedelta(hours=3, minutes=30))]),
)


def compare(left: Any, right: Any) -> int:
    return int(left > right) - int(left < right)


def key(value: Any) -> bytes:
    return version_key(value).encode()


@given(NUMBERS, NUMBERS)
def test_numbers_compare_by_value(left: Any, right: Any) -> None:
    """At any size and sign, whether written as integer, decimal or float."""
    exact = [Decimal(repr(value)) if isinstance(value, float) else Decimal(value) for value in (left, right)]
    assert compare(key(left), key(right)) == compare(*exact)


@given(st.integers(-(10**30), 10**30), st.integers(-(10**30), 10**30))
def test_numbers_in_texts_compare_by_value_too(left: int, right: int) -> None:
    assert compare(key(str(left)), key(right)) == compare(left, right)


@given(MOMENTS, MOMENTS)
def test_times_compare_by_the_moment(left: datetime, right: datetime) -> None:
    """Whatever zones they are written in."""
    assert compare(key(left.isoformat()), key(right.isoformat())) == compare(left, right)


@pytest.mark.parametrize(
    "ordered",
    [
        [-(2**70), "-5", -1.5, -1, -0.5, 0, "0.0001", 0.5, 1, "2", 10, 99, "100", 2**53, 2**53 + 1, 2**64, 2**64 + 1],
        [
            "2026-01-01",
            "2026-01-01T00:00:00.000000001Z",
            "2026-01-01T00:00:00.5Z",
            "2026-01-01 00:00:01",
            "2026-01-01T08:00:02+08:00",
        ],
        ["Sun, 22 Nov 2026 21:00:00 GMT", "2026-11-22T21:00:00.1Z", "Mon, 23 Nov 2026 01:00:00 +0100"],
        ["2016-12-31T23:59:59.9Z", "2017-01-01T00:00:00Z"],
        [5, "2026-01-01", "draft"],
        ["1764460800", 1764460801, "1764460800000"],
        ["A", "a", "aa", "b", "é", "😀"],
    ],
)
def test_known_orders(ordered: list[Any]) -> None:
    keys = [key(value) for value in ordered]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, 1.0), ("1", 1), ("1.50", 1.5), ("+7", 7), (0, -0.0), ("2026-01-01", "2026-01-01T00:00:00.000Z"),
     ("2026-01-01T08:00:00+08:00", "20260101T000000Z"), (" x ", "x"), (10**25, Decimal("1e25"))],
)  # fmt: skip
def test_equal_versions_have_equal_keys(one: Any, other: Any) -> None:
    assert version_key(one) == version_key(other)


@pytest.mark.parametrize("value", [None, MISSING, "", "  "])
def test_no_version_is_a_fault(value: Any) -> None:
    """Taking it by arrival could let an old delivery replace a newer one."""
    with pytest.raises(MappingFault) as fault:
        version_key(value)
    assert (fault.value.reason, fault.value.field) == (Reason.MISSING_VERSION, "version_field")


@pytest.mark.parametrize(
    "value", [True, [], {}, [1], "x" * 300, 10**300 + 1, "2026-02-30", "2026-01-01T25:00:00Z", "0000-01-01"]
)
def test_what_cannot_be_put_in_order_is_a_fault(value: Any) -> None:
    with pytest.raises(MappingFault) as fault:
        version_key(value)
    assert fault.value.reason == Reason.INVALID_VERSION


@given(st.text(st.characters(codec="utf-8"), max_size=400))
def test_keys_fit_their_column(text: str) -> None:
    with contextlib.suppress(MappingFault):
        assert len(version_key(text)) <= MAX_KEY_LENGTH
