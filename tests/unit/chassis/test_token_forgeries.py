"""Tokens of those who have no private key of ours: other algorithms, other curves, keys that they bring along."""

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from intertie_chassis.errors import Unauthenticated
from intertie_chassis.identity import KeyRing, Verifier


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    """The keys of a data directory."""
    made = KeyRing(tmp_path_factory.mktemp("forgeries") / "data")
    made.ensure()
    return made


def _kid(ring: KeyRing) -> str:
    kid: str = json.loads(ring.jwks_path.read_text())["keys"][0]["kid"]
    return kid


def _claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    return {"iss": "intertie", "sub": "x", "role": "admin", "jti": "1", "iat": now, "exp": now + 60, **changes}


def _sign(header: dict[str, Any], key: Any, claims: dict[str, Any] | None = None) -> str:
    return jwt.encode(header, claims or _claims(), key, algorithms=[header["alg"]])


def _refused(path: Path, token: str) -> None:
    with pytest.raises(Unauthenticated, match="not valid"):
        Verifier(path).verify(token)


def test_our_own_key_makes_a_valid_one(ring: KeyRing) -> None:
    """What all others here differ from."""
    key = OKPKey.import_key(json.loads(ring.signing_path.read_bytes()))
    assert Verifier(ring.jwks_path).verify(_sign({"alg": "Ed25519", "kid": _kid(ring)}, key)).role == "admin"


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("form", ["set", "entry", "x", "raw"])
def test_the_public_key_is_no_shared_secret(ring: KeyRing, algorithm: str, form: str) -> None:
    entry = json.loads(ring.jwks_path.read_text())["keys"][0]
    secret = {
        "set": ring.jwks_path.read_bytes(),
        "entry": json.dumps(entry).encode(),
        "x": entry["x"].encode(),
        "raw": base64.urlsafe_b64decode(entry["x"] + "="),
    }[form]
    _refused(ring.jwks_path, _sign({"alg": algorithm, "kid": _kid(ring)}, OctKey.import_key(secret)))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", ""])
def test_without_a_signature_nobody_is_anybody(ring: KeyRing, algorithm: str) -> None:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    _refused(ring.jwks_path, f"{part({'alg': algorithm, 'kid': _kid(ring)})}.{part(_claims())}.")


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("Ed448", OKPKey.generate_key("Ed448", private=True)),
        ("ES256", ECKey.generate_key("P-256", private=True)),
        ("RS256", RSAKey.generate_key(2048, private=True)),
        ("EdDSA", None),
    ],
    ids=["Ed448", "ES256", "RS256", "EdDSA"],
)
def test_only_the_one_algorithm_is_taken_also_for_keys_of_the_set(
    ring: KeyRing, tmp_path: Path, algorithm: str, key: Any
) -> None:
    """Even where the other key stands in the set, and where our own key signs under another name."""
    entries = json.loads(ring.jwks_path.read_text())["keys"]
    kid = _kid(ring)
    if key is None:
        document = json.loads(ring.signing_path.read_bytes())
        key = OKPKey.import_key({name: document[name] for name in ("kty", "crv", "x", "d")})
    else:
        entries.append({**key.as_dict(private=False), "kid": "other", "alg": algorithm})
        kid = "other"
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": entries}))
    token = jws.serialize_compact({"alg": algorithm, "kid": kid}, json.dumps(_claims()), key, algorithms=[algorithm])
    _refused(path, token)


@pytest.mark.parametrize("names_our_key", [True, False])
@pytest.mark.parametrize("bring", ["jwk", "jku", "x5u", "x5c", "x5t"])
def test_a_key_that_the_token_brings_along_is_not_looked_at(ring: KeyRing, bring: str, names_our_key: bool) -> None:
    key = OKPKey.generate_key("Ed25519", private=True)
    public = key.as_dict(private=False)
    brought: dict[str, Any] = {
        "jwk": public,
        "jku": "https://attacker.example/jwks.json",
        "x5u": "https://attacker.example/chain.pem",
        "x5c": [base64.b64encode(key.as_der(private=False)).decode()],
        "x5t": key.thumbprint(),
    }
    kid = _kid(ring) if names_our_key else key.thumbprint()
    _refused(ring.jwks_path, _sign({"alg": "Ed25519", "kid": kid, bring: brought[bring]}, key))


@pytest.mark.parametrize("header", [{}, {"kid": ""}, {"kid": "../../signing"}, {"kid": "x" * 2000}])
def test_a_token_must_name_a_key_of_the_set(ring: KeyRing, header: dict[str, Any]) -> None:
    key = OKPKey.import_key(json.loads(ring.signing_path.read_bytes()))
    _refused(ring.jwks_path, _sign({"alg": "Ed25519", **header}, key))


@pytest.mark.parametrize(
    "changes",
    [{"nbf": 4_000_000_000}, {"nbf": "0"}, {"nbf": True}, {"nbf": None}, {"iat": 4_000_000_000}, {"iss": "intertie2"}],
    ids=str,
)
def test_not_yet_or_of_another_issuer(ring: KeyRing, changes: dict[str, Any]) -> None:
    key = OKPKey.import_key(json.loads(ring.signing_path.read_bytes()))
    _refused(ring.jwks_path, _sign({"alg": "Ed25519", "kid": _kid(ring)}, key, _claims(**changes)))


def test_a_token_that_begins_now_is_valid(ring: KeyRing) -> None:
    key = OKPKey.import_key(json.loads(ring.signing_path.read_bytes()))
    token = _sign({"alg": "Ed25519", "kid": _kid(ring)}, key, _claims(nbf=int(time.time())))
    assert Verifier(ring.jwks_path).verify(token).role == "admin"


def test_a_key_whose_end_cannot_be_read_is_not_believed_for_ever(ring: KeyRing, tmp_path: Path) -> None:
    document = json.loads(ring.jwks_path.read_text())
    document["keys"][0]["not_after"] = "soon"
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(document))
    with pytest.raises(Exception, match="identity keys cannot be read"):
        Verifier(path).verify(ring.mint("viewer"))
