"""What audit alone knows of its chain: places, macs, findings, and the bytes of links that seal no single row.

Touches nothing. What others need as well, to check an export with, stands in chassis (`chain_format`).
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from intertie_chassis.chain_format import (
    ENTRY,
    EXPIRED,
    FOUND,
    NO_DIGEST,
    START,
    BlockRow,
    Checkpoint,
    block_rows,
    chain_id,
    checkpoint_text,
    field,
    fields,
    leaf,
    next_head,
    payload_field,
    read_checkpoint,
)

__all__ = [
    "ENTRY",
    "EXPIRED",
    "FOUND",
    "MOST_IN_BLOCK",
    "NO_DIGEST",
    "START",
    "BlockRow",
    "Checkpoint",
    "Expiry",
    "Finding",
    "Link",
    "Place",
    "block",
    "block_row",
    "block_rows",
    "block_span",
    "chain_id",
    "checkpoint_text",
    "expired_text",
    "expiry",
    "field",
    "fields",
    "leaf",
    "mac",
    "moment_text",
    "next_head",
    "note",
    "note_text",
    "payload_field",
    "payload_fields",
    "prefix",
    "read_checkpoint",
]


MOST_IN_BLOCK = 1000
"""Rows that one link of the kind `found` seals at most."""

_BLOCK_SPAN = re.compile(rb"i\d+:\d+,t5:found,t26:.{26},i\d+:(-?\d+),i\d+:(-?\d+),", re.DOTALL)
_EXPIRED = re.compile(r"payloads of sequences up to (\d{1,18}) created before (\S{10} \S{15}) expired")


@dataclass(frozen=True, slots=True)
class Link:
    """One place of the chain, as it is stored."""

    sequence: int
    #: number of the log's row; None for a link that is about many rows
    entry_id: int | None
    #: `entry`, `found`, `expired`; notes may have others
    kind: str
    canonical: bytes
    #: 32 bytes
    head: bytes
    #: 32 bytes
    mac: bytes
    #: naive UTC
    sealed_at: datetime


@dataclass(frozen=True, slots=True)
class Place:
    """A place of the chain and the head there; sequence 0 with START before the first link."""

    sequence: int
    head: bytes


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was sealed."""

    #: stable code, as in the contract: `ENTRY_ALTERED`, `LINK_BROKEN` …
    kind: str
    #: first place that it concerns; 0: none
    sequence: int
    #: last place that it concerns
    last_sequence: int
    #: number of the log's row; 0: none
    entry_id: int
    #: for people
    message: str


@dataclass(frozen=True, slots=True)
class Expiry:
    """What retention says it has dropped: payloads of entries up to a place that happened before a moment."""

    sequence: int
    #: exclusive, as text of 26 characters, which sorts as the time does
    before: str


def prefix(sequence: int, kind: str, sealed_at: str) -> bytes:
    """What the canonical bytes of each link begin with; `sealed_at` as text of 26 characters."""
    digits = str(sequence)
    return f"i{len(digits)}:{digits},t{len(kind)}:{kind},t26:{sealed_at},".encode()


def moment_text(moment: datetime) -> str:
    """A naive UTC time as the databases write it: `2025-01-20 12:00:00.123456`."""
    return moment.isoformat(" ", "microseconds")


def payload_fields(request: str | bytes | None, response: str | bytes | None) -> bytes:
    """The last two fields of an entry: the digests of its payloads, as they are stored."""
    return payload_field(request) + payload_field(response)


def mac(key: bytes, head: bytes) -> bytes:
    """HMAC-SHA256 of the head: only whoever has the key can make a chain of other entries."""
    return hmac.digest(key, head, "sha256")


def note(sequence: int, kind: str, sealed_at: str, text: str) -> bytes:
    """Canonical bytes of a link that says something in words."""
    return prefix(sequence, kind, sealed_at) + field("t", text.encode())


def note_text(canonical: bytes) -> str | None:
    """The words of such a link; None when these are not its bytes."""
    try:
        found = fields(canonical)
        return found[3][1].decode() if len(found) == 4 and found[3][0] == "t" and found[3][1] is not None else None
    except ValueError:
        return None


def block(sequence: int, sealed_at: str, rows: Sequence[BlockRow]) -> bytes:
    """Canonical bytes of a link of the kind `found`.

    Fields after the prefix: first number, last number, count, and 104 bytes a row: its number as 8 bytes (big-endian,
    signed), SHA-256 of its columns, of its request payload and of its response payload (32 zero bytes: NULL).
    """
    raw = b"".join(
        row.entry_id.to_bytes(8, "big", signed=True) + row.digest + row.request + row.response for row in rows
    )
    numbers = (rows[0].entry_id, rows[-1].entry_id, len(rows))
    shown = b"".join(field("i", str(number).encode()) for number in numbers)
    return prefix(sequence, FOUND, sealed_at) + shown + field("b", raw)


def block_row(entry_id: int, row: bytes, digests: bytes) -> BlockRow:
    """One row of a block, of its fields and of those of its payloads' digests."""
    request, response = (
        NO_DIGEST if value is None else bytes.fromhex(value.decode()) for _letter, value in fields(digests)
    )
    return BlockRow(entry_id, hashlib.sha256(row).digest(), request, response)


def block_span(start: bytes) -> tuple[int, int] | None:
    """First and last number of a block, of the first bytes (200 are enough) of its canonical ones; None of others."""
    match = _BLOCK_SPAN.match(start)
    return (int(match[1]), int(match[2])) if match else None


def expired_text(sequence: int, before: datetime) -> str:
    """What retention says in a link of the kind `expired`: it may have dropped the payloads of entries up to the place
    `sequence` that happened before this moment (naive UTC)."""
    return f"payloads of sequences up to {sequence} created before {moment_text(before)} expired"


def expiry(canonical: bytes) -> Expiry | None:
    """What such a link says; None when these are not its bytes."""
    match = _EXPIRED.fullmatch(note_text(canonical) or "")
    return Expiry(int(match[1]), match[2]) if match else None
