"""Placing records: filters have a budget that belongs to their system."""

from dataclasses import replace
from itertools import count

from ingest_samples import SECRET, configuration, desk, mapping, raw, system
from intertie_ingest.routing import Patience

LOOP = "($f := function($n) { $f($n) }; $f(1))"


def test_filters_that_take_too_long_set_the_rest_aside_and_no_other_system() -> None:
    """What an array multiplies ends at the budget: later records are not tried, those of another system are."""
    config = configuration(
        system(mapping(1, filter="id < 100"), mapping(2, "all"), webhook_secret=SECRET),
        system(mapping(3, filter="id < 100"), number=2, name="other", webhook_secret=SECRET),
    )
    seconds = count()  # each filter takes one
    taking = replace(desk(config), patience=Patience(2.0, lambda: float(next(seconds))))
    taken = taking.take(raw([{"id": number} for number in range(4)]))
    reasons = [record.fault and record.fault.reason for record in taken.records if record.mapping_id == 1]
    assert reasons == [None, None, "expression_limit", "expression_limit"]
    assert [record.fault for record in taken.records if record.mapping_id == 2] == [None] * 4
    again = taking.take(raw({"id": 9}))
    assert [record.fault and record.fault.reason for record in again.records] == ["expression_limit", None]
    (other,) = taking.take(raw({"id": 9}, name="other")).records
    assert other.fault is None


def test_a_filter_that_loops_is_stopped() -> None:
    """An array of records against it costs the budget, not that many times its bound."""
    config = configuration(system(mapping(filter=LOOP), webhook_secret=SECRET))
    taking = replace(desk(config), patience=Patience(0.0))
    taken = taking.take(raw([{"id": number} for number in range(1000)]))
    assert {record.fault.reason for record in taken.records if record.fault} == {"expression_limit"}
    assert len(taken.records) == 1000
