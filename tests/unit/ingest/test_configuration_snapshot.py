"""The live configuration: complete before it counts, changed as the feed says, kept through outages."""

from collections.abc import AsyncGenerator

import pytest

from ingest_samples import mapping, system
from intertie_chassis.errors import Unavailable
from intertie_chassis.following import follow_once
from intertie_ingest.configuration import CompiledSystem, StoredSystem, compile_system
from intertie_ingest.errors import NoSnapshot
from intertie_ingest.signature_schemes import CLOSED
from intertie_ingest.snapshot import Change, Snapshot


def names(snapshot: Snapshot) -> list[str]:
    return sorted(snapshot.configuration().by_name)


def test_nothing_counts_before_the_snapshot_is_complete() -> None:
    """Half a configuration would answer 401 to those who come in the other half."""
    snapshot = Snapshot()
    with pytest.raises(NoSnapshot):
        snapshot.configuration()
    snapshot.apply(Change((system(name="a"),), is_snapshot=True, is_complete=False))
    with pytest.raises(NoSnapshot):
        snapshot.configuration()
    snapshot.apply(Change((system(number=2, name="b"),), is_snapshot=True))
    assert names(snapshot) == ["a", "b"]


def test_an_empty_snapshot_counts() -> None:
    """A new installation has no systems: strangers get 401 then, not 503."""
    snapshot = Snapshot()
    snapshot.apply(Change(is_snapshot=True))
    assert names(snapshot) == []


def test_changes_replace_whole_systems() -> None:
    """New, changed and removed; a sign of life changes nothing."""
    snapshot = Snapshot()
    snapshot.apply(Change((system(mapping(), name="a"), system(number=2, name="b")), is_snapshot=True))
    before = snapshot.configuration()
    snapshot.apply(Change())
    assert snapshot.configuration() is before
    snapshot.apply(Change((system(mapping(5, "other"), name="renamed"),), removed=(2,)))
    assert names(snapshot) == ["renamed"]
    assert snapshot.configuration().active_mappings == {5}


def test_a_new_snapshot_forgets_what_it_does_not_hold_and_compiles_only_what_changed() -> None:
    """What stayed the same is the same object: compiling a filter costs."""
    snapshot = Snapshot()
    snapshot.apply(Change((system(mapping(), name="a"), system(number=2, name="b")), is_snapshot=True))
    compiled = snapshot.configuration().by_name["a"]
    snapshot.apply(Change((system(mapping(), name="a"),), is_snapshot=True))
    assert names(snapshot) == ["a"]
    assert snapshot.configuration().by_name["a"] is compiled


async def test_the_configuration_outlives_the_feed() -> None:
    """A stream that breaks, also in the middle of a snapshot, changes nothing of what is known."""

    async def breaks() -> AsyncGenerator[Change, None]:
        yield Change((system(name="a"),), is_snapshot=True)
        yield Change((system(number=9, name="half"),), is_snapshot=True, is_complete=False)
        raise Unavailable

    async def starts_anew() -> AsyncGenerator[Change, None]:
        yield Change((system(number=3, name="c"),), is_snapshot=True)

    snapshot = Snapshot()
    with pytest.raises(Unavailable):
        await follow_once(breaks, snapshot.begin(), silence=10)
    assert names(snapshot) == ["a"]
    await follow_once(starts_anew, snapshot.begin(), silence=10)
    assert names(snapshot) == ["c"]
    assert await snapshot.check() is None


def test_what_cannot_be_compiled_closes_its_own_system_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault that nobody thought of must not stop the feed: the other systems go on, and nothing comes in here."""

    def compile_or_fail(stored: StoredSystem) -> CompiledSystem:
        if stored.name == "odd":
            raise TypeError("unhashable")
        return compile_system(stored)

    monkeypatch.setattr("intertie_ingest.snapshot.compile_system", compile_or_fail)
    snapshot = Snapshot()
    snapshot.apply(Change((system(mapping(), name="a"), system(mapping(2), number=2, name="odd")), is_snapshot=True))
    assert names(snapshot) == ["a", "odd"]
    odd = snapshot.configuration().by_name["odd"]
    assert (odd.routes, odd.is_push_open, odd.verifier) == ((), False, CLOSED)
    assert snapshot.configuration().active_mappings == {1}
