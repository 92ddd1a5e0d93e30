"""The format of the audit chain: canonical bytes taken apart, leaves, heads, and the text of a signed checkpoint.

Pure, and nobody's own: audit makes the chain with it, and whoever holds an export checks it with it, without audit.
docs/audit.md says the same byte by byte, so that others can verify. Domain separation as in RFC 6962: a leaf's hash
begins with 0x00, a head's with 0x01, so that neither can be taken for the other.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime

ENTRY = "entry"
"""Kind of a link that seals one row of the log."""
FOUND = "found"
"""Kind of a link that seals a block of rows which were in the log before there was a chain."""
EXPIRED = "expired"
"""Kind of a link that says which payloads retention has dropped; its text is `expired_text`."""

START = hashlib.sha256(b"intertie audit chain v1").digest()
"""The head before the first link."""

ENTRY_COLUMNS = (
    "id",
    "entry_id",
    "created_at",
    "system_id",
    "system_name",
    "query_type",
    "query_string",
    "response_status",
    "execution_time_ms",
    "status",
    "error_message",
    "requested_by",
    "module_name",
    "actor",
    "delivery_id",
    "request_id",
)
"""Columns of a row of the log in the order of its fields; the digests of its two payloads follow."""

NO_DIGEST = bytes(32)
"""Stands in a block for the digest of a payload that is NULL."""

_BLOCK_ROW = 8 + 3 * 32
_CHECKPOINT = re.compile(
    r"intertie audit checkpoint v1\nchain ([0-9a-f]{32})\nsequence ([1-9]\d{0,17})\nhead ([0-9a-f]{64})\n"
    r"previous (0|[1-9]\d{0,17})\ntime (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6})Z\nkey ([A-Za-z0-9_-]{1,64})\n"
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed statement that the chain, up to a place, has a certain head."""

    #: what was signed; says all that follows
    text: str
    #: Ed25519, 64 bytes
    signature: bytes
    #: first 32 hex digits of the chain's first head
    chain_id: str
    sequence: int
    head: bytes
    #: sequence of the checkpoint before; 0: none
    previous: int
    #: naive UTC
    created_at: datetime
    key_id: str


@dataclass(frozen=True, slots=True)
class BlockRow:
    """One row of the log in a link of the kind `found`."""

    entry_id: int
    #: SHA-256 of the row's columns (`row_fields` of it)
    digest: bytes
    #: SHA-256 of the payload; NO_DIGEST when there is none
    request: bytes
    response: bytes


def field(letter: str, value: bytes) -> bytes:
    """A field of canonical bytes: a letter for its type, its length in bytes, a colon, the bytes, a comma.

    Letters: `i` integer (decimal digits), `t` text (UTF-8), `h` SHA-256 in hex, `b` bytes. `n,` alone is NULL.
    """
    return b"%s%d:%s," % (letter.encode(), len(value), value)


def payload_field(payload: str | bytes | None) -> bytes:
    """The digest of a payload as a field; `n,` without one."""
    if payload is None:
        return b"n,"
    raw = payload.encode() if isinstance(payload, str) else payload
    return b"h64:%s," % hashlib.sha256(raw).hexdigest().encode()


def fields(canonical: bytes) -> list[tuple[str, bytes | None]]:
    """The fields of canonical bytes: letter and value; ("n", None) is NULL. Raises ValueError for other bytes."""
    found: list[tuple[str, bytes | None]] = []
    position = 0
    while position < len(canonical):
        letter = chr(canonical[position])
        if letter == "n":
            if canonical[position + 1 : position + 2] != b",":
                raise ValueError("a NULL field has no comma")
            found.append(("n", None))
            position += 2
            continue
        colon = canonical.find(b":", position, position + 12)
        digits = canonical[position + 1 : colon]
        if letter not in "ithbr" or colon < 0 or not digits.isdigit():
            raise ValueError("not a field")
        start, end = colon + 1, colon + 1 + int(digits)
        if canonical[end : end + 1] != b",":
            raise ValueError("a field has no comma at its end")
        found.append((letter, canonical[start:end]))
        position = end + 1
    return found


def leaf(canonical: bytes) -> bytes:
    """SHA-256(0x00 ‖ canonical)."""
    return hashlib.sha256(b"\x00" + canonical).digest()


def next_head(head: bytes, leaf_digest: bytes) -> bytes:
    """SHA-256(0x01 ‖ head before ‖ leaf)."""
    return hashlib.sha256(b"\x01" + head + leaf_digest).digest()


def block_rows(canonical: bytes) -> list[BlockRow]:
    """The rows that a link of the kind `found` seals. Raises ValueError when these are not its bytes."""
    found = fields(canonical)
    if len(found) != 7 or found[6][0] != "b" or found[6][1] is None or len(found[6][1]) % _BLOCK_ROW:
        raise ValueError("not a block")
    raw = found[6][1]
    return [
        BlockRow(
            int.from_bytes(raw[at : at + 8], "big", signed=True),
            raw[at + 8 : at + 40],
            raw[at + 40 : at + 72],
            raw[at + 72 : at + 104],
        )
        for at in range(0, len(raw), _BLOCK_ROW)
    ]


def chain_id(first_head: bytes) -> str:
    """What a chain is called: the first 32 hex digits of its first head."""
    return first_head.hex()[:32]


def checkpoint_text(chain: str, sequence: int, head: bytes, previous: int, created_at: datetime, key_id: str) -> str:
    """The text that is signed: seven lines, each ended by one line feed."""
    moment = created_at.isoformat("T", "microseconds")
    return (
        f"intertie audit checkpoint v1\nchain {chain}\nsequence {sequence}\nhead {head.hex()}\n"
        f"previous {previous}\ntime {moment}Z\nkey {key_id}\n"
    )


def read_checkpoint(text: str, signature: bytes) -> Checkpoint:
    """The checkpoint of a signed text; the signature is not verified. Raises ValueError when it is none."""
    match = _CHECKPOINT.fullmatch(text)
    if match is None:
        raise ValueError("not the text of a checkpoint")
    return Checkpoint(
        text=text,
        signature=signature,
        chain_id=match[1],
        sequence=int(match[2]),
        head=bytes.fromhex(match[3]),
        previous=int(match[4]),
        created_at=datetime.fromisoformat(match[5]),
        key_id=match[6],
    )
