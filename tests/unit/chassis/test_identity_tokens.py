"""Tokens: who may make them, what makes one valid, and how keys are made, shared and replaced."""

import base64
import json
import multiprocessing
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey

from intertie_chassis.errors import InvalidArgument, StartupError, Unauthenticated, Unavailable
from intertie_chassis.identity import FileToken, FixedToken, KeyRing, MintedToken, TokenSource, Verifier
from intertie_chassis.settings import Settings


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    """The keys of a new data directory."""
    made = KeyRing(tmp_path / "data")
    made.ensure()
    return made


def _sign(ring: KeyRing, changes: dict[str, Any], header: dict[str, Any] | None = None) -> str:
    key = OKPKey.import_key(json.loads(ring.signing_path.read_bytes()))
    now = int(time.time())
    claims = {"iss": "intertie", "sub": "x", "role": "viewer", "jti": "1", "iat": now, "exp": now + 60, **changes}
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode({"alg": "Ed25519", "kid": key.kid, **(header or {})}, claims, key, algorithms=["Ed25519"])


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("admin", ("admin", "")),
        ("operator", ("operator", "")),
        ("viewer", ("viewer", "")),
        ("module:events", ("module", "events")),
        ("service:gateway", ("service", "gateway")),
    ],
)
def test_an_issued_token_speaks_for_its_role(ring: KeyRing, role: str, expected: tuple[str, str]) -> None:
    principal = Verifier(ring.jwks_path).verify(ring.issue(role, "somebody", days=1))
    assert (principal.role, principal.name) == expected
    assert principal.subject == "somebody"
    assert principal.label == role
    assert len(principal.token_id) == 26


@pytest.mark.parametrize(
    "role", ["", "root", "admin:x", "module", "module:", "module:a b", "service:\n", "module:" + "a" * 101]
)
def test_there_are_no_other_roles(ring: KeyRing, role: str) -> None:
    with pytest.raises(InvalidArgument):
        ring.issue(role)


def test_the_private_files_are_the_owners_alone(ring: KeyRing) -> None:
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (ring.signing_path, ring.admin_token_path, ring.jwks_path)]
    assert modes == [0o600, 0o600, 0o644]
    directories = (ring.signing_path.parent, ring.admin_token_path.parent)
    assert [stat.S_IMODE(path.stat().st_mode) for path in directories] == [0o700, 0o700]
    assert "d" not in json.loads(ring.jwks_path.read_text())["keys"][0]


def test_the_admin_token_is_made_once(ring: KeyRing) -> None:
    token = ring.admin_token()
    ring.ensure()
    assert KeyRing(ring.admin_token_path.parent).admin_token() == token
    assert Verifier(ring.jwks_path).verify(token).role == "admin"


def _ensure_and_read(directory: str) -> tuple[str, str]:
    ring = KeyRing(directory)
    ring.ensure()
    return ring.admin_token(), ring.jwks_path.read_text()


