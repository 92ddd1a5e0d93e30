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


async def test_what_was_known_before_counts_until_registry_has_said_all() -> None:
    """It stands alone while half a snapshot has come, and nothing of it stays once the whole one has."""
    now = 100.0
    snapshot = Snapshot(lambda: now)
    assert snapshot.fall_back([system(name="a"), system(number=2, name="gone since")])
    assert (names(snapshot), snapshot.confirmed_at, await snapshot.check()) == (["a", "gone since"], None, None)
    take = snapshot.begin()
    take(Change())
    take(Change((system(name="a", webhook_secret="another"),), is_snapshot=True, is_complete=False))
    assert (names(snapshot), snapshot.confirmed_at) == (["a", "gone since"], None)
    take(Change((system(number=3, name="new"),), is_snapshot=True))
    assert (names(snapshot), snapshot.confirmed_at) == (["a", "new"], 100)
    await snapshot.heard()
    now = 103.0
    take(Change())
    assert snapshot.confirmed_at == 103, "a sign of life confirms all that was said before"
    await snapshot.heard()


def test_what_was_known_before_comes_too_late() -> None:
    """Registry has answered meanwhile, be it that there are no systems."""
    snapshot = Snapshot()
    snapshot.apply(Change(is_snapshot=True))
    assert not snapshot.fall_back([system(name="revoked")])
    assert names(snapshot) == []
