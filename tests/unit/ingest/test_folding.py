"""Folding a group onto the cache: order, versions, duplicates and endings, as values."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_samples import configuration, delivery, mapping, system
from intertie_ingest.configuration import Configuration
from intertie_ingest.errors import DeliveryKeyReused
from intertie_ingest.folding import Fold, fold
from intertie_ingest.model import Accepted, CachedState, Delivery, Ending, Key, KnownDelivery, Status

PLAIN = configuration()
VERSIONED = configuration(system(mapping(version_field="v")))


def record(state: object, number: object = 1, **more: Any) -> dict[str, Any]:
    return {"id": number, "state": state, **more}


def take(*bodies: object, config: Configuration = PLAIN, keys: tuple[str | None, ...] = ()) -> list[Delivery]:
    padded = [*keys, *[None] * (len(bodies) - len(keys))]
    return [delivery(body, config, key=key) for body, key in zip(bodies, padded, strict=True)]


def accepted(folded: Fold) -> list[Accepted]:
    assert all(isinstance(outcome, Accepted) for outcome in folded.outcomes)
    return [outcome for outcome in folded.outcomes if isinstance(outcome, Accepted)]


def cached_of(folded: Fold, status: Status = Status.PENDING, row: int = 7) -> dict[Key, CachedState]:
    """What the cache holds after a fold was written and its records stood so."""
    return {
        key: CachedState(row, state.revision, state.version_key, state.record.digest, state.delivery_id, status)
        for key, state in folded.states.items()
    }


def known_of(folded: Fold) -> dict[tuple[int, str], KnownDelivery]:
    return {
        (new.delivery.system_id, new.delivery.delivery_key): KnownDelivery(
            new.delivery.delivery_id,
            new.delivery.digest,
            new.delivery.is_array,
            new.delivery.external_ids,
            not new.references,
        )
        for new in folded.deliveries
        if new.delivery.delivery_key is not None
    }


def test_there_and_back_again_is_three_states() -> None:
    """A, B, A: the last A is news, whether the states came in one group or in three."""
    group = take(record("A"), record("B"), record("A"))
    whole = fold(group, {}, {})
    assert [outcome.is_duplicate for outcome in accepted(whole)] == [False, False, False]
    assert [state.revision for state in whole.states.values()] == [3]
    cached: dict[Key, CachedState] = {}
    for one in group:
        step = fold([one], {}, cached)
        assert not accepted(step)[0].is_duplicate
        cached = cached_of(step)
    assert [state.revision for state in cached.values()] == [3]


def test_the_current_state_again_is_a_duplicate_of_who_brought_it() -> None:
    """Within a group and against the cache, in whatever state the record is."""
    first, second = take(record("A"), record("A"))
    together = fold([first, second], {}, {})
    assert accepted(together)[1].is_duplicate
    assert accepted(together)[1].delivery_id == first.delivery_id
    assert [new.delivery for new in together.deliveries] == [first]
    for status in Status:
        again = fold([second], {}, cached_of(fold([first], {}, {}), status))
        assert (accepted(again)[0].is_duplicate, accepted(again)[0].delivery_id) == (True, first.delivery_id)
        assert (again.deliveries, again.states, again.endings) == ([], {}, [])


def test_of_several_records_the_new_ones_are_written() -> None:
    """An array of which one element changed: only that one gets a state; the delivery is new."""
    first = fold(take([record("A", 1), record("A", 2)]), {}, {})
    second = fold(take([record("A", 1), record("B", 2)]), {}, cached_of(first))
    assert not accepted(second)[0].is_duplicate
    assert [(key[2], state.revision) for key, state in second.states.items()] == [("2", 2)]
    assert [place.external_id for place in second.deliveries[0].references] == ["2"]
    assert accepted(fold(take([record("A", 1), record("A", 2)]), {}, cached_of(first)))[0].is_duplicate


def test_a_key_decides_by_itself() -> None:
    """The same key and bytes: a duplicate; other bytes: refused; another key with the same bytes: a new state."""
    first, again, other, fresh = take(record("A"), record("A"), record("B"), record("A"), keys=("k", "k", "k", "l"))
    together = fold([first, again, other, fresh], {}, {})
    outcomes = together.outcomes
    assert isinstance(outcomes[1], Accepted)
    assert (outcomes[1].is_duplicate, outcomes[1].delivery_id) == (True, first.delivery_id)
    assert isinstance(outcomes[2], DeliveryKeyReused)
    assert isinstance(outcomes[3], Accepted)
    assert not outcomes[3].is_duplicate
    assert [state.revision for state in together.states.values()] == [2]
    alone = fold([again, other], known_of(fold([first], {}, {})), {})
    assert isinstance(alone.outcomes[0], Accepted)
    assert alone.outcomes[0].is_duplicate
    assert isinstance(alone.outcomes[1], DeliveryKeyReused)


def test_a_key_is_the_systems_own() -> None:
    """Two systems may use the same key."""
    config = configuration(system(mapping(1)), system(mapping(2), number=2, name="fire_rescue"))
    group = [delivery(record("A"), config, key="k"), delivery(record("B"), config, key="k", name="fire_rescue")]
    assert [outcome.is_duplicate for outcome in accepted(fold(group, {}, {}))] == [False, False]


def test_a_duplicate_of_an_unrouted_delivery_is_routed_anew() -> None:
    """Once a mapping wants it: under the first id, which the sender was told."""
    nothing = configuration(system())
    first = fold(take({"title": "no id"}, config=nothing, keys=("k",)), {}, {})
    assert accepted(first)[0].state is Ending.UNROUTED
    unchanged = fold(take({"title": "no id"}, config=nothing, keys=("k",)), known_of(first), {})
    assert accepted(unchanged)[0].is_duplicate
    assert unchanged.rerouted == []
    anew = fold(take({"title": "no id"}, keys=("k",)), known_of(first), {})
    (outcome,) = accepted(anew)
    first_id = first.deliveries[0].delivery.delivery_id
    assert (outcome.is_duplicate, outcome.delivery_id, outcome.external_ids) == (True, first_id, (first_id,))
    assert [(key[2], state.delivery_id) for key, state in anew.states.items()] == [(first_id, first_id)]
    assert [new.delivery.delivery_id for new in anew.rerouted] == [first_id]
    assert anew.deliveries == []


def test_unrouted_deliveries_without_a_key_are_each_kept() -> None:
    """There is no record to compare with."""
    folded = fold(take(record("A"), record("A"), config=configuration(system())), {}, {})
    assert [outcome.state for outcome in accepted(folded)] == [Ending.UNROUTED] * 2
    assert len(folded.deliveries) == 2


@pytest.mark.parametrize(
    ("status", "ending", "by_next"),
    [
        (Status.PENDING, Ending.SUPERSEDED, True),
        (Status.SYNCED, Ending.SYNCED, False),
        (Status.ERROR, Ending.SET_ASIDE, False),
        (Status.OUTDATED, Ending.SUPERSEDED, False),
    ],
)
def test_what_is_overtaken_keeps_how_it_ended(status: Status, ending: Ending, by_next: bool) -> None:
    """Pending: superseded by the one that overtook it; else as it had ended already."""
    first, second = take(record("A"), record("B"))
    folded = fold([second], {}, cached_of(fold([first], {}, {}), status))
    (kept,) = folded.endings
    assert (kept.delivery_id, kept.revision, kept.ending) == (first.delivery_id, 1, ending)
    assert kept.superseded_by == (second.delivery_id if by_next else None)


def test_an_older_version_ends_at_once_and_names_who_is_newer() -> None:
    """It is kept as a delivery, not as a state."""
    newer, older = take(record("B", v=10), record("A", v=9), config=VERSIONED)
    folded = fold([newer, older], {}, {})
    assert [outcome.state for outcome in accepted(folded)] == [Ending.PENDING, Ending.SUPERSEDED]
    assert [state.delivery_id for state in folded.states.values()] == [newer.delivery_id]
    (kept,) = folded.endings
    assert (kept.delivery_id, kept.revision, kept.ending, kept.superseded_by) == (
        older.delivery_id,
        0,
        Ending.SUPERSEDED,
        newer.delivery_id,
    )


def test_of_equal_versions_the_newer_arrival_wins() -> None:
    """Unless it says the same: then it is a duplicate."""
    first, second, third = take(record("A", v=1), record("B", v=1), record("B", v=1), config=VERSIONED)
    folded = fold([first, second, third], {}, {})
    assert [outcome.is_duplicate for outcome in accepted(folded)] == [False, False, True]
    assert [(state.delivery_id, state.revision) for state in folded.states.values()] == [(second.delivery_id, 2)]


def test_a_record_without_its_version_forgets_none() -> None:
    """It is set aside; an older version after it still does not pass."""
    first, faulty, older = take(record("B", v=5), record("C"), record("A", v=4), config=VERSIONED)
    folded = fold([first, faulty, older], {}, {})
    assert [outcome.state for outcome in accepted(folded)] == [Ending.PENDING, Ending.SET_ASIDE, Ending.SUPERSEDED]
    (state,) = folded.states.values()
    assert (state.delivery_id, state.record.fault is None, state.version_key) == (
        faulty.delivery_id,
        False,
        first.records[0].version_key,
    )


@given(order=st.permutations(range(5)), cuts=st.sets(st.integers(1, 4)))
def test_versions_end_in_the_same_state_in_whatever_order_and_grouping(order: list[int], cuts: set[int]) -> None:
    """And each delivery has ended or is the one that stands."""
    bodies = [record(f"state {number}", v=number) for number in order]
    deliveries = take(*bodies, config=VERSIONED)
    cached: dict[Key, CachedState] = {}
    ended: list[str] = []
    bounds = [0, *sorted(cuts), len(deliveries)]
    for start, end in itertools.pairwise(bounds):
        folded = fold(deliveries[start:end], {}, cached)
        cached |= cached_of(folded)
        ended += [ending.delivery_id for ending in folded.endings]
    (state,) = cached.values()
    newest = deliveries[order.index(4)]
    assert state.delivery_id == newest.delivery_id
    assert sorted([*ended, newest.delivery_id]) == sorted(one.delivery_id for one in deliveries)


@given(
    sent=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2)), max_size=12),
    cuts=st.sets(st.integers(1, 11)),
)
def test_grouping_changes_nothing(sent: list[tuple[str, int]], cuts: set[int]) -> None:
    """The same deliveries, folded whole or in parts, give the same answers, states and endings."""
    deliveries = take(*(record(state, number) for number, state in sent))
    whole = fold(deliveries, {}, {})
    cached: dict[Key, CachedState] = {}
    answers: list[Any] = []
    endings: list[Any] = []
    bounds = [0, *sorted(cut for cut in cuts if cut < len(deliveries)), len(deliveries)]
    for start, end in itertools.pairwise(bounds):
        folded = fold(deliveries[start:end], {}, cached)
        answers += folded.outcomes
        endings += folded.endings
        cached |= cached_of(folded)
    assert answers == whole.outcomes
    assert endings == whole.endings
    assert {key: (state.revision, state.delivery_id) for key, state in cached.items()} == {
        key: (state.revision, state.delivery_id) for key, state in whole.states.items()
    }