def test_processes_that_start_together_agree_on_the_keys(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        seen = set(pool.map(_ensure_and_read, [str(tmp_path / "data")] * 8))
    assert len(seen) == 1


def test_replaced_keys_bring_a_new_admin_token(ring: KeyRing) -> None:
    verifier, old = Verifier(ring.jwks_path), ring.admin_token()
    ring.signing_path.unlink()
    renewed = KeyRing(ring.admin_token_path.parent)
    renewed.ensure()
    assert renewed.admin_token() != old
    assert verifier.verify(renewed.admin_token()).role == "admin"
    with pytest.raises(Unauthenticated):
        verifier.verify(old)


def test_a_removed_key_ends_the_tokens_that_were_verified_before(ring: KeyRing) -> None:
    verifier, token = Verifier(ring.jwks_path), ring.issue("viewer")
    verifier.verify(token)
    ring.jwks_path.write_text('{"keys": []}')
    verifier._looked_at = -10.0  # as if a second had passed
    with pytest.raises((Unauthenticated, Unavailable)):
        verifier.verify(token)


def test_several_keys_may_verify_at_once(ring: KeyRing, tmp_path: Path) -> None:
    other = KeyRing(tmp_path / "other")
    other.ensure()
    both = [json.loads(each.jwks_path.read_text())["keys"][0] for each in (ring, other)]
    path = tmp_path / "both.json"
    path.write_text(json.dumps({"keys": both}))
    verifier = Verifier(path)
    assert [verifier.verify(each.issue("viewer")).role for each in (ring, other)] == ["viewer", "viewer"]


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"exp": None},
        {"exp": "9999999999"},
        {"exp": True},
        {"iat": 4_000_000_000},
        {"iat": None},
        {"iss": "another"},
        {"iss": None},
        {"role": "root"},
        {"role": None},
        {"role": ["admin"]},
        {"sub": None},
        {"sub": 7},
        {"jti": None},
    ],
    ids=str,
)
def test_a_claim_that_is_missing_or_wrong_makes_it_invalid(ring: KeyRing, changes: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        Verifier(ring.jwks_path).verify(_sign(ring, changes))


def test_a_forged_token_is_invalid(ring: KeyRing, tmp_path: Path) -> None:
    verifier, token = Verifier(ring.jwks_path), ring.issue("viewer")
    header, claims, signature = token.split(".")
    kid = json.loads(ring.jwks_path.read_text())["keys"][0]["kid"]

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    admin = part({**json.loads(base64.urlsafe_b64decode(claims + "==")), "role": "admin"})
    foreign = KeyRing(tmp_path / "foreign")
    foreign.ensure()
    public = ring.jwks_path.read_bytes()
    symmetric = jwt.encode(
        {"alg": "HS256", "kid": kid}, {"role": "admin"}, OctKey.import_key(public), algorithms=["HS256"]
    )
    forgeries = [
        f"{header}.{admin}.{signature}",
        f"{part({'alg': 'none', 'kid': kid})}.{admin}.",
        _sign(foreign, {"role": "admin"}, {"kid": kid}),
        foreign.issue("admin"),
        symmetric,
        token[:-4] + "AAAA",
        token + "." + signature,
        header,
        "",
        ".",
        "..",
        "a.b.c",
        "é" + token,
        token + "x" * 5000,
        part([1]) + ".a.b",
        part({"alg": "Ed25519", "kid": 7}) + f".{claims}.{signature}",
    ]
    for forged in forgeries:
        with pytest.raises(Unauthenticated):
            verifier.verify(forged)
    assert verifier.verify(token).role == "viewer"


def test_a_remembered_token_still_ends_in_time(ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    verifier, token = Verifier(ring.jwks_path), ring.issue("viewer", days=1)
    verifier.verify(token)
    later = time.time() + 86_500
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(Unauthenticated, match="expired"):
        verifier.verify(token)


def test_what_is_remembered_is_bounded(ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intertie_chassis.identity._MOST_CACHED", 3)
    verifier = Verifier(ring.jwks_path)
    for _ in range(6):
        verifier.verify(ring.issue("viewer"))
    assert len(verifier._cache) == 3


def test_without_keys_nobody_is_refused_for_our_fault(tmp_path: Path, ring: KeyRing) -> None:
    with pytest.raises(Unavailable, match="INTERTIE_IDENTITY_KEYS"):
        Verifier(tmp_path / "nowhere.json").verify(ring.issue("viewer"))


def test_keys_that_come_later_are_found(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path / "late")
    verifier = Verifier(ring.jwks_path)
    with pytest.raises((Unauthenticated, Unavailable)):
        verifier.verify("a.b.c")
    ring.ensure()
    assert verifier.verify(ring.admin_token()).role == "admin"


def test_a_broken_signing_key_says_what_to_do(ring: KeyRing) -> None:
    ring.signing_path.write_text("{}")
    with pytest.raises(StartupError, match="restore it, or remove it"):
        KeyRing(ring.admin_token_path.parent).ensure()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_data_directory_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StartupError, match="INTERTIE_DATA_DIR"):
        KeyRing(tmp_path / "data").ensure()


class TestTokenSources:
    """Where a service takes its own token from."""

    def _settings(self, tmp_path: Path, **given: Any) -> Settings:
        return Settings(data_dir=tmp_path / "data", **given)

    def test_the_configured_token_wins(self, tmp_path: Path) -> None:
        source = TokenSource.for_service(self._settings(tmp_path, service_token=" abc\n"), "mapper")
        assert isinstance(source, FixedToken)
        assert source.token() == "abc"

    def test_a_file_is_read_again_when_it_changes(self, tmp_path: Path) -> None:
        path = tmp_path / "token"
        source = TokenSource.for_service(self._settings(tmp_path, service_token_file=path), "mapper")
        assert isinstance(source, FileToken)
        with pytest.raises(Unavailable):
            source.token()
        path.write_text("first\n")
        assert source.token() == "first"
        path.write_text("the second\n")
        assert source.token() == "the second"
        path.unlink()
        assert source.token() == "the second"

    def test_with_the_signing_key_at_hand_it_is_minted(self, tmp_path: Path, ring: KeyRing) -> None:
        source = TokenSource.for_service(self._settings(tmp_path), "mapper")
        assert isinstance(source, MintedToken)
        assert Verifier(ring.jwks_path).verify(source.token()).label == "service:mapper"
        assert source.token() == source.token()

    def test_a_minted_token_is_renewed_long_before_it_ends(
        self, tmp_path: Path, ring: KeyRing, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = MintedToken(ring, "service:mapper")
        first = source.token()
        later = time.monotonic() + 2 * 3600
        monkeypatch.setattr(time, "monotonic", lambda: later)
        assert source.token() != first

    def test_who_only_verifies_must_be_given_one(self, tmp_path: Path) -> None:
        settings = Settings(data_dir=tmp_path / "empty", identity_keys=tmp_path / "jwks.json")
        with pytest.raises(StartupError, match="INTERTIE_SERVICE_TOKEN_FILE"):
            TokenSource.for_service(settings, "mapper")
