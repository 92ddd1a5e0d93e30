"""Keys: staged, put to work, refused after their end, withdrawn; and whatever a command was cut off in."""

import json
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OKPKey

from intertie_chassis import key_files
from intertie_chassis.errors import FailedPrecondition, NotFound, StartupError, Unauthenticated
from intertie_chassis.identity import KeyRing, MintedToken, Verifier
from intertie_chassis.identity_journal import Journal
from intertie_chassis.issued_tokens import ListedKey
from intertie_chassis.signing_key import key_id_of

DAY = 86_400
_MOST_WRITES = 30


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    """The keys of a new data directory."""
    made = KeyRing(tmp_path / "data")
    made.ensure()
    return made


def _signing(ring: KeyRing) -> str:
    return next(key.id for key in ring.listed_keys() if key.state == "signing")


def _listed(ring: KeyRing, key_id: str) -> ListedKey:
    return next(key for key in ring.listed_keys() if key.id == key_id)


def _published(ring: KeyRing) -> dict[str, Any]:
    return {entry["kid"]: entry for entry in json.loads(ring.jwks_path.read_text())["keys"]}


def _in(days: float, monkeypatch: pytest.MonkeyPatch) -> None:
    later = time.time() + days * DAY
    monkeypatch.setattr(time, "time", lambda: later)


