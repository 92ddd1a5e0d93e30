"""A plan turns a record into columns, the same each time, and tells missing from null."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intertie_mapping.configuration import Configuration
from intertie_mapping.documents import parse
from intertie_mapping.errors import MappingFault, Reason
from intertie_mapping.plan import Plan, compile_plan


def planned(**configuration: Any) -> Plan:
    return compile_plan(Configuration.from_value(configuration))


def test_the_seeds_mapping() -> None:
    plan = planned(field_mappings={"title": "event_title", "date": "date"})
    (record,) = parse(b'{"id": "INC-1", "title": "Flood", "date": "2026-11-30", "extra": {"ignored": true}}').records
    assert plan.wants(record.value) is True
    assert plan.external_id(record.value) == plan.identify(record) == "INC-1"
    assert plan.version(record.value) is None
    assert plan.apply(record.value) == {"event_title": "Flood", "date": "2026-11-30"}
    assert plan.columns == ("event_title", "date")
    assert plan.insert_only == frozenset()
    assert plan.every is False


def test_missing_is_left_out_and_null_is_null() -> None:
    plan = planned(
        field_mappings={"a": "plain", "b": "changed"},
        transformations={"changed": "uppercase"},
        expressions={"computed": "c"},
    )
    assert plan.apply({}) == {}
    assert plan.apply({"a": None, "b": None, "c": None}) == {"plain": None, "changed": None, "computed": None}
    assert plan.apply({"a": 0, "b": "", "c": False}) == {"plain": 0, "changed": "", "computed": False}


def test_defaults_stand_in_for_what_is_missing_only() -> None:
    """They are written as they stand; a column that has nothing but a default is for inserts alone."""
    plan = planned(
        field_mappings={"a": "sourced", "b": "transformed"},
        transformations={"transformed": "uppercase"},
        expressions={"computed": "nope"},
        defaults={"sourced": "d1", "transformed": "d2", "computed": [1], "alone": "d4"},
    )
    assert plan.apply({}) == {"sourced": "d1", "transformed": "d2", "computed": [1], "alone": "d4"}
    assert plan.apply({"a": None, "b": "x"}) == {"sourced": None, "transformed": "X", "computed": [1], "alone": "d4"}
    assert plan.insert_only == {"alone"}


def test_constants_are_always_written() -> None:
    plan = planned(field_mappings={"a": "x"}, constants={"kind": "drill", "nothing": None})
    assert plan.apply({"kind": "other"}) == {"kind": "drill", "nothing": None}


def test_one_source_feeds_several_columns() -> None:
    plan = planned(
        field_mappings={"when": ["date", "starts_at"]},
        transformations={"date": {"name": "substring", "start": 0, "length": 10}},
    )
    assert plan.apply({"when": "2026-11-30T08:00:00Z"}) == {"date": "2026-11-30", "starts_at": "2026-11-30T08:00:00Z"}


def test_rows_do_not_share_changes() -> None:
    plan = planned(field_mappings={"a": "x"}, constants={"c": 1})
    row = plan.apply({"a": 1})
    row["c"] = 2
    assert plan.apply({"a": 1}) == {"x": 1, "c": 1}


def test_faults_name_the_column() -> None:
    plan = planned(field_mappings={"a.b": "amount"}, transformations={"amount": ["trim", "number"]})
    with pytest.raises(MappingFault) as fault:
        plan.apply({"a": {"b": "lots"}})
    assert (fault.value.reason, fault.value.field) == (Reason.NOT_A_NUMBER, "amount")
    assert str(fault.value) == "amount: 'lots' is not a number."


def test_a_filter_decides_or_is_a_fault() -> None:
    plan = planned(field_mappings={"a": "x"}, filter="severity >= 3 and kind = 'flood'")
    assert plan.wants({"severity": 3, "kind": "flood"}) is True
    assert plan.wants({"severity": 2, "kind": "flood"}) is False
    assert plan.wants({}) is False
    with pytest.raises(MappingFault) as fault:
        plan.wants({"severity": "high", "kind": "flood"})
    assert (fault.value.reason, fault.value.field) == (Reason.FILTER_FAILED, "filter")


def test_a_record_without_id_is_known_by_its_bytes_only_if_asked() -> None:
    first, again, other, named = parse(b'[{"a":1},{"a":1},{"a":2},{"a":1,"id":5}]').records
    by_field, by_content = planned(field_mappings={"a": "x"}), planned(field_mappings={"a": "x"}, external_id="content")
    assert by_field.identify(first) is None
    assert by_content.identify(first) == by_content.identify(again) != by_content.identify(other)
    assert by_content.identify(named) == "5"
    assert by_content.external_id(first.value) is None


def test_ids_and_versions_come_from_paths() -> None:
    plan = planned(field_mappings={"a": "x"}, external_id_field="data.id", version_field="meta.seq")
    assert plan.external_id({"data": {"id": 2**64}}) == "18446744073709551616"
    assert plan.version({"meta": {"seq": 5}}) == plan.version({"meta": {"seq": "5"}})
    with pytest.raises(MappingFault) as fault:
        plan.version({"meta": {}})
    assert fault.value.reason == Reason.MISSING_VERSION
    with pytest.raises(MappingFault) as fault:
        plan.external_id({"data": {"id": {}}})
    assert fault.value.reason == Reason.INVALID_EXTERNAL_ID


def test_digits_reach_the_column_as_written() -> None:
    """What no float can hold comes as a Decimal, and expressions beside it still work."""
    plan = planned(field_mappings={"n": "exact", "doc": "kept"}, expressions={"computed": "n > 1"})
    (record,) = parse(b'{"n": 1234567890.123456789012, "doc": {"m": 0.12345678901234567890}}').records
    row = plan.apply(record.value)
    assert row["exact"] == Decimal("1234567890.123456789012")
    assert row["kept"] == {"m": Decimal("0.12345678901234567890")}
    assert row["computed"] is True


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("a1-:TZ", max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "id"]), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["a", "b", "id", "v"]), JSON))
def test_mapping_is_pure(record: dict[str, Any]) -> None:
    """Two plans of one configuration make the same of any record, fault or row, and leave the record as it was."""
    configuration = {
        "field_mappings": {"a": ["plain", "title"], "a.b": "nested", "b[*].a": "many"},
        "transformations": {"title": ["trim", "uppercase"], "nested": "date", "many": "json"},
        "expressions": {"computed": "$count(b) + 1"},
        "constants": {"c": 1},
        "defaults": {"nested": "2026-01-01"},
        "version_field": "v",
        "filter": "$exists(a)",
    }
    before = repr(record)

    def outcome(plan: Plan) -> list[Any]:
        results: list[Any] = []
        for function in (plan.wants, plan.external_id, plan.version, plan.apply):
            try:
                results.append(function(record))
            except MappingFault as fault:
                results.append((fault.reason, fault.field, fault.message))
        return results

    first, second = planned(**configuration), planned(**configuration)
    assert outcome(first) == outcome(second) == outcome(first)
    assert repr(record) == before
