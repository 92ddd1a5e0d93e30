"""The format of the audit chain: canonical bytes taken apart, leaves, heads, and the text of a signed checkpoint.

Pure, and nobody's own: audit makes the chain with it, and whoever holds an export checks it with it, without audit.
docs/audit.md says the same byte by byte, so that others can verify. Domain separation as in RFC 6962: a leaf's hash
begins with 0x00, a head's with 0x01, so that neither can be taken for the other.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

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
"""What follows in a link of the kind `entry`: these columns of the log's row, then the digests of its request payload
and of its response payload (SHA-256 in hex; null: no payload)."""

NO_DIGEST = bytes(32)
"""Stands in a block for the digest of a payload that is NULL."""

PREFIX_VALUES = 3
"""Each link begins with its sequence, its kind, and when it was sealed (`2025-01-20 12:00:00.123456`, UTC)."""

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
    #: SHA-256 of the canonical bytes of the row's columns (ENTRY_COLUMNS)
    digest: bytes
    #: SHA-256 of the payload; NO_DIGEST when there is none
    request: bytes
    response: bytes


def canonical_bytes(values: Sequence[object]) -> bytes:
    """The values of a link as they are hashed: a JSON array without white space, in UTF-8, serialised as RFC 8785 says.

    Values are integers, texts, None, and lists of such.
    """
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()


def values_of(canonical: bytes) -> list[Any]:
    """The values of canonical bytes. Raises ValueError when they are none."""
    values = json.loads(canonical)
    if not isinstance(values, list) or len(values) < PREFIX_VALUES:
        raise ValueError("not the canonical bytes of a link")
    return values


def payload_digest(payload: str | bytes | None) -> str | None:
    """SHA-256 of a payload as it is stored, in hex; None without one."""
    if payload is None:
        return None
    return hashlib.sha256(payload.encode() if isinstance(payload, str) else payload).hexdigest()


def leaf(canonical: bytes) -> bytes:
    """SHA-256(0x00 ‖ canonical)."""
    return hashlib.sha256(b"\x00" + canonical).digest()


def next_head(head: bytes, leaf_digest: bytes) -> bytes:
    """SHA-256(0x01 ‖ head before ‖ leaf)."""
    return hashlib.sha256(b"\x01" + head + leaf_digest).digest()


def block_rows(canonical: bytes) -> list[BlockRow]:
    """The rows that a link of the kind `found` seals. Raises ValueError when these are not its bytes."""
    values = values_of(canonical)
    if len(values) != PREFIX_VALUES + 4 or values[1] != FOUND:
        raise ValueError("not a block")
    try:
        return [
            BlockRow(int(number), *(NO_DIGEST if text is None else bytes.fromhex(text) for text in digests))
            for number, *digests in values[-1]
        ]
    except (TypeError, AttributeError) as error:
        raise ValueError("not a block") from error


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
