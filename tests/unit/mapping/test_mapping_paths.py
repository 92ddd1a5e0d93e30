"""Source paths find what they should in nested data, and tell what is missing from what is null."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intertie_mapping.paths import PathError, compile_path
from intertie_mapping.values import MISSING

RECORD: dict[str, Any] = {
    "id": 7,
    "none": None,
    "location": {"street": "Quay 5", "gate": None, "geo": {"lat": 1.5}},
    "items": [{"sku": "a", "tags": ["x", "y"]}, {"sku": None, "tags": []}, {"other": 1, "tags": ["z"]}],
    "a.b": "literal",
    "a": {"b": "nested", "c": {"d.e": "deep literal", "d": {"e": "deep"}}},
    "x[0]": "odd key",
    "x": ["element"],
    "by_number": {"0": "zero"},
    "matrix": [[1, 2], [3]],
    "empty": [],
    "__class__": "a key like any other",
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("id", 7),
        ("none", None),
        ("nope", MISSING),
        ("location.street", "Quay 5"),
        ("location.gate", None),
        ("location.nope", MISSING),
        ("location.geo.lat", 1.5),
        ("location.street.further", MISSING),
        ("none.anything", None),
        ("none.anything.deeper[0]", None),
        ("location.gate.code", None),
        ("items[0].sku", "a"),
        ("items.0.sku", "a"),
        ("items[-1].other", 1),
        ("items[3].sku", MISSING),
        ("items[-4].sku", MISSING),
        ("items[1].sku", None),
        ("items[*].sku", ["a", None]),
        ("items[*].nope", []),
        ("items[*].tags", [["x", "y"], [], ["z"]]),
        ("items[*].tags[*]", ["x", "y", "z"]),
        ("items[*].tags[0]", ["x", "z"]),
        ("items[*]", RECORD["items"]),
        ("items.sku", MISSING),
        ("empty[*].sku", []),
        ("empty[0]", MISSING),
        ("nope[*].sku", MISSING),
        ("none[*].sku", None),
        ("location[*]", MISSING),
        ("location[0]", MISSING),
        ("matrix[1][0]", 3),
        ("matrix[*][0]", [1, 3]),
        ("matrix[*][*]", [1, 2, 3]),
        ("matrix.0.1", 2),
        ("a.b", "literal"),
        ("a.c.d.e", "deep literal"),
        ("x[0]", "odd key"),
        ("by_number.0", "zero"),
        ("by_number[0]", MISSING),
        ("__class__", "a key like any other"),
        ("location.__class__", MISSING),
        ("{{7*7}}", MISSING),
    ],
)
def test_what_a_path_finds(path: str, found: Any) -> None:
    assert compile_path(path)(RECORD) == found
    if found is MISSING or found is None:
        assert compile_path(path)(RECORD) is found


@pytest.mark.parametrize(
    "path", ["", ".", "a.", ".a", "a..b", "a[", "a[]", "a[x]", "a[1", "a[0]b", "a[0].", "a.[0]", "[1.5]", "a" * 1001]
)
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(PathError):
        compile_path(path)


STEPS = st.lists(st.text("abc", min_size=1, max_size=2) | st.integers(0, 2), min_size=1, max_size=6)


@given(STEPS, st.none() | st.integers() | st.text(max_size=3), st.booleans())
def test_a_path_finds_what_was_put_there(steps: list[str | int], value: Any, bracketed: bool) -> None:
    """Building nested data along any path, then reading it, gives the value back."""
    steps = ["root", *steps]
    data: Any = value
    text = ""
    for step in reversed(steps):
        data = {step: data} if isinstance(step, str) else [None] * step + [data]
        text = (f"[{step}]" if isinstance(step, int) and bracketed else f".{step}") + text
    assert compile_path(text.lstrip("."))(data) == value


@given(
    st.recursive(
        st.none() | st.integers() | st.text("ab.", max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.", max_size=3), inner, max_size=3),
    ),
    STEPS,
)
def test_no_path_fails_on_any_data(data: Any, steps: list[str | int]) -> None:
    """Whatever the record holds, reading gives a value, null or missing, and never raises."""
    compile_path(".".join(map(str, ["a", *steps])))({"a": data})
    compile_path("a[*]." + ".".join(map(str, steps)))({"a": data})
