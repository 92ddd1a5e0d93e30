"""Tokens: written down when they are issued, listed, revoked, and refused by everybody within a second."""

import json
import time
from pathlib import Path

import pytest

from intertie_chassis import key_files
from intertie_chassis.errors import InvalidArgument, NotFound, Unauthenticated, Unavailable
from intertie_chassis.identity import KeyRing, MintedToken, Verifier
from intertie_chassis.identity_journal import Journal
from intertie_chassis.revocations import Revocations

DAY = 86_400


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    """The keys of a new data directory."""
    made = KeyRing(tmp_path / "data")
    made.ensure()
    return made


@pytest.fixture
def verifier(ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> Verifier:
    """A verifier that looks at its files each time, as if a second had passed."""
    monkeypatch.setattr("intertie_chassis.identity._LOOK_EVERY", 0.0)
    return Verifier(ring.jwks_path)


def _id(ring: KeyRing, token: str) -> str:
    return Verifier(ring.jwks_path).verify(token).token_id


def _revoked_path(ring: KeyRing) -> Path:
    return ring.jwks_path.with_name("revoked.json")


def test_a_revoked_token_is_refused_also_by_who_has_verified_it(ring: KeyRing, verifier: Verifier) -> None:
    revoked, other = ring.issue("viewer", "a"), ring.issue("viewer", "b")
    assert [verifier.verify(token).subject for token in (revoked, other)] == ["a", "b"]
    assert ring.revoke([_id(ring, revoked)]) == 1
    for each in (verifier, Verifier(ring.jwks_path)):
        with pytest.raises(Unauthenticated, match="not valid"):
            each.verify(revoked)
        assert each.verify(other).subject == "b"


def test_revoking_again_changes_nothing(ring: KeyRing) -> None:
    token_id = _id(ring, ring.issue("viewer"))
    assert [ring.revoke([token_id, token_id]), ring.revoke([token_id])] == [1, 0]
    assert [event.event for event in Journal(key_files.KeyFiles(ring.admin_token_path.parent)).events()].count(
        "revoked"
    ) == 1


def test_with_one_unknown_id_none_is_revoked(ring: KeyRing, verifier: Verifier) -> None:
    token = ring.issue("viewer")
    with pytest.raises(NotFound, match="nothing was revoked"):
        ring.revoke([_id(ring, token), "unknown"])
    assert verifier.verify(token).role == "viewer"


def test_a_token_that_nobody_wrote_down_is_revoked_by_itself(ring: KeyRing, verifier: Verifier) -> None:
    minted = ring.mint("service:mapper")
    token_id = verifier.verify(minted).token_id
    assert ring.revoke_text(minted) == token_id
    with pytest.raises(Unauthenticated):
        verifier.verify(minted)


@pytest.mark.parametrize("text", ["", "rubbish", "a.b.c", "foreign"])
def test_what_is_no_token_of_ours_is_not_revoked(ring: KeyRing, tmp_path: Path, text: str) -> None:
    if text == "foreign":
        text = KeyRing(tmp_path / "foreign").issue("viewer")
    with pytest.raises(InvalidArgument):
        ring.revoke_text(text)
    assert not _revoked_path(ring).exists()


def test_a_service_whose_token_is_revoked_takes_a_new_one(ring: KeyRing, verifier: Verifier) -> None:
    source = MintedToken(KeyRing(ring.admin_token_path.parent), "service:mapper")
    ring.revoke_text(source.token())
    assert verifier.verify(source.token()).name == "mapper"


def test_the_admin_token_is_renewed_after_its_revocation_and_not_before(ring: KeyRing, verifier: Verifier) -> None:
    old = ring.admin_token()
    ring.revoke([ring.admin_token_id()])
    assert ring.admin_token() == old
    with pytest.raises(Unauthenticated):
        verifier.verify(old)
    ring.issue("viewer")
    assert verifier.verify(ring.admin_token()).role == "admin"


def test_the_list_says_what_holds(ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = {name: ring.issue("module:events", name, days) for name, days in {"a": 1, "b": 9, "c": 9}.items()}
    ring.revoke([_id(ring, tokens["b"])])
    later = time.time() + 2 * DAY
    monkeypatch.setattr(time, "time", lambda: later)
    listed = {token.subject: token.state for token in ring.issued_tokens()}
    assert listed == {"admin": "active", "a": "expired", "b": "revoked", "c": "active"}


def test_no_token_and_no_key_stands_in_the_journal_or_the_list(ring: KeyRing) -> None:
    token = ring.issue("viewer")
    ring.revoke([_id(ring, token)])
    private = json.loads(ring.signing_path.read_text())["d"]
    for name in ("journal.jsonl", "revoked.json"):
        text = ring.jwks_path.with_name(name).read_text()
        assert token.rpartition(".")[2] not in text
        assert private not in text


def test_tokens_that_have_ended_leave_the_list_of_refusals(ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    short, long = (_id(ring, ring.issue("viewer", days=days)) for days in (1, 9))
    ring.revoke([short])
    later = time.time() + 2 * DAY
    monkeypatch.setattr(time, "time", lambda: later)
    ring.revoke([long])
    assert set(json.loads(_revoked_path(ring).read_text())["tokens"]) == {long}


def test_a_revocation_that_was_cut_off_is_finished_by_the_next_who_comes(
    ring: KeyRing, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = ring.issue("viewer")
    with monkeypatch.context() as patch:
        patch.setattr(key_files.KeyFiles, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            ring.revoke([_id(ring, token)])
    KeyRing(ring.admin_token_path.parent).finish()
    with pytest.raises(Unauthenticated):
        verifier.verify(token)


def test_a_lost_list_is_made_again_and_a_lost_journal_frees_nobody(ring: KeyRing) -> None:
    first, second = ring.issue("viewer"), ring.issue("viewer")
    ring.revoke([_id(ring, first)])
    _revoked_path(ring).unlink()
    ring.ensure()
    ring.jwks_path.with_name("journal.jsonl").unlink()
    ring.ensure()
    ring.revoke_text(second)
    for token in (first, second):
        with pytest.raises(Unauthenticated):
            Verifier(ring.jwks_path).verify(token)


def test_a_list_that_cannot_be_read_lets_nobody_in(ring: KeyRing, verifier: Verifier) -> None:
    token = ring.issue("viewer")
    known = Verifier(ring.jwks_path)
    ring.revoke([_id(ring, token)])
    with pytest.raises(Unauthenticated):
        known.verify(token)
    _revoked_path(ring).write_text("{")
    # Who had read it goes on with what it said; who starts now knows nobody that may come in.
    known._looked_at = float("-inf")
    with pytest.raises(Unauthenticated):
        known.verify(token)
    assert known.verify(ring.mint("viewer")).role == "viewer"
    for each in (token, ring.mint("viewer")):
        with pytest.raises(Unavailable, match=r"revoked\.json"):
            verifier.verify(each)
    ring.ensure()
    assert verifier.verify(ring.admin_token()).role == "admin"


def test_what_is_told_is_refused_beside_what_the_files_say(ring: KeyRing, verifier: Verifier, tmp_path: Path) -> None:
    told, local, kept = (ring.issue("viewer") for _ in range(3))
    path = tmp_path / "kept.json"
    path.write_text(Revocations({_id(ring, kept): 2**40}).text())
    verifier = Verifier(ring.jwks_path, told_path=path)
    verifier.refuse(Revocations({_id(ring, told): 2**40}))
    ring.revoke([_id(ring, local)])
    for token in (told, local, kept):
        with pytest.raises(Unauthenticated):
            verifier.verify(token)
    verifier.refuse(Revocations(keys=frozenset({ring.listed_keys()[0].id})))
    with pytest.raises(Unauthenticated):
        verifier.verify(ring.admin_token())


def test_tokens_last_ten_years_at_most(ring: KeyRing) -> None:
    with pytest.raises(InvalidArgument, match="3650"):
        ring.issue("viewer", days=3651)
