"""Checks an audit export against its proof and the public keys: nothing else is asked.

Each line must make the very bytes whose digest stands in the proof, in the proof's order, and be written as an export
writes it; the proof's digests must lead from its anchor to the head that a known key has signed.
"""

import hashlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from intertie_chassis.chain_format import (
    FOUND,
    NO_DIGEST,
    START,
    BlockRow,
    block_rows,
    canonical_bytes,
    chain_id,
    leaf,
    next_head,
)
from intertie_chassis.chain_signatures import ChainPublicKeys
from intertie_cli.audit_lines import (
    PREFIX,
    Form,
    Line,
    Unreadable,
    header,
    physical_lines,
    read_jsonl,
    records,
    written,
)
from intertie_cli.audit_proof import Proof


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about an export that is not as it was."""

    #: stable code
    kind: str
    #: for people
    message: str
    #: number of the line in the file, the first one is 1; 0: none
    line: int = 0
    #: place in the chain; 0: none
    sequence: int = 0
    #: number in the log; 0: none
    entry_id: int = 0


@dataclass(slots=True)
class Checked:
    """What a check came to."""

    findings: list[Finding]
    #: lines of the file, without the header
    lines: int = 0
    #: of them, those whose payloads are not all there: they had expired, or were too large
    withheld: int = 0


def check(file: Path, proof: Proof, keys: ChainPublicKeys, show: Callable[[int, int], None] | None = None) -> Checked:
    """Checks a file; `show(done, total)` is told how far it is. Raises OSError."""
    checked = Checked([])
    checked.findings += _of_chain(proof, keys)
    checked.findings += _of_proof(proof)
    _Lines(proof, checked).all(file, show or (lambda done, total: None))
    return checked


def _of_chain(proof: Proof, keys: ChainPublicKeys) -> Iterator[Finding]:
    """Whether the digests lead to what was signed."""
    first, head = b"", proof.anchor_head
    if proof.anchor_sequence == 0 and head != START:
        yield Finding(
            "PROOF_ALTERED", "the proof begins at the first place, but not with the head that all chains have"
        )
    for digest in proof.digests:
        head = next_head(head, digest)
        first = first or head
    signed = proof.checkpoint
    if signed is None:
        if proof.digests:
            yield Finding("NOT_SIGNED", "the proof has no checkpoint: nothing says that this is what was sealed")
        return
    end = proof.anchor_sequence + len(proof.digests)
    if signed.key_id not in keys.ids:
        yield Finding(
            "KEY_UNKNOWN", f"the checkpoint is signed with the key {signed.key_id}, which is not among those given"
        )
    elif not keys.verifies(signed):
        yield Finding("CHECKPOINT_ALTERED", "the checkpoint is not what its key has signed", sequence=signed.sequence)
    if signed.sequence != end or signed.head != head:
        yield Finding(
            "HEAD_MISMATCH",
            f"the digests of the proof do not lead to the head that was signed at place {signed.sequence}: one of them "
            "was altered, removed, added or moved",
            sequence=signed.sequence,
        )
    elif proof.anchor_sequence == 0 and signed.chain_id != chain_id(first):
        yield Finding("HEAD_MISMATCH", "the checkpoint is that of another chain", sequence=signed.sequence)


def _of_proof(proof: Proof) -> Iterator[Finding]:
    """Whether what the proof says fits together."""
    end = proof.anchor_sequence + len(proof.digests)
    for place, raw in proof.blocks.items():
        if _digest_at(proof, place) != leaf(raw):
            yield Finding("PROOF_ALTERED", f"the link at place {place} is not what was sealed", sequence=place)
    if proof.filters:
        return
    last = min(proof.last or end, end)
    expected = Counter(place for place, _number in proof.lines)
    for place in range(proof.anchor_sequence + 1, last + 1):
        if place not in expected and place not in proof.blocks:
            yield Finding("LINE_MISSING", "the export is of all entries, and this one is not in the proof", 0, place)
    numbers = set(proof.lines)
    for place, raw in proof.blocks.items():
        for number in (row.entry_id for row in _rows_of(raw)):
            if (place, number) not in numbers:
                yield Finding("LINE_MISSING", "an entry that was sealed is not in the export", 0, place, number)


class _Lines:
    """Holds the lines of a file against a proof."""

    def __init__(self, proof: Proof, checked: Checked) -> None:
        self._proof = proof
        self._checked = checked
        places = Counter(place for place, _number in proof.lines)
        self._is_alone = {place for place, count in places.items() if count == 1 and place not in proof.blocks}
        self._expected = {self._key(place, number): index for index, (place, number) in enumerate(proof.lines)}
        self._rows: dict[int, dict[int, BlockRow]] = {}
        self._seen: dict[int, int] = {}

    def all(self, file: Path, show: Callable[[int, int], None]) -> None:
        digest, total = hashlib.sha256(), len(self._proof.lines)
        count = first = 0
        with file.open("rb") as opened:
            head = header(self._proof.form)
            if head:
                first = 1
                raw = opened.readline()
                digest.update(raw)
                if raw != head:
                    self._find("HEADER_ALTERED", "the header is not that of an export", 1)
            for raw, read in self._split(physical_lines(opened)):
                count += 1
                digest.update(raw)
                self._line(first + count, raw, read)
                if count % 1000 == 0:
                    show(count, total)
        self._checked.lines = count
        self._order(first)
        for index in sorted(set(range(total)) - self._seen.keys()):
            place, number = self._proof.lines[index]
            self._find("LINE_MISSING", "a line of the export is not in the file", 0, place, number or 0)
        if digest.hexdigest() != self._proof.file_sha256 and not self._checked.findings:
            self._find("FILE_ALTERED", "the file is not the one that the proof was made for")
        show(total, total)

    def _split(self, lines: Iterator[bytes]) -> Iterator[tuple[bytes, Callable[[], Line]]]:
        if self._proof.form is Form.CSV:
            yield from records(lines)
            return
        for raw in lines:
            yield raw, lambda raw=raw: read_jsonl(raw)  # type: ignore[misc]

    def _line(self, number: int, raw: bytes, read: Callable[[], Line]) -> None:
        try:
            line = read()
        except Unreadable as error:
            self._find("LINE_UNREADABLE", f"the line {error}", number)
            return
        index = self._expected.get(self._key(line.sequence, line.entry_id))
        if index is None or index in self._seen:
            what = "is there already" if index is not None else "is not of this export"
            self._find("LINE_ADDED", f"the line {what}", number, line.sequence, line.entry_id or 0)
            return
        self._seen[index] = number
        fault = self._fault(line, index)
        if fault is None and written(line, self._proof.form) != raw:
            fault = "LINE_ALTERED", "the line says the same, but is not written as it was"
        if fault is not None:
            self._find(*fault, number, line.sequence, line.entry_id or 0)
        self._checked.withheld += bool(line.withheld)

    def _fault(self, line: Line, index: int) -> tuple[str, str] | None:
        if (line.sequence, line.entry_id) != self._proof.lines[index] or not self._is_sealed(line):
            return "LINE_ALTERED", "the line is not what was sealed"
        if line.altered_payloads:
            return "PAYLOAD_ALTERED", f"{' and '.join(line.altered_payloads)} is not what was sealed"
        missing = set(line.withheld) - set(self._proof.withheld.get(index, ()))
        if missing:
            return "PAYLOAD_MISSING", f"{' and '.join(sorted(missing))} was in the export and is not in the file"
        return None

    def _is_sealed(self, line: Line) -> bool:
        if line.sequence not in self._proof.blocks:
            return line.kind != FOUND and leaf(line.canonical) == _digest_at(self._proof, line.sequence)
        raw = self._proof.blocks[line.sequence]
        if line.sequence not in self._rows:
            self._rows = {line.sequence: {row.entry_id: row for row in _rows_of(raw)}}
        sealed = self._rows[line.sequence].get(line.entry_id or 0)
        if sealed is None or not raw.startswith(canonical_bytes(line.values[: len(PREFIX)])[:-1] + b","):
            return False
        digests = tuple(None if digest == NO_DIGEST else digest.hex() for digest in (sealed.request, sealed.response))
        return sealed.digest == hashlib.sha256(line.row).digest() and line.digests == digests

    def _order(self, first: int) -> None:
        """The fewest lines that can be said to have been moved."""
        by_line = sorted((number, index) for index, number in self._seen.items())
        stay = _longest_rising([index for _number, index in by_line])
        for number, index in by_line:
            if index not in stay:
                place, entry_id = self._proof.lines[index]
                self._find("LINE_MOVED", "the line does not stand where it stood", number, place, entry_id or 0)

    def _key(self, place: int, number: int | None) -> tuple[int, int | None]:
        """A place with one line is known by itself: then the entry's number is looked at as the rest is."""
        return (place, None) if place in self._is_alone else (place, number)

    def _find(self, kind: str, message: str, line: int = 0, sequence: int = 0, entry_id: int = 0) -> None:
        self._checked.findings.append(Finding(kind, message, line, sequence, entry_id))


def _digest_at(proof: Proof, place: int) -> bytes | None:
    index = place - proof.anchor_sequence - 1
    return proof.digests[index] if 0 <= index < len(proof.digests) else None


def _rows_of(raw: bytes) -> list[BlockRow]:
    try:
        return block_rows(raw)
    except ValueError:
        return []


def _longest_rising(values: Sequence[int]) -> set[int]:
    """The values of a longest rising part (patience sorting)."""
    ends: list[int] = []
    before: dict[int, int | None] = {}
    for value in values:
        at = bisect_left(ends, value)
        before[value] = ends[at - 1] if at else None
        ends[at : at + 1] = [value]
    found: set[int] = set()
    value_or_none = ends[-1] if ends else None
    while value_or_none is not None:
        found.add(value_or_none)
        value_or_none = before[value_or_none]
    return found
