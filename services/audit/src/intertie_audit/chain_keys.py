"""The key that signs the chain's checkpoints, the key of its macs that is derived from it, and the keys before it.

Three files beside each other: ``audit.jwk`` (private, its owner's alone), ``audit-keys.json`` (every public key that
ever signed, a JSON Web Key Set), and ``audit-macs.json`` (the key of the macs of each of them, its owner's alone: a
replaced signing key may be thrown away, and what was sealed under it still verifies).
"""

import base64
import json
import os
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from intertie_chassis.chain_signatures import ChainPublicKeys, thumbprint
from intertie_chassis.durable_files import PRIVATE, PUBLIC, locked, write_whole
from intertie_chassis.errors import StartupError

_MAC_INFO = b"intertie audit chain mac v1"


class ChainKey:
    """The key that signs now."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self._public = private.public_key().public_bytes_raw()
        self.key_id = thumbprint(self._public)
        """RFC 7638 thumbprint of the public key."""
        self.mac_key = HKDF(hashes.SHA256(), 32, salt=None, info=_MAC_INFO).derive(private.private_bytes_raw())
        """32 bytes (RFC 5869, SHA-256, no salt)."""

    @classmethod
    def generate(cls) -> "ChainKey":
        """A new key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def of_jwk(cls, document: dict[str, Any]) -> "ChainKey":
        """The key of a private JSON Web Key (RFC 8037). Raises ValueError when it is none."""
        if document.get("kty") != "OKP" or document.get("crv") != "Ed25519" or "d" not in document:
            raise ValueError("not a private Ed25519 key")
        return cls(Ed25519PrivateKey.from_private_bytes(_decoded(str(document["d"]))))

    def sign(self, text: str) -> bytes:
        """The Ed25519 signature over the text in UTF-8, 64 bytes."""
        return self._private.sign(text.encode())

    @property
    def private_jwk(self) -> dict[str, str]:
        """The private key as a JSON Web Key."""
        return {**self.public_jwk, "d": _encoded(self._private.private_bytes_raw())}

    @property
    def public_jwk(self) -> dict[str, str]:
        """The public key as a JSON Web Key."""
        return {
            "kty": "OKP",
            "crv": "Ed25519",
            "x": _encoded(self._public),
            "kid": self.key_id,
            "alg": "Ed25519",
            "use": "sig",
        }


class KnownKeys:
    """The keys that verify: public ones by their id, and as many keys of macs as are known (maybe none)."""

    def __init__(self, jwks: list[dict[str, Any]], mac_keys: list[bytes]) -> None:
        """Raises ValueError when a key is not one."""
        self._public = ChainPublicKeys(json.dumps({"keys": jwks}))
        self.jwks = jwks
        self.mac_keys = mac_keys

    def verifies(self, key_id: str, text: str, signature: bytes) -> bool:
        """Whether the key of this id signed the text."""
        return self._public.verifies_text(key_id, text, signature)

    @property
    def jwks_json(self) -> bytes:
        """The public keys as a JSON Web Key Set."""
        return json.dumps({"keys": self.jwks}).encode()


class ChainKeys:
    """The files."""

    def __init__(self, data_dir: Path, signing_path: Path | None = None) -> None:
        """`signing_path`: of the private key, where it does not stand in the data directory."""
        directory = data_dir / "keys"
        self.signing_path = signing_path or directory / "audit.jwk"
        self.public_path = directory / "audit-keys.json"
        self._macs_path = directory / "audit-macs.json"
        self._may_make = signing_path is None

    def ensure(self) -> tuple[ChainKey, KnownKeys]:
        """The key, made at the first start, and all that are known. Safe in many processes at once.

        Raises StartupError when a file cannot be read or made, or holds no key.
        """
        directory = self.public_path.parent
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(directory / ".audit-lock"):
                if self._may_make and not self.signing_path.exists():
                    write_whole(self.signing_path, _text(ChainKey.generate().private_jwk), PRIVATE)
                key = self._signing_key()
                jwks, macs = self._read_public(self.public_path), self._read_macs()
                if key.key_id not in {jwk.get("kid") for jwk in jwks}:
                    jwks.append(key.public_jwk)
                    write_whole(self.public_path, _text({"keys": jwks}), PUBLIC)
                if key.key_id not in macs:
                    macs[key.key_id] = key.mac_key.hex()
                    write_whole(self._macs_path, _text(macs), PRIVATE)
        except OSError as error:
            raise StartupError(
                f"the keys of the audit chain in {directory} cannot be read or made ({error.strerror}); let this user "
                "own INTERTIE_DATA_DIR, or give INTERTIE_AUDIT_SIGNING_KEY"
            ) from error
        # The present one first: almost every link is sealed under it.
        ordered = [key.mac_key, *(bytes.fromhex(mac) for name, mac in reversed(macs.items()) if name != key.key_id)]
        return key, self._known(jwks, ordered)

    def known(self, public_path: Path | None = None) -> KnownKeys:
        """What is known without the private key: an auditor has the public keys, and maybe no key of macs.

        Raises StartupError when there are no public keys, or the file holds none.
        """
        path = public_path or self.public_path
        try:
            jwks = self._read_public(path)
            macs = self._read_macs() if os.access(self._macs_path, os.R_OK) else {}
        except OSError as error:
            raise StartupError(f"{path} cannot be read ({error.strerror})") from error
        if not jwks:
            raise StartupError(f"{path} holds no public key of the audit chain")
        return self._known(jwks, [bytes.fromhex(mac) for mac in reversed(macs.values())])

    def _known(self, jwks: list[dict[str, Any]], mac_keys: list[bytes]) -> KnownKeys:
        try:
            return KnownKeys(jwks, mac_keys)
        except (ValueError, KeyError, TypeError) as error:
            raise StartupError(f"{self.public_path} is not a set of public keys; restore it") from error

    def _signing_key(self) -> ChainKey:
        try:
            return ChainKey.of_jwk(json.loads(self.signing_path.read_bytes()))
        except (ValueError, TypeError, AttributeError) as error:
            raise StartupError(
                f"{self.signing_path} is not a private Ed25519 key (a JSON Web Key); restore it"
            ) from error

    def _read_public(self, path: Path) -> list[dict[str, Any]]:
        if not path.exists():
            return []
        try:
            keys = json.loads(path.read_bytes())["keys"]
            return [dict(jwk) for jwk in keys]
        except (ValueError, KeyError, TypeError) as error:
            raise StartupError(f"{path} is not a set of public keys; restore it") from error

    def _read_macs(self) -> dict[str, str]:
        if not self._macs_path.exists():
            return {}
        try:
            macs = {str(name): str(mac) for name, mac in json.loads(self._macs_path.read_bytes()).items()}
            if any(len(bytes.fromhex(mac)) != 32 for mac in macs.values()):
                raise ValueError
        except (ValueError, AttributeError) as error:
            raise StartupError(f"{self._macs_path} is not what Intertie wrote; restore it") from error
        return macs


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _text(document: object) -> str:
    return json.dumps(document, indent=2)
