"""Where deliveries may come from and how often: what registry refuses, and that ingest goes by the same rules."""

import json
from typing import Any

import pytest

from intertie_ingest.admission import Unclear, compile_terms
from intertie_registry import admission

FINE: list[dict[str, Any]] = [
    {"rate_limit": {"per_second": 10, "burst": 20}, "max_in_flight": 4, "allowed_sources": ["140.82.112.0/20"]},
    {"rate_limit": {"per_second": 0.1}},
    {"rate_limit": {"per_second": 1_000_000, "burst": None}},
    {"rate_limit": None, "max_in_flight": None, "allowed_sources": None},
    {"max_in_flight": 1_000_000},
    {"allowed_sources": ["192.0.2.1", " 2001:db8::/32 ", "::1"]},
    {"allowed_sources": ["10.0.0.0/8"] * 1000},
    {},
]

WRONG: list[tuple[dict[str, Any], set[str]]] = [
    ({"rate_limit": 5}, {"rate_limit"}),
    ({"rate_limit": []}, {"rate_limit"}),
    ({"rate_limit": {"burst": 5}}, {"rate_limit"}),
    ({"rate_limit": {"per_second": 0}}, {"rate_limit.per_second"}),
    ({"rate_limit": {"per_second": -1}}, {"rate_limit.per_second"}),
    ({"rate_limit": {"per_second": True}}, {"rate_limit.per_second"}),
    ({"rate_limit": {"per_second": "5"}}, {"rate_limit.per_second"}),
    ({"rate_limit": {"per_second": 1_000_001}}, {"rate_limit.per_second"}),
    ({"rate_limit": {"per_second": 5, "burst": 0}}, {"rate_limit.burst"}),
    ({"rate_limit": {"per_second": 5, "burst": 1.5}}, {"rate_limit.burst"}),
    ({"rate_limit": {"per_second": 5, "per_minute": 9}}, {"rate_limit.per_minute"}),
    ({"max_in_flight": 0}, {"max_in_flight"}),
    ({"max_in_flight": "4"}, {"max_in_flight"}),
    ({"max_in_flight": True}, {"max_in_flight"}),
    ({"allowed_sources": []}, {"allowed_sources"}),
    ({"allowed_sources": "10.0.0.0/8"}, {"allowed_sources"}),
    ({"allowed_sources": {"a": 1}}, {"allowed_sources"}),
    ({"allowed_sources": ["10.0.0.0/8"] * 1001}, {"allowed_sources"}),
    ({"allowed_sources": ["10.0.0.1/8", "10.0.0.1", "host", 7, None]}, {f"allowed_sources[{n}]" for n in (0, 2, 3, 4)}),
    (
        {"rate_limit": {"per_second": 0, "burst": 0, "x": 1}, "max_in_flight": -1, "allowed_sources": [""]},
        {"rate_limit.per_second", "rate_limit.burst", "rate_limit.x", "max_in_flight", "allowed_sources[0]"},
    ),
]


@pytest.mark.parametrize("config", FINE, ids=lambda config: json.dumps(config)[:60])
def test_what_is_fine_to_both(config: dict[str, Any]) -> None:
    """What registry takes ingest understands."""
    assert not list(admission.problems(config))
    compile_terms(config)


@pytest.mark.parametrize(("config", "fields"), WRONG, ids=[json.dumps(config)[:60] for config, _ in WRONG])
def test_what_is_refused_by_both(config: dict[str, Any], fields: set[str]) -> None:
    """Every fault in one answer; and what SQL put there all the same closes the system."""
    assert {field for field, _ in admission.problems(config)} == fields
    with pytest.raises(Unclear):
        compile_terms(config)
