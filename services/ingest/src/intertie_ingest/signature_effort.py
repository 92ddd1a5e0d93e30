"""What verifying costs, counted, so that a refusal can be brought up to what every other refusal costs.

Whoever may send can measure how long a refusal takes. If an unknown system were refused before anything is hashed, or
a system with two secrets after twice the hashing, names could be sounded by the clock. So each refusal does the same:
a digest of the presented secret, `_MACS` passes over the body for each hash algorithm of the installation, a rest that
makes up for what was signed beside it, and `_COMPARISONS` comparisons of `_WIDTH` bytes; where a system has a public
key, the listed signatures are verified with `_MACS` keys. What a refusal costs depends on the request and on the
installation, never on the system. A delivery that is accepted costs what its scheme needs and no more.
"""

import hashlib
import hmac
from collections.abc import Collection, Mapping, Sequence

from intertie_ingest import signature_ed25519

SECRET_HEADER = "x-webhook-secret"
ED25519 = "ed25519"
MOST_SIGNATURES = 8
"""A list of signatures is as long as this at most."""
MOST_BESIDE_BODY = 1024
"""Bytes that may be signed beside the body: an id, a time, and what a template has between them."""

_MACS = 2
"""The present secret and the previous one."""
_COMPARISONS = _MACS * MOST_SIGNATURES
_WIDTH = 128
"""Bytes of the longest signature as it is written: SHA-512 in hex."""
_DECOY = bytes(32)


class Effort:
    """What one delivery has cost so far."""

    __slots__ = ("_algorithm", "_compared", "_has_digest", "_hashed", "_macs", "_public_keys")

    def __init__(self) -> None:
        self._algorithm = ""
        self._macs = 0
        self._hashed = 0
        self._compared = 0
        self._has_digest = False
        self._public_keys = 0

    def digest_of_secret(self, headers: Mapping[str, Sequence[bytes]]) -> bytes:
        """SHA-256 of what stands in X-Webhook-Secret, or of nothing: of one length whatever was sent."""
        self._has_digest = True
        values = headers.get(SECRET_HEADER) or (b"",)
        return hashlib.sha256(values[0]).digest()

    def mac(self, key: bytes, message: bytes, algorithm: str) -> bytes:
        """The HMAC of a message."""
        self._algorithm = algorithm
        self._macs += 1
        self._hashed += len(message)
        return hmac.digest(key, message, algorithm)

    def fits(self, presented: Sequence[bytes], expected: bytes) -> bool:
        """Whether one of the presented signatures is the expected one; all are compared, whatever the first gave."""
        self._compared += len(presented)
        framed = _framed(expected)
        fitting = [hmac.compare_digest(_framed(one), framed) for one in presented]
        return any(fitting)

    def fits_public(self, listed: bytes, key: bytes, message: bytes) -> bool:
        """Whether one of the listed Ed25519 signatures is the public key's."""
        self._public_keys += 1
        return signature_ed25519.fits(listed, key, message)

    def fill(self, headers: Mapping[str, Sequence[bytes]], body: bytes, algorithms: Collection[str]) -> None:
        """Does what is left of what a refusal costs; `algorithms` are those of all systems."""
        if not self._has_digest:
            self.digest_of_secret(headers)
        for algorithm in algorithms:
            if algorithm == ED25519:
                self._fill_public(headers, body)
                continue
            is_own = algorithm == self._algorithm
            macs, hashed = (self._macs, self._hashed) if is_own else (0, 0)
            for _ in range(macs, _MACS):
                hmac.digest(_DECOY, body, algorithm)
                hashed += len(body)
            hmac.digest(_DECOY, bytes(max(0, _MACS * (len(body) + MOST_BESIDE_BODY) - hashed)), algorithm)
        for _ in range(self._compared, _COMPARISONS):
            hmac.compare_digest(_framed(_DECOY), _framed(_DECOY))

    def _fill_public(self, headers: Mapping[str, Sequence[bytes]], body: bytes) -> None:
        family = "webhook" if "webhook-signature" in headers else "svix"
        message_id, timestamp, listed = (
            (headers.get(f"{family}-{name}") or (b"",))[0] for name in ("id", "timestamp", "signature")
        )
        message = b"%b.%b.%b" % (message_id, timestamp, body)
        for _ in range(self._public_keys, _MACS):
            signature_ed25519.fits(listed, signature_ed25519.DECOY_KEY, message)


def _framed(text: bytes) -> bytes:
    """The text at one width, with its length: how long a comparison takes must not tell how long the other side is."""
    return len(text).to_bytes(4, "big") + text[:_WIDTH].ljust(_WIDTH, b"\0")
