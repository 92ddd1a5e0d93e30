"""What audit alone knows of its chain: places, macs, findings, and the bytes of links that seal no single row.

Touches nothing. What others need as well, to check an export with, stands in chassis (`chain_format`).
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from intertie_chassis.chain_format import ENTRY as ENTRY
from intertie_chassis.chain_format import ENTRY_COLUMNS as ENTRY_COLUMNS
from intertie_chassis.chain_format import EXPIRED as EXPIRED
from intertie_chassis.chain_format import FOUND as FOUND
from intertie_chassis.chain_format import NO_DIGEST as NO_DIGEST
from intertie_chassis.chain_format import PREFIX_VALUES as PREFIX_VALUES
from intertie_chassis.chain_format import START as START
from intertie_chassis.chain_format import BlockRow as BlockRow
from intertie_chassis.chain_format import Checkpoint as Checkpoint
from intertie_chassis.chain_format import block_rows as block_rows
from intertie_chassis.chain_format import canonical_bytes as canonical_bytes
from intertie_chassis.chain_format import chain_id as chain_id
from intertie_chassis.chain_format import checkpoint_text as checkpoint_text
from intertie_chassis.chain_format import leaf as leaf
from intertie_chassis.chain_format import next_head as next_head
from intertie_chassis.chain_format import payload_digest as payload_digest
from intertie_chassis.chain_format import read_checkpoint as read_checkpoint
from intertie_chassis.chain_format import values_of as values_of

MOST_IN_BLOCK = 1000
"""Rows that one link of the kind `found` seals at most."""

_BLOCK_SPAN = re.compile(rb'\[\d+,"found","[^"]{26}",(-?\d+),(-?\d+),')
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


def entry(sequence: int, sealed_at: str, row: bytes, digests: bytes) -> bytes:
    """Canonical bytes of a link that seals one row of the log.

    Args:
        sealed_at: 26 characters.
        row: canonical bytes of the row's columns (ENTRY_COLUMNS).
        digests: of its two payloads, as `payload_digests` gives them.
    """
    return b'[%d,"entry","%s",%s,%s]' % (sequence, sealed_at.encode(), row[1:-1], digests)


def moment_text(moment: datetime) -> str:
    """A naive UTC time as the databases write it: `2025-01-20 12:00:00.123456`."""
    return moment.isoformat(" ", "microseconds")


def payload_digests(request: str | bytes | None, response: str | bytes | None) -> bytes:
    """The last two values of an entry as they stand in its canonical bytes: the digests of its payloads."""
    if request is None and response is None:
        return b"null,null"
    return _digest(request) + b"," + _digest(response)


def _digest(payload: str | bytes | None) -> bytes:
    if payload is None:
        return b"null"
    raw = payload.encode() if isinstance(payload, str) else payload
    return b'"%s"' % hashlib.sha256(raw).hexdigest().encode()


class MacKey:
    """A key (of 64 bytes at most) whose HMAC-SHA256 of a head, as RFC 2104 has it, only its holder can make: nobody
    else can make a chain of other entries.

    Both hashes go on from what the key makes of them, once: for the 32 bytes of a head that is a third of what a call
    of `hmac` costs.
    """

    def __init__(self, key: bytes) -> None:
        padded = key.ljust(64, b"\x00")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))

    def mac(self, head: bytes) -> bytes:
        """The mac of a head, 32 bytes."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(head)
        outer.update(inner.digest())
        return outer.digest()


def mac(key: bytes, head: bytes) -> bytes:
    """The mac of a single head."""
    return MacKey(key).mac(head)


def note(sequence: int, kind: str, sealed_at: str, text: str) -> bytes:
    """Canonical bytes of a link that says something in words."""
    return canonical_bytes([sequence, kind, sealed_at, text])


def note_text(canonical: bytes) -> str | None:
    """The words of such a link; None when these are not its bytes."""
    try:
        values = values_of(canonical)
    except ValueError:
        return None
    return values[3] if len(values) == PREFIX_VALUES + 1 and isinstance(values[3], str) else None


def block(sequence: int, sealed_at: str, rows: Sequence[BlockRow]) -> bytes:
    """Canonical bytes of a link of the kind `found`: first number, last number, count, and a list of the rows, each
    with its number, SHA-256 of the canonical bytes of its columns, and the digests of its payloads."""
    listed = [
        [
            row.entry_id,
            row.digest.hex(),
            *(None if digest == NO_DIGEST else digest.hex() for digest in (row.request, row.response)),
        ]
        for row in rows
    ]
    return canonical_bytes([sequence, FOUND, sealed_at, rows[0].entry_id, rows[-1].entry_id, len(rows), listed])


def block_row(entry_id: int, row: bytes, digests: bytes) -> BlockRow:
    """One row of a block, of the canonical bytes of its columns and of `payload_digests`."""
    request, response = (
        NO_DIGEST if text == b"null" else bytes.fromhex(text.decode().strip('"')) for text in digests.split(b",")
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
