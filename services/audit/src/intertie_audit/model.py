"""What the log holds: entries, the filters that choose among them, and the bounds that keep every entry storable.

A writer's outbox sends a batch again until it is taken, so a text or payload that is merely too long must not be
refused: it would hold up everything behind it. It is cut, or replaced by its digest, and says so.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict, cast

import orjson

STATUSES = ("success", "error", "timeout")
"""How a thing ended."""

QUERY_TYPE = re.compile(r"[a-z][a-z0-9_]{0,31}")
"""A kind of thing; new kinds need no migration."""

ENTRY_ID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
"""A ULID as it is written: upper case, Crockford's alphabet, at most 128 bits."""

FIRST_MOMENT = datetime(1970, 1, 1, 0, 0, 1)
LAST_MOMENT = datetime(2038, 1, 19, 3, 14, 7)
"""The range of a TIMESTAMP, which the column is since PHP's inserts depend on its time zone rules."""

MOST_TEXT_BYTES = 65_535
MOST_PAYLOAD_BYTES = 256 * 1024
MOST_DEPTH = 31
"""MariaDB's json_valid refuses documents that are nested deeper."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened. None: does not apply or is not known."""

    #: number in the log; 0 until it is stored
    id: int
    #: the writer's ULID; None in rows that the PHP application wrote
    entry_id: str | None
    system_id: int | None
    system_name: str | None
    query_type: str
    query_string: str | None
    #: JSON text
    request_payload: str | None
    #: JSON text
    response_payload: str | None
    response_status: int | None
    execution_time_ms: int | None
    #: one of STATUSES
    status: str
    error_message: str | None
    requested_by: int | None
    module_name: str | None
    actor: str | None
    #: naive UTC, to the microsecond
    created_at: datetime
    delivery_id: str | None
    request_id: str | None

    @property
    def size(self) -> int:
        """Characters of the parts that may be long: what a page or a response is bounded by."""
        return sum(
            len(part)
            for part in (self.query_string, self.request_payload, self.response_payload, self.error_message)
            if part
        )


class NewEntry(TypedDict):
    """An entry that is not stored yet: what `Entry` says, but for the number. A dict, which goes to the database as it
    is: every delivery makes two, and a value with eighteen fields costs as much as checking them."""

    entry_id: str | None
    system_id: int | None
    system_name: str | None
    query_type: str
    query_string: str | None
    request_payload: str | None
    response_payload: str | None
    response_status: int | None
    execution_time_ms: int | None
    status: str
    error_message: str | None
    requested_by: int | None
    module_name: str | None
    actor: str | None
    created_at: datetime
    delivery_id: str | None
    request_id: str | None


@dataclass(frozen=True, slots=True)
class SystemFilter:
    """Chooses the entries of one system: those that name it, and unnamed ones with its number.

    Rows that the PHP application writes have the number only.
    """

    name: str
    #: None: no such system is known
    system_id: int | None


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Chooses entries; None: any."""

    system: SystemFilter | None = None
    module: str | None = None
    status: str | None = None
    query_type: str | None = None
    delivery_id: str | None = None
    #: inclusive
    created_after: datetime | None = None
    #: exclusive
    created_before: datetime | None = None


def new_entry(entry: Entry) -> NewEntry:
    """The entry without its number."""
    return cast(NewEntry, {name: getattr(entry, name) for name in NewEntry.__annotations__})


def long_parts(entry: NewEntry) -> int:
    """Characters of the parts that may be long, as `Entry.size`."""
    return (
        len(entry["query_string"] or "")
        + len(entry["request_payload"] or "")
        + len(entry["response_payload"] or "")
        + len(entry["error_message"] or "")
    )


def clip(text: str, most_characters: int) -> str | None:
    """The text, cut to so many characters with … at its end when it is longer; None for an empty one."""
    if len(text) > most_characters:
        return text[: most_characters - 1] + "…"
    return text or None


def clip_bytes(text: str) -> str | None:
    """The text, cut with … at its end when it is longer than a TEXT column takes; None for an empty one."""
    if len(text) * 4 <= MOST_TEXT_BYTES:
        return text or None
    raw = text.encode()
    if len(raw) <= MOST_TEXT_BYTES:
        return text
    return raw[: MOST_TEXT_BYTES - 3].decode(errors="ignore") + "…"


def payload_fault(raw: bytes) -> str | None:
    """Why the bytes are no document that every store takes; None when they are one."""
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return "must be JSON"
    # A document with no more brackets than levels allowed cannot be nested deeper: the usual case costs no walk.
    if raw.count(b"[") + raw.count(b"{") > MOST_DEPTH and _depth(document) > MOST_DEPTH:
        return f"must not be nested deeper than {MOST_DEPTH}"
    return None


def bounded_payload(raw: bytes) -> str | None:
    """The payload as it is stored; one over the limit is replaced by its size and digest; None for an empty one."""
    if not raw:
        return None
    return omitted(raw) if len(raw) > MOST_PAYLOAD_BYTES else raw.decode()


def omitted(raw: bytes) -> str:
    """The document that stands in for one that is too large."""
    return orjson.dumps({"omitted": True, "size": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}).decode()


def _depth(document: object) -> int:
    """How deep a parsed document is nested; a plain value is 0 deep."""
    deepest, level = 0, [document]
    while True:
        level = [
            child
            for node in level
            if isinstance(node, (dict, list))
            for child in ((None, *node.values()) if isinstance(node, dict) else (None, *node))
        ]
        if not level:
            return deepest
        deepest += 1
