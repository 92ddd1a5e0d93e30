"""Says what differs between a link, as it was sealed, and the columns and the row of the log that stand there now."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from intertie_audit.chain import (
    ENTRY,
    ENTRY_COLUMNS,
    NO_DIGEST,
    PREFIX_VALUES,
    BlockRow,
    Expiry,
    Finding,
    block_span,
    values_of,
)

_PAYLOADS = ("request_payload", "response_payload")
_CREATED_AT = ENTRY_COLUMNS.index("created_at")


@dataclass(frozen=True, slots=True)
class PresentRow:
    """A row of the log as it is now."""

    #: the values of ENTRY_COLUMNS
    values: tuple[object, ...]
    #: SHA-256 of each payload in hex; None: NULL
    payloads: tuple[str | None, str | None]


@dataclass(frozen=True, slots=True)
class PresentLink:
    """A link as it is now, and the row that it points at (None: there is none)."""

    sequence: int
    kind: object
    entry_id: object
    #: text of 26 characters
    sealed_at: object
    canonical: bytes
    row: PresentRow | None


class Comparison:
    """Compares; knows what retention says has expired."""

    def __init__(self, expiries: Sequence[Expiry]) -> None:
        #: places up to which something has expired, rising; with each, the latest moment that is said of it or of a
        #: place behind it
        self._places: list[int] = []
        self._before: list[str] = []
        latest = ""
        for expiry in sorted(expiries, key=lambda one: one.sequence, reverse=True):
            latest = max(latest, expiry.before)
            self._places.append(expiry.sequence)
            self._before.append(latest)
        self._places.reverse()
        self._before.reverse()

    def of_link(self, link: PresentLink) -> list[Finding]:
        """What is wrong with a link whose canonical bytes are to be believed."""
        try:
            sealed = values_of(link.canonical)
        except ValueError:
            sealed = []
        if not sealed:
            # Bytes that no sealer of ours writes, under a head that proves them: only text that is no UTF-8 comes here.
            return [_broken(link, "the canonical bytes cannot be read")]
        names = ("sequence", "kind", "sealed_at")
        present = (link.sequence, link.kind, link.sealed_at)
        differing = [name for name, now, then in zip(names, present, sealed, strict=False) if now != then]
        is_entry = sealed[1] == ENTRY
        if link.entry_id != (sealed[PREFIX_VALUES] if is_entry else None):
            differing.append("entry_id")
        if differing:
            return [_broken(link, f"the link's {', '.join(differing)} changed since it was sealed")]
        return self._of_entry(link, sealed) if is_entry else []

    def _of_entry(self, link: PresentLink, sealed: Sequence[object]) -> list[Finding]:
        number = sealed[PREFIX_VALUES]
        entry_id = number if isinstance(number, int) else 0
        if link.row is None:
            return [_finding("ENTRY_MISSING", link.sequence, entry_id, "the entry is not in the log any more")]
        found: list[Finding] = []
        columns = sealed[PREFIX_VALUES : PREFIX_VALUES + len(ENTRY_COLUMNS)]
        changed = [
            name
            for name, now, then in zip(ENTRY_COLUMNS, link.row.values, columns, strict=False)
            if now != then or type(now) is not type(then)
        ]
        if changed:
            found.append(_altered(link.sequence, entry_id, changed))
        digests = sealed[PREFIX_VALUES + len(ENTRY_COLUMNS) :]
        created_at = columns[_CREATED_AT]
        return found + self._of_payloads(link.sequence, entry_id, digests, link.row.payloads, created_at)

    def of_block(
        self, sequence: int, sealed: Sequence[BlockRow], present: Mapping[int, tuple[bytes, PresentRow]]
    ) -> list[Finding]:
        """What is wrong with the rows of a block; `present` has the digest of each row that is there, and the row."""
        found: list[Finding] = []
        for row in sealed:
            now = present.get(row.entry_id)
            if now is None:
                found.append(_finding("ENTRY_MISSING", sequence, row.entry_id, "the entry is not in the log any more"))
                continue
            digest, values = now
            if digest != row.digest:
                found.append(_finding("ENTRY_ALTERED", sequence, row.entry_id, "the entry changed since it was sealed"))
            then = [None if one == NO_DIGEST else one.hex() for one in (row.request, row.response)]
            found += self._of_payloads(sequence, row.entry_id, then, values.payloads, values.values[_CREATED_AT])
        return found

    def _of_payloads(
        self, sequence: int, entry_id: int, then: Sequence[object], now: Sequence[str | None], created_at: object
    ) -> list[Finding]:
        found: list[Finding] = []
        pairs = list(zip(_PAYLOADS, then, now, strict=False))
        altered = [name for name, before, after in pairs if after != before and after is not None]
        missing = [name for name, before, after in pairs if after is None and before is not None]
        if altered:
            message = f"{', '.join(altered)} changed since the entry was sealed"
            found.append(_finding("PAYLOAD_ALTERED", sequence, entry_id, message))
        if missing and not self._has_expired(sequence, created_at):
            message = f"{', '.join(missing)} is gone, and retention has not said so"
            found.append(_finding("PAYLOAD_MISSING", sequence, entry_id, message))
        return found

    def _has_expired(self, sequence: int, created_at: object) -> bool:
        index = bisect_left(self._places, sequence)
        return index < len(self._places) and isinstance(created_at, str) and created_at < self._before[index]


def is_block(canonical: object) -> bool:
    """Whether these are the canonical bytes of a link of the kind `found`."""
    return isinstance(canonical, bytes) and block_span(canonical[:200]) is not None


def _altered(sequence: int, entry_id: int, names: Sequence[str]) -> Finding:
    return _finding("ENTRY_ALTERED", sequence, entry_id, f"{', '.join(names)} changed since the entry was sealed")


def _broken(link: PresentLink, message: str) -> Finding:
    return _finding("LINK_BROKEN", link.sequence, link.entry_id if isinstance(link.entry_id, int) else 0, message)


def _finding(kind: str, sequence: int, entry_id: int, message: str) -> Finding:
    return Finding(kind, sequence, sequence, entry_id, message)
