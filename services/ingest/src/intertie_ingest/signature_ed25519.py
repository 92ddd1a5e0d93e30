"""Ed25519 signatures of Standard Webhooks: `v1a,` entries, verified with the sender's public key (`whpk_…`)."""

import base64
import binascii
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_BYTES = 32
DECOY_KEY = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
"""A public key whose private one nobody has."""

_MARK = b"v1a,"
_NO_SIGNATURE = bytes(64)


def fits(listed: bytes, key: bytes, message: bytes) -> bool:
    """Whether one of the listed `v1a` signatures is the key's. All are verified, whatever the first one gave."""
    found = [entry[len(_MARK) :] for entry in listed.split(b" ") if entry.startswith(_MARK)]
    fitting = [_fits(_decoded(entry), key, message) for entry in found]
    return any(fitting)


def _fits(signature: bytes, key: bytes, message: bytes) -> bool:
    try:
        _public(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _decoded(entry: bytes) -> bytes:
    try:
        signature = base64.b64decode(entry, validate=True)
    except (binascii.Error, ValueError):
        return _NO_SIGNATURE
    return signature if len(signature) == len(_NO_SIGNATURE) else _NO_SIGNATURE


@lru_cache(maxsize=1024)
def _public(key: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(key)
