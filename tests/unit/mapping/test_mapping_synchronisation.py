"""The `sync` part of a mapping: what it means, what is refused, and what stops only its syncs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intertie_mapping.configuration import Configuration
from intertie_mapping.errors import ConfigurationFault
from intertie_mapping.sync_values import CHECKS, PAGINATION_CHECKS
from intertie_mapping.synchronisation import KEYS, PAGINATION_KINDS, Synchronisation, check_sync

REFERENCE = (Path(__file__).parents[3] / "docs" / "mapping.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```json sync\n(.*?)```", REFERENCE, re.DOTALL)
FULL: dict[str, Any] = {
    "cursor_field": "updated_at",
    "lookback_seconds": 300,
    "page_size": 500,
    "pagination": {"kind": "page_number", "base_page": 1, "page_param": "p", "maximum_page": 9},
    "records": "data.items",
    "key_fields": ["region", "number"],
    "cursor_param": "since",
    "cursor_format": "%Y-%m-%d",
    "params": {"open": True, "limit": 5, "tags": ["a", "b"]},
    "method": "POST",
    "body": {"query": "{ incidents { id } }"},
    "cache_seconds": 3600,
    "connection_id": 7,
}


def problems_of(sync: dict[str, Any], *, strict: bool = True) -> dict[str, str]:
    return dict(check_sync(sync, strict))


def test_every_key_is_taken() -> None:
    assert set(FULL) == set(KEYS) == set(CHECKS)
    assert problems_of(FULL) == {}
    synchronisation = Synchronisation.of({"sync": FULL})
    for key, value in FULL.items():
        assert getattr(synchronisation, key) == (tuple(value) if key == "key_fields" else value)


@pytest.mark.parametrize("config", [{}, {"sync": None}, {"sync": {}}, {"sync": []}, {"sync": dict.fromkeys(KEYS)}])
def test_without_a_word_everything_is_read(config: dict[str, Any]) -> None:
    """The defaults; PHP writes an empty object as an empty array, and null is as good as left out."""
    assert Synchronisation.of(config) == Synchronisation()
    assert Synchronisation().page_size == 1000
    assert Synchronisation().method == "GET"


def test_each_key_of_a_pagination_has_a_check() -> None:
    assert {key for keys in PAGINATION_KINDS.values() for key in keys} == set(PAGINATION_CHECKS)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cursor_field", 5),
        ("cursor_field", "a..b"),
        ("lookback_seconds", -1),
        ("lookback_seconds", True),
        ("lookback_seconds", "300"),
        ("page_size", 0),
        ("page_size", 100_001),
        ("page_size", 10.0),
        ("pagination", "cursor"),
        ("pagination", {}),
        ("pagination", []),
        ("records", "a["),
        ("key_fields", []),
        ("key_fields", "id"),
        ("key_fields", ["id", ""]),
        ("key_fields", ["id", "id"]),
        ("cursor_param", ""),
        ("cursor_param", 1),
        ("cursor_format", "rfc2822"),
        ("cursor_format", 1),
        ("params", ["a"]),
        ("params", {"a": {"b": 1}}),
        ("params", {"a": [None]}),
        ("method", "get"),
        ("method", "DELETE"),
        ("cache_seconds", 0),
        ("connection_id", 0),
        ("connection_id", 2**32),
    ],
)
def test_what_is_refused(key: str, value: Any) -> None:
    """Named by its key, when it is saved and when it is read; nothing else is found at fault."""
    sync = {"cursor_field": "updated_at"} | {key: value}
    assert set(problems_of(sync)) == set(problems_of(sync, strict=False)) == {key}
    with pytest.raises(ValueError, match=f"sync.{key}: ."):
        Synchronisation.of({"sync": sync})


@pytest.mark.parametrize("key", ["cursor_param", "lookback_seconds"])
def test_what_needs_a_cursor(key: str) -> None:
    assert set(problems_of({key: FULL[key]})) == {key}
    assert problems_of({"lookback_seconds": 0}) == {}


@pytest.mark.parametrize("kind", [kind for kind in PAGINATION_KINDS if kind != "cursor"])
def test_a_kind_alone_is_enough(kind: str) -> None:
    """Every other key has the default that it has in dlt."""
    assert problems_of({"pagination": {"kind": kind}}) == {}
    assert problems_of({"pagination": {"kind": kind} | dict.fromkeys(PAGINATION_KINDS[kind])}) == {}


@pytest.mark.parametrize(
    ("pagination", "path"),
    [
        ({"kind": "scroll"}, "kind"),
        ({"kind": "cursor"}, "cursor_path"),
        ({"kind": "cursor", "cursor_path": 5}, "cursor_path"),
        ({"kind": "cursor", "cursor_path": "n", "cursor_param": "c", "cursor_body_path": "v.c"}, "cursor_body_path"),
        ({"kind": "json_link", "next_url_path": "a["}, "next_url_path"),
        ({"kind": "header_link", "links_next_key": ""}, "links_next_key"),
        ({"kind": "offset", "limit": 0}, "limit"),
        ({"kind": "offset", "offset": -1}, "offset"),
        ({"kind": "offset", "maximum_offset": "9"}, "maximum_offset"),
        ({"kind": "offset", "stop_after_empty_page": "no"}, "stop_after_empty_page"),
        ({"kind": "offset", "stop_after_empty_page": False, "total_path": None}, "stop_after_empty_page"),
        ({"kind": "page_number", "base_page": True}, "base_page"),
        ({"kind": "page_number", "page_param": ["p"]}, "page_param"),
        ({"kind": "page_number", "stop_after_empty_page": False, "total_path": None}, "stop_after_empty_page"),
    ],
)
def test_paginations_that_are_refused(pagination: dict[str, Any], path: str) -> None:
    for strict in (True, False):
        assert set(problems_of({"pagination": pagination}, strict=strict)) == {f"pagination.{path}"}


def test_an_end_that_comes_in_another_way() -> None:
    for end in ({}, {"maximum_offset": 900}, {"has_more_path": "more"}, {"total_path": "meta.count"}):
        pagination = {"kind": "offset", "stop_after_empty_page": False, **end}
        assert problems_of({"pagination": pagination}) == {}


def test_unknown_keys_are_told_when_saving() -> None:
    """With those that there are. What SQL wrote is read without them."""
    sync = {"page": 1, "pagination": {"kind": "json_link", "next": "x"}}
    found = problems_of(sync)
    assert set(found) == {"page", "pagination.next"}
    assert "page_size" in found["page"]
    assert "next_url_path" in found["pagination.next"]
    assert problems_of(sync, strict=False) == {}
    assert Synchronisation.of({"sync": sync}).pagination == sync["pagination"]


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ValueError, match=r"sync\.page_size.*sync\.method.*sync\.pagination\.cursor_path"):
        Synchronisation.of({"sync": {"page_size": 0, "method": 1, "pagination": {"kind": "cursor"}}})
    with pytest.raises(ValueError, match="sync: must be an object"):
        Synchronisation.of({"sync": "daily"})


def test_a_fault_of_the_sync_stops_no_delivery() -> None:
    """Saving it is refused; written by SQL, the mapping still takes what is sent."""
    value: Any = {"field_mappings": {"a": "x"}, "sync": {"page_size": 0}}
    with pytest.raises(ConfigurationFault) as fault:
        Configuration.from_value(value, strict=True)
    assert [path for path, _ in fault.value.problems] == ["sync.page_size"]
    assert Configuration.from_value(value).sync == {"page_size": 0}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
PAGINATION = st.dictionaries(st.sampled_from([*PAGINATION_CHECKS, "x"]), JSON, max_size=4).flatmap(
    lambda keys: st.sampled_from([*PAGINATION_KINDS, "x"]).map(lambda kind: {"kind": kind, **keys})
)


@given(st.dictionaries(st.sampled_from([*KEYS, "x"]), JSON | PAGINATION, max_size=5))
def test_whatever_is_written_is_read_or_refused(sync: dict[str, Any]) -> None:
    """Nothing else comes of it; and what may be saved may be read."""
    problems = problems_of(sync)
    if not problems:
        Synchronisation.of({"sync": sync})
    lenient = problems_of(sync, strict=False)
    assert set(lenient) <= set(problems)
    assert all(problems.values())


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_of_the_reference_are_fine(example: str) -> None:
    document = json.loads(example)
    assert problems_of(document["sync"]) == {}


def test_the_reference_has_an_example_of_each_kind() -> None:
    shown = [json.loads(example)["sync"].get("pagination", {}).get("kind") for example in EXAMPLES]
    assert set(PAGINATION_KINDS) <= set(shown)


@pytest.mark.parametrize("key", [*KEYS, *PAGINATION_CHECKS])
def test_each_key_is_described(key: str) -> None:
    assert re.search(rf"^\| .*`{key}`", REFERENCE, re.MULTILINE)
