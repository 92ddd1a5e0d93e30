"""Under which key a delivery is known when it comes again, and by which mark when it is replayed."""

import hashlib

from intertie_chassis.errors import InvalidArgument
from intertie_ingest import errors
from intertie_ingest.configuration import KeyRule
from intertie_ingest.signatures import Headers, Verified
from intertie_mapping.documents import Document

MOST_KEY_CHARACTERS = 255


def delivery_key(rule: KeyRule, headers: Headers, document: Document, verified: Verified) -> tuple[str | None, bool]:
    """The key, None: it is known by its content; and whether who signed the delivery signed the key too.

    Raises InvalidArgument for a header that stands twice or is no key.
    """
    if verified.signed_id is not None:
        return verified.signed_id, True
    for name in rule.headers:
        if name in headers:
            return _key(headers, name), False
    if rule.path is None or isinstance(document.value, list):
        return None, False
    value = rule.path(document.value)
    if isinstance(value, str) or type(value) is int:
        key = fitting(str(value)) or None
        return key, key is not None
    return None, False


def replay_mark(verified: Verified, digest: bytes) -> bytes | None:
    """What a replay of a delivery without a signed key shares with it; 32 bytes. `digest` is its body's SHA-256.

    None where the same body again may say something again (decision 0014).
    """
    if verified.beside_body is None:
        return None
    return hashlib.sha256(verified.beside_body + b"\n" + digest).digest() if verified.beside_body else digest


def header_key(headers: Headers) -> str | None:
    """The key in the headers of a caller that is known by its token or its address. Raises InvalidArgument."""
    for name in ("webhook-id", "idempotency-key"):
        if name in headers:
            return _key(headers, name)
    return None


def checked_key(text: str, name: str) -> str | None:
    """The key, None when empty. Raises InvalidArgument unless it is 1–255 printable ASCII characters."""
    if not text:
        return None
    if len(text) > MOST_KEY_CHARACTERS or not text.isascii() or not text.isprintable():
        raise InvalidArgument(
            f"{name} must be 1 to 255 printable ASCII characters", violations=[(name, "is no such text")]
        )
    return text


def fitting(key: str) -> str:
    """The key, or one of its digest when it is too long: two keys that begin alike must not become one."""
    return key if len(key) <= MOST_KEY_CHARACTERS else "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def repeated(header: str) -> errors.RepeatedHeader:
    """The refusal of a header that must stand once."""
    return errors.RepeatedHeader(f"the header {header} must stand once", metadata={"header": header})


def _key(headers: Headers, name: str) -> str | None:
    values = headers[name]
    if len(values) > 1:
        raise repeated(name)
    return checked_key(values[0].decode("latin-1").strip(), name)
