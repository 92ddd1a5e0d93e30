"""Compares the chain with what was signed about it: in the database, in the anchor, and what the caller has kept."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from intertie_audit.chain import Checkpoint, Finding, Place, chain_id, read_checkpoint
from intertie_audit.chain_keys import KnownKeys


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A row of the table of checkpoints, as it is."""

    sequence: int
    signed_text: object
    signature: object


class SignedHeads:
    """Checkpoints, read and verified before the walk; judged after it."""

    def __init__(self, keys: KnownKeys, first: int, last: int | None) -> None:
        """`first`, `last`: the places that are verified; None: to the end, and so what was cut off is looked for."""
        self._keys = keys
        self._first = first
        self._last = last
        self._stored: dict[int, Checkpoint] = {}
        self._stored_places: set[int] = set()
        self._before = 0
        self._valid: dict[int, list[Checkpoint]] = {}
        self.findings: list[Finding] = []
        self.agreeing: Checkpoint | None = None
        """The newest checkpoint that agrees with the chain, after `judge`."""

    @property
    def places(self) -> frozenset[int]:
        """The places whose heads are needed."""
        return frozenset(self._valid)

    def add_stored(self, rows: Iterable[StoredCheckpoint]) -> None:
        """Takes the database's, in the order of their places."""
        for row in rows:
            checkpoint = self._read_row(row)
            self._stored_places.add(row.sequence)
            if checkpoint is None:
                self._before = row.sequence
                continue
            if self._before < checkpoint.previous and self._is_in_range(checkpoint.previous):
                self._find("CHECKPOINT_MISSING", checkpoint.previous, "a checkpoint was deleted from the database")
            self._before = row.sequence
            self._stored[row.sequence] = checkpoint
            self._add(checkpoint)

    def add_outside(self, checkpoints: Iterable[Checkpoint | None], where: str) -> None:
        """Takes those that stand outside of the database; `where` tells people."""
        for checkpoint in checkpoints:
            if checkpoint is None or not self._is_in_range(checkpoint.sequence):
                continue
            stored = self._stored.get(checkpoint.sequence)
            if stored is not None and (stored.text, stored.signature) == (checkpoint.text, checkpoint.signature):
                continue
            if not self._keys.verifies(checkpoint.key_id, checkpoint.text, checkpoint.signature):
                message = f"the signature of a checkpoint {where} is not that of a key that is known"
                self._find("CHECKPOINT_ALTERED", checkpoint.sequence, message)
                continue
            if checkpoint.sequence not in self._stored_places:
                message = f"the database lacks a checkpoint that stands {where}"
                self._find("CHECKPOINT_MISSING", checkpoint.sequence, message)
            self._add(checkpoint)

    def judge(
        self, heads: Mapping[int, Sequence[bytes]], first_head: bytes, end: Place, found: Sequence[Finding]
    ) -> None:
        """Compares them with the heads of the walk.

        Args:
            first_head: the head at place 1; empty when it is not known.
            end: where the chain ends.
            found: what the walk found, by which a head that differs is located.
        """
        name = chain_id(first_head) if first_head else None
        agreed = self._first - 1
        mismatch: Finding | None = None
        for place in sorted(self._valid):
            if place > end.sequence:
                break
            known = heads.get(place)
            if known is None:
                continue  # a gap, which is a finding already
            for checkpoint in self._valid[place]:
                if checkpoint.head in known and name in (None, checkpoint.chain_id):
                    if mismatch is None:
                        agreed = place
                    self.agreeing = checkpoint
                    continue
                start = mismatch.sequence if mismatch else self._located(agreed + 1, place, found)
                mismatch = Finding(
                    "HEAD_MISMATCH", start, place, 0, "the head is not the one that was signed: links were made anew"
                )
        if mismatch is not None:
            self.findings.append(mismatch)
        newest = max(self._valid, default=0)
        if self._last is None and newest > end.sequence:
            self._find(
                "TRUNCATED",
                end.sequence + 1,
                f"the chain ends at {end.sequence}, but its head at {newest} was signed: its end was cut off, or an "
                "older backup was restored",
                newest,
            )

    def _located(self, start: int, place: int, found: Sequence[Finding]) -> int:
        """The first place found between that which was signed and agrees and this one; the one after that without."""
        return min(
            (one.sequence for one in found if one.kind in _OF_LINKS and start <= one.sequence <= place), default=start
        )

    def _read_row(self, row: StoredCheckpoint) -> Checkpoint | None:
        if not self._is_in_range(row.sequence):
            return None
        try:
            if not isinstance(row.signed_text, str) or not isinstance(row.signature, bytes):
                raise ValueError
            checkpoint = read_checkpoint(row.signed_text, row.signature)
        except ValueError:
            self._find("CHECKPOINT_ALTERED", row.sequence, "a checkpoint's text is none that is signed")
            return None
        if not self._keys.verifies(checkpoint.key_id, checkpoint.text, checkpoint.signature):
            message = "the signature of a checkpoint is not that of a key that is known"
            self._find("CHECKPOINT_ALTERED", row.sequence, message)
            return None
        if checkpoint.sequence != row.sequence:
            message = f"a checkpoint of place {checkpoint.sequence} stands at another"
            self._find("CHECKPOINT_ALTERED", row.sequence, message)
            self._add(checkpoint)
            return None
        return checkpoint

    def _add(self, checkpoint: Checkpoint) -> None:
        if self._is_in_range(checkpoint.sequence):
            self._valid.setdefault(checkpoint.sequence, []).append(checkpoint)

    def _is_in_range(self, sequence: int) -> bool:
        return sequence >= self._first - 1 and (self._last is None or sequence <= self._last)

    def _find(self, kind: str, sequence: int, message: str, last: int | None = None) -> None:
        self.findings.append(Finding(kind, sequence, last or sequence, 0, message))


_OF_LINKS = ("LINK_BROKEN", "SEQUENCE_GAP")
