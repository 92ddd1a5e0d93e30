"""What is sealed with AES-256-GCM: without the key nobody reads it, and none of it can be altered or moved elsewhere.

A sealed text is ``sealed:v1:<key id>:<base64url of nonce, ciphertext and tag>``. What it belongs to (a row, say) is
given as associated data when it is sealed, and must be given again to open it.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What a key may be called."""

_NONCE_BYTES = 12
_TAG_BYTES = 16
_PREFIX = "sealed:v1:"
# A later version's, too: what this one does not understand must not pass for a clear text.
_ANY_VERSION = re.compile(r"sealed:v[0-9]+:")
_PROOF = b"intertie sealing key"


class Unopened(Exception):
    """A sealed text cannot be opened."""

    def __init__(self, problem: str, *, key_id: str = "", is_key_missing: bool = False) -> None:
        """Args:
        problem: why, for an operator; never a part of the text.
        key_id: the key that it names; empty when it names none.
        is_key_missing: whether the key may come later; otherwise the text itself is at fault.
        """
        self.problem = problem
        self.key_id = key_id
        self.is_key_missing = is_key_missing
        super().__init__(problem)


@dataclass(frozen=True, slots=True)
class SealingKey:
    """A key of 32 bytes and the name that sealed texts have it by."""

    id: str
    secret: bytes = field(repr=False)

    @classmethod
    def new(cls) -> "SealingKey":
        """A new key; its id begins with the day."""
        return cls(f"{time.strftime('%Y%m%d', time.gmtime())}-{secrets.token_hex(4)}", secrets.token_bytes(KEY_BYTES))

    def line(self) -> str:
        """``<key id>:<base64>``, as key files hold it. The one text that shows the key."""
        return f"{self.id}:{base64.b64encode(self.secret).decode()}"

    def proof(self) -> str:
        """64 characters that tell whether another key of this id is the same one, and nothing else of it."""
        return hmac.new(self.secret, _PROOF, hashlib.sha256).hexdigest()


class SealingKeys:
    """Keys that belong together: the first seals, all open."""

    def __init__(self, keys: Iterable[SealingKey]) -> None:
        """Raises ValueError without a key, or with two of one id."""
        self.all = tuple(keys)
        self._by_id = {key.id: AESGCM(key.secret) for key in self.all}
        if not self.all or len(self._by_id) < len(self.all):
            raise ValueError("there must be a key, and one of each id")

    @property
    def present(self) -> SealingKey:
        """The key that seals."""
        return self.all[0]

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all keys, the present one's first."""
        return tuple(self._by_id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SealingKeys) and self.all == other.all

    def __hash__(self) -> int:
        return hash(self.ids)

    def seal(self, text: str, associated: bytes) -> str:
        """The text, sealed with the present key and bound to the associated data."""
        return self.seal_bytes(text.encode(), associated)

    def seal_bytes(self, data: bytes, associated: bytes) -> str:
        """The data, sealed with the present key and bound to the associated data.

        Nonces are random: NIST SP 800-38D (8.3) allows 2^32 of them a key. They are not counted, because a seal is a
        write of one credential by a person or a rotation, or of a file at most once a second: that takes 136 years.
        """
        nonce = secrets.token_bytes(_NONCE_BYTES)
        body = nonce + self._by_id[self.present.id].encrypt(nonce, data, associated)
        return f"{_PREFIX}{self.present.id}:{base64.urlsafe_b64encode(body).decode()}"

    def open(self, sealed: str, associated: bytes) -> str:
        """The text that was sealed. Raises Unopened unless every byte, and the associated data, are as they were."""
        try:
            return self.open_bytes(sealed, associated).decode()
        except UnicodeDecodeError:
            raise Unopened("it is no text", key_id=key_id_of(sealed)) from None

    def open_bytes(self, sealed: str, associated: bytes) -> bytes:
        """The data that was sealed. Raises Unopened unless every byte, and the associated data, are as they were."""
        key_id, body = _parts(sealed)
        key = self._by_id.get(key_id)
        if key is None:
            raise Unopened(f"the key {key_id!r} that sealed it is not known here", key_id=key_id, is_key_missing=True)
        try:
            return key.decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], associated)
        except InvalidTag:
            raise Unopened(
                f"it was altered, moved, or its destination was changed since the key {key_id!r} sealed it",
                key_id=key_id,
            ) from None


def is_sealed(text: str) -> bool:
    """Whether the text is a sealed one, of whatever version, or passes itself off as one."""
    return _ANY_VERSION.match(text) is not None


def key_id_of(sealed: str) -> str:
    """The id of the key that a sealed text names; empty when it names none."""
    try:
        return _parts(sealed)[0]
    except Unopened as error:
        return error.key_id


def _parts(sealed: str) -> tuple[str, bytes]:
    """Key id and bytes of a sealed text. Raises Unopened when it is not one, to the letter."""
    if not sealed.startswith(_PREFIX):
        raise Unopened("it is not a sealed text of a version that is known here")
    key_id, _, encoded = sealed.removeprefix(_PREFIX).partition(":")
    if not KEY_ID.fullmatch(key_id):
        raise Unopened("it begins like a sealed text, but names no key")
    try:
        body = base64.b64decode(encoded.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        body = b""
    # The last character may hold bits that say nothing; and the decoder takes both alphabets.
    if len(body) < _NONCE_BYTES + _TAG_BYTES or base64.urlsafe_b64encode(body).decode() != encoded:
        raise Unopened("it is cut short, or holds characters that no sealed text has")
    return key_id, body
