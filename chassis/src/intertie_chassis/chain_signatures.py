"""Verifies the signatures of the audit chain's checkpoints with public keys alone, wherever an export is checked."""

import base64
import hashlib
import json
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from intertie_chassis.chain_format import Checkpoint


class ChainPublicKeys:
    """The public keys, by their ids: RFC 7638 thumbprints, so that no file can call a key by another's name."""

    def __init__(self, document: bytes | str) -> None:
        """Of a JSON Web Key Set of Ed25519 keys (RFC 8037). Raises ValueError when it is none."""
        self._keys: dict[str, Ed25519PublicKey] = {}
        try:
            found: Any = json.loads(document)["keys"]
            for each in found:
                if each["kty"] != "OKP" or each["crv"] != "Ed25519":
                    raise ValueError("a key is no Ed25519 key")
                text = str(each["x"])
                raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
                self._keys[thumbprint(raw)] = Ed25519PublicKey.from_public_bytes(raw)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not a JSON Web Key Set") from error

    @property
    def ids(self) -> frozenset[str]:
        """The ids of the keys."""
        return frozenset(self._keys)

    def verifies(self, checkpoint: Checkpoint) -> bool:
        """Whether the key that the checkpoint names is among these and signed its text."""
        return self.verifies_text(checkpoint.key_id, checkpoint.text, checkpoint.signature)

    def verifies_text(self, key_id: str, text: str, signature: bytes) -> bool:
        """Whether the key of this id is among these and signed the text."""
        key = self._keys.get(key_id)
        if key is None:
            return False
        try:
            key.verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


def thumbprint(raw: bytes) -> str:
    """RFC 7638 thumbprint of an Ed25519 public key (32 bytes): what its id is."""
    x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    members = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": x}, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(members.encode()).digest()).rstrip(b"=").decode()