class TestRotation:
    """What `keys rotate` does."""

    def test_the_new_key_signs_and_the_old_one_still_verifies(self, ring: KeyRing) -> None:
        old, before = _signing(ring), ring.issue("viewer")
        retired = ring.rotate()
        after = ring.issue("viewer")
        assert (retired.id, retired.state) == (old, "verifying")
        assert _signing(ring) not in (old, "")
        assert (key_id_of(before), key_id_of(after)) == (old, _signing(ring))
        assert [Verifier(ring.jwks_path).verify(token).role for token in (before, after)] == ["viewer", "viewer"]

    def test_the_old_key_holds_as_long_as_the_longest_of_its_tokens(self, ring: KeyRing) -> None:
        ring.issue("viewer", days=30)
        longest = ring.issue("viewer", days=200)
        revoked = ring.issue("viewer", days=2000)
        ring.revoke([Verifier(ring.jwks_path).verify(revoked).token_id])
        assert ring.rotate().not_after == Verifier(ring.jwks_path).verify(longest).expires_at

    def test_what_services_mint_is_waited_for_and_the_old_admin_token_is_not(self, ring: KeyRing) -> None:
        minted = Verifier(ring.jwks_path).verify(ring.mint("service:mapper"))
        assert minted.expires_at <= ring.rotate().not_after < time.time() + 2 * DAY

    def test_a_key_from_before_the_journal_waits_for_any_token_that_it_may_have_signed(self, ring: KeyRing) -> None:
        (ring.signing_path.parent / "journal.jsonl").unlink()
        assert ring.rotate().not_after > time.time() + 3649 * DAY

    def test_after_its_end_the_old_key_is_refused_also_by_who_remembers(
        self, ring: KeyRing, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = ring.issue("viewer", days=300)
        assert ring.rotate(overlap_days=1).not_after <= time.time() + DAY
        verifier = Verifier(ring.jwks_path)
        verifier.verify(token)
        _in(2, monkeypatch)
        for each in (verifier, Verifier(ring.jwks_path)):
            with pytest.raises(Unauthenticated):
                each.verify(token)
        assert [token.state for token in ring.issued_tokens() if token.role == "viewer"] == ["key ended"]

    def test_the_admin_token_is_a_new_one_of_the_new_key(self, ring: KeyRing) -> None:
        old = ring.admin_token()
        ring.rotate()
        assert key_id_of(ring.admin_token()) == _signing(ring) != key_id_of(old)
        assert {Verifier(ring.jwks_path).verify(token).role for token in (old, ring.admin_token())} == {"admin"}

    def test_a_staged_key_is_published_and_signs_only_later(self, ring: KeyRing) -> None:
        old = _signing(ring)
        staged = ring.stage()
        assert ring.stage() == staged
        assert set(_published(ring)) == {old, staged}
        assert (key_id_of(ring.issue("viewer")), _listed(ring, staged).state) == (old, "next")
        copy = json.loads(ring.jwks_path.read_text())
        ring.rotate()
        assert _signing(ring) == staged
        ring.jwks_path.with_name("copy.json").write_text(json.dumps(copy))
        assert Verifier(ring.jwks_path.with_name("copy.json")).verify(ring.issue("viewer")).role == "viewer"

    def test_a_running_process_mints_with_the_new_key_at_once(self, ring: KeyRing) -> None:
        source = MintedToken(KeyRing(ring.admin_token_path.parent), "service:mapper")
        first = source.token()
        assert source.token() == first
        ring.rotate()
        assert key_id_of(source.token()) == _signing(ring)

    def test_ended_keys_are_cleared_away(self, ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
        first = _signing(ring)
        ring.rotate(overlap_days=0.5)
        _in(1, monkeypatch)
        ring.rotate()
        assert first not in _published(ring)
        assert _listed(ring, first).state == "ended"

    def test_private_keys_are_their_owners_alone(self, ring: KeyRing) -> None:
        ring.stage()
        paths = [
            ring.signing_path,
            ring.signing_path.with_name("next.jwk"),
            ring.signing_path.with_name("journal.jsonl"),
        ]
        assert [path.stat().st_mode & 0o777 for path in paths] == [0o600] * 3
        assert not any("d" in entry for entry in _published(ring).values())


class TestWithdrawal:
    """What `keys withdraw` does."""

    def test_whatever_the_key_signed_is_refused_also_where_the_set_is_a_copy(
        self, ring: KeyRing, tmp_path: Path
    ) -> None:
        old, token, minted = _signing(ring), ring.issue("viewer"), ring.mint("service:mapper")
        ring.rotate()
        copies = tmp_path / "copies"
        copies.mkdir()
        shutil.copy(ring.jwks_path, copies)
        ring.withdraw(old)
        shutil.copy(ring.jwks_path.with_name("revoked.json"), copies)
        for verifier in (Verifier(ring.jwks_path), Verifier(copies / "jwks.json")):
            for refused in (token, minted):
                with pytest.raises(Unauthenticated):
                    verifier.verify(refused)
            assert verifier.verify(ring.admin_token()).role == "admin"
        assert old not in _published(ring)
        assert _listed(ring, old).state == "withdrawn"

    def test_the_key_that_signs_is_not_withdrawn(self, ring: KeyRing) -> None:
        with pytest.raises(FailedPrecondition, match="rotate first"):
            ring.withdraw(_signing(ring))
        assert Verifier(ring.jwks_path).verify(ring.admin_token()).role == "admin"

    def test_an_unknown_key_is_said_to_be_unknown(self, ring: KeyRing) -> None:
        with pytest.raises(NotFound):
            ring.withdraw("nothing")

    def test_a_staged_key_may_be_withdrawn(self, ring: KeyRing) -> None:
        staged = ring.stage()
        ring.withdraw(staged)
        ring.rotate()
        assert _signing(ring) != staged
        assert staged not in _published(ring)

    def test_a_withdrawn_key_that_is_put_back_does_not_sign(self, ring: KeyRing) -> None:
        kept, old = ring.signing_path.read_bytes(), _signing(ring)
        ring.rotate()
        ring.withdraw(old)
        ring.signing_path.write_bytes(kept)
        with pytest.raises(StartupError, match="withdrawn"):
            KeyRing(ring.admin_token_path.parent).ensure()


def test_a_directory_from_before_the_journal_goes_on_unchanged(tmp_path: Path) -> None:
    """Key, set and tokens as they were made before there was a journal."""
    key = OKPKey.generate_key("Ed25519", private=True)
    entry = {"kid": key.thumbprint(), "alg": "Ed25519", "use": "sig"}
    now = int(time.time())

    def sign(role: str, token_id: str) -> str:
        claims = {"iss": "intertie", "sub": role, "role": role, "jti": token_id, "iat": now, "exp": now + DAY}
        return jwt.encode({"alg": "Ed25519", "kid": entry["kid"]}, claims, key, algorithms=["Ed25519"])

    keys = tmp_path / "data" / "keys"
    keys.mkdir(parents=True)
    (keys / "signing.jwk").write_text(json.dumps({**key.as_dict(private=True), **entry}))
    published = json.dumps({"keys": [{**key.as_dict(private=False), **entry}]}, indent=2)
    (keys / "jwks.json").write_text(published)
    admin, viewer = sign("admin", "A" * 26), sign("viewer", "B" * 26)
    (tmp_path / "data" / "admin.token").write_text(admin + "\n")

    ring = KeyRing(tmp_path / "data")
    ring.ensure()
    assert (ring.jwks_path.read_text(), ring.admin_token()) == (published, admin)
    assert [Verifier(ring.jwks_path).verify(token).role for token in (admin, viewer)] == ["admin", "viewer"]
    assert [(token.id, token.role) for token in ring.issued_tokens()] == [("A" * 26, "admin")]
    ring.rotate()
    assert Verifier(ring.jwks_path).verify(viewer).role == "viewer"


def test_what_a_cut_off_write_has_left_is_cleared_away(ring: KeyRing) -> None:
    """It may be a private key."""
    left = [ring.signing_path.with_name(".next.jwk.abc"), ring.admin_token_path.with_name(".admin.token.abc")]
    for path in left:
        path.write_text("half")
    ring.ensure()
    assert not any(path.exists() for path in left)


class Cut(BaseException):
    """The process ends here."""


class Cutter:
    """Lets so many writes of the directory happen, and ends the process before the next one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._left: int | None = None
        for name in ("write", "append", "rename", "remove"):
            monkeypatch.setattr(key_files.KeyFiles, name, self._cutting(getattr(key_files.KeyFiles, name)))

    def cuts(self, writes: int, work: Callable[[], object]) -> bool:
        """Does the work, but for what comes after so many writes; gives whether something did."""
        self._left = writes
        try:
            work()
        except Cut:
            return True
        finally:
            self._left = None
        return False

    def _cutting(self, write: Callable[..., None]) -> Callable[..., None]:
        def cutting(files: Any, path: Path, *rest: Any) -> None:
            if self._left is not None:
                self._left -= 1
                if self._left < 0:
                    if path.name == "journal.jsonl":  # what of the line has reached the disk
                        with path.open("a") as journal:
                            journal.write(str(rest[0])[:40])
                    raise Cut
            write(files, path, *rest)

        return cutting


COMMANDS: dict[str, Callable[[KeyRing], object]] = {
    "ensure": lambda ring: ring.ensure(),
    "issue": lambda ring: ring.issue("viewer"),
    "stage": lambda ring: ring.stage(),
    "rotate": lambda ring: ring.rotate(),
    "revoke": lambda ring: ring.revoke([ring.admin_token_id()]),
    "withdraw": lambda ring: ring.withdraw(
        next((key.id for key in ring.listed_keys() if key.state in ("verifying", "withdrawn")), "")
    ),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_is_cut_off_anywhere_leaves_a_directory_that_works(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before each write in turn: what held goes on holding, and the command can be given again."""
    prepared = KeyRing(tmp_path / "prepared")
    held: list[str] = []
    if command != "ensure":
        prepared.ensure()
        prepared.rotate()
        held.append(prepared.issue("operator"))
    cutter = Cutter(monkeypatch)

    for cut in range(_MOST_WRITES):
        data = tmp_path / f"cut-{cut}"
        if held:
            shutil.copytree(prepared.admin_token_path.parent, data)
        was_cut = cutter.cuts(cut, partial(COMMANDS[command], KeyRing(data)))

        ring = KeyRing(data)
        ring.ensure()
        verifier = Verifier(ring.jwks_path)
        assert verifier.verify(ring.admin_token()).role == "admin"
        assert verifier.verify(ring.mint("service:mapper")).name == "mapper"
        assert [verifier.verify(token).role for token in held] == ["operator"] * len(held)
        # What the journal says of the key has come true.
        assert list(Journal(key_files.KeyFiles(data)).history().rotated)[-1] == _signing(ring)
        COMMANDS[command](ring)
        ring.ensure()
        assert Verifier(ring.jwks_path).verify(ring.admin_token()).role == "admin"
        # What was cut off stands on a line of its own and hides none that was written after it.
        lines = (data / "keys" / "journal.jsonl").read_text().splitlines()
        assert len(Journal(key_files.KeyFiles(data)).events()) >= len(lines) - 1
        if not was_cut:
            assert cut > 0
            return
    raise AssertionError("the command writes without end")
