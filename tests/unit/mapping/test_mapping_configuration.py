"""A configuration is read whole, with all of its problems named at once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intertie_mapping.configuration import KEYS, Configuration
from intertie_mapping.errors import ConfigurationFault
from intertie_mapping.retrying import DELAYS

#: The example of the design, which uses every key.
FULL: dict[str, Any] = {
    "field_mappings": {"title": "event_title", "location.street": "location", "date": ["date", "event_date"]},
    "transformations": {"event_title": ["trim", "uppercase"], "date": "date_format"},
    "expressions": {"description": "event_type & ' at ' & location.street"},
    "constants": {"event_type": "drill"},
    "defaults": {"event_status": "planned"},
    "external_id_field": "id",
    "external_id": "content",
    "version_field": "updated_at",
    "match_fields": ["event_title", "date"],
    "filter": "severity >= 3 and event_type = 'incident_created'",
    "apply": "latest",
    "on_deleted": "set_aside",
    "retry": {"delays_seconds": [5, 60]},
    "sync": {
        "cursor_field": "updated_at",
        "lookback_seconds": 300,
        "page_size": 1000,
        "pagination": {"kind": "cursor", "cursor_path": "meta.next"},
        "records": "data.items",
    },
}


def problems_of(value: Any, *, strict: bool = True) -> dict[str, str]:
    with pytest.raises(ConfigurationFault) as fault:
        Configuration.from_value(value, strict=strict)
    return dict(fault.value.problems)


def test_every_key_is_read() -> None:
    configuration = Configuration.from_json(json.dumps(FULL), strict=True)
    assert set(FULL) == set(KEYS)
    assert configuration.field_mappings == (
        ("title", ("event_title",)),
        ("location.street", ("location",)),
        ("date", ("date", "event_date")),
    )
    assert [step.specification.name for step in configuration.transformations["event_title"]] == ["trim", "uppercase"]
    assert configuration.match_fields == ("event_title", "date")
    assert configuration.external_id == "content"
    assert configuration.retry_delays == (5, 60)
    assert configuration.sync == FULL["sync"]
    assert configuration.columns == (
        "event_title", "location", "date", "event_date", "description", "event_type", "event_status",
    )  # fmt: skip


def test_the_seeds_configuration_has_the_usual_meaning() -> None:
    configuration = Configuration.from_json(
        b'{"field_mappings": {"title": "event_title", "date": "date"}}', strict=True
    )
    assert (configuration.external_id_field, configuration.external_id) == ("id", "field")
    assert (configuration.version_field, configuration.filter) == (None, None)
    assert (configuration.apply, configuration.on_deleted, configuration.match_fields) == ("latest", "set_aside", ())


def test_phps_empty_arrays_are_empty_objects() -> None:
    """json_encode([]) of the existing application."""
    value: Any = {
        "field_mappings": {"a": "b"},
        "transformations": [],
        "constants": [],
        "filter": "",
        "external_id_field": "",
    }
    assert Configuration.from_value(value, strict=True).external_id_field == "id"


def test_all_problems_are_named_at_once() -> None:
    problems = problems_of(
        {
            "field_mappings": {"a..b": "x", "c": ["y", "y2"], "d": "y", "e": 5, "f": [], "g": "z" * 65},
            "transformations": {"y": ["trimm", {"name": "split", "sep": 1}], "other": "trim"},
            "expressions": {"z": "$now()", "w": "[1..10000000]", "v": "a &", "u": 5},
            "constants": {"y2": 1, "": 2},
            "defaults": {"y2": 1},
            "external_id_field": 5,
            "external_id": "hash",
            "version_field": "a.",
            "match_fields": ["nope"],
            "filter": "(",
            "filtre": "x",
            "apply": "all",
            "on_deleted": "ignore",
            "retry": {"delays_seconds": [5, 0, True, 604_801, 1.0], "times": 3},
            "sync": {"page_size": 0, "lookback_seconds": True, "pagination": "cursor", "records": "a[", "x": 1},
        }
    )
    assert set(problems) == {
        "field_mappings", "field_mappings.a..b", "field_mappings.e", "field_mappings.f", "field_mappings.g",
        "transformations.y[0]", "transformations.y[1].sep", "transformations.other",
        "expressions.z", "expressions.w", "expressions.v", "expressions.u", "constants", "defaults.y2",
        "external_id_field", "external_id", "version_field", "match_fields", "filter", "filtre", "apply", "on_deleted",
        "retry.delays_seconds[1]", "retry.delays_seconds[2]", "retry.delays_seconds[3]", "retry.delays_seconds[4]",
        "retry.times", "sync.page_size", "sync.lookback_seconds", "sync.pagination", "sync.records", "sync.x",
    }  # fmt: skip
    assert all(problems.values())


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({}, "field_mappings"),
        ([], "field_mappings"),
        ({"field_mappings": {}}, "field_mappings"),
        ({"field_mappings": "x"}, "field_mappings"),
        ("text", ""),
        (None, ""),
        ({"field_mappings": {"a": "x", "b": "x"}}, "field_mappings"),
        ({"field_mappings": {"a": "x"}, "constants": {"x": 1}}, "field_mappings"),
        ({"field_mappings": {"a": "x"}, "expressions": {"x": "a"}}, "field_mappings"),
        ({"constants": {"x": 1}, "defaults": {"x": 1}}, "defaults.x"),
        ({"field_mappings": {"a": "x"}, "apply": "every", "match_fields": ["x"]}, "match_fields"),
        ({"constants": {f"c{number}": 1 for number in range(1001)}}, "field_mappings"),
    ],
)
def test_single_problems(value: Any, path: str) -> None:
    assert list(problems_of(value, strict=False)) == [path]


def test_what_came_by_sql_may_hold_unknown_keys() -> None:
    """A misspelt extra must not stop the deliveries of a mapping that worked."""
    value: Any = {"field_mappings": {"a": "x"}, "filtre": 1, "transformations": {"other": "trim"}, "sync": {"x": 1}}
    assert Configuration.from_value(value).columns == ("x",)
    assert set(problems_of(value)) == {"filtre", "transformations.other", "sync.x"}


@pytest.mark.parametrize(
    ("retry", "path"),
    [
        (5, "retry"),
        ({"delays_seconds": []}, "retry.delays_seconds"),
        ({"delays_seconds": 5}, "retry.delays_seconds"),
        ({"delays_seconds": [1] * 21}, "retry.delays_seconds"),
        ({"delays_seconds": [5, "30"]}, "retry.delays_seconds[1]"),
    ],
)
def test_wrong_delays_stop_no_delivery(retry: Any, path: str) -> None:
    """They are refused when the mapping is saved; written by SQL, the usual ones are taken in their place."""
    value = {"field_mappings": {"a": "x"}, "retry": retry}
    assert list(problems_of(value)) == [path]
    assert Configuration.from_value(value).retry_delays == DELAYS


@pytest.mark.parametrize("retry", [None, {}, [], {"delays_seconds": None}])
def test_without_delays_the_usual_ones_are_taken(retry: Any) -> None:
    value: Any = {"field_mappings": {"a": "x"}, "retry": retry}
    assert Configuration.from_value(value, strict=True).retry_delays == DELAYS
    assert Configuration.from_value(value).retry_delays == DELAYS


@pytest.mark.parametrize("text", ["", "{", b"\xff", '{"field_mappings": {"a": "x", "a": "y"}}', "[" * 100])
def test_what_is_not_json_is_a_problem_of_the_whole(text: str | bytes) -> None:
    with pytest.raises(ConfigurationFault) as fault:
        Configuration.from_json(text)
    assert [path for path, _ in fault.value.problems] == [""]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(KEYS), JSON), st.booleans())
def test_any_json_is_read_or_refused_by_name(value: Any, strict: bool) -> None:
    try:
        Configuration.from_value(value, strict=strict)
    except ConfigurationFault as fault:
        names = {path.split(".")[0].split("[")[0] for path, _ in fault.problems}
        if not names <= set(KEYS):
            raise
