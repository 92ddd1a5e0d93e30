"""Walks the chain and says exactly which places are not as they were sealed. Computes and touches nothing.

A link is as it was sealed when its head follows from the head before and its canonical bytes, when its mac is that of
its head, and when the columns beside the canonical bytes, and the log's row, say the same as these. Where a link is
broken the walk goes on from the head that its mac proves, so that the next finding is exact again.
"""

import hashlib
from collections.abc import Sequence

from intertie_audit.chain import Finding, MacKey, Place, leaf, next_head

LinkRow = tuple[int, bytes, bytes, bytes, object]
"""Sequence, canonical bytes, head, mac, and something true when columns and the log's row say what these bytes say."""

_sha256 = hashlib.sha256
_ANEW = "the mac is not of this head: it was changed, or the links from here on were made anew without the key"
_CANONICAL = "the canonical bytes are not those that were sealed"


class Walk:
    """One walk along the links, in the order of their places."""

    def __init__(self, before: Place, mac_keys: Sequence[bytes], signed: frozenset[int] = frozenset()) -> None:
        """Args:
        before: the place before the first; its head is believed. START's stands before the whole chain.
        mac_keys: keys of macs that are known; none: macs are not looked at.
        signed: places whose heads are kept in `heads`, for comparing them with checkpoints.
        """
        self._heads: tuple[bytes, ...] = (before.head,) if before.head else ()
        self._expected = before.sequence + 1
        self._keys = [MacKey(key) for key in mac_keys]
        self._signed = signed
        self.heads: dict[int, tuple[bytes, ...]] = {}
        """What the head may be at these places: one, or more where nothing proves which."""
        self.findings: list[Finding] = []
        """What was found so far, in order; links that follow each other and are broken alike are one finding."""
        self.broken: set[int] = set()
        """Places whose canonical bytes cannot be believed."""
        self.verified = 0
        """Links walked along."""
        self.first_head = b""
        """The head at place 1, once it was passed."""
        if before.sequence in signed:
            self.heads[before.sequence] = self._heads

    @property
    def end(self) -> Place:
        """The last place, and the head there (empty when nothing proves one)."""
        return Place(self._expected - 1, self._heads[0] if self._heads else b"")

    def feed(self, rows: Sequence[LinkRow]) -> list[int]:
        """Walks along these links; gives the places where columns or the log's row differ from what was sealed."""
        differing: list[int] = []
        signed = self._signed
        index, count = 0, len(rows)
        while index < count:
            previous = self._heads[0] if len(self._heads) == 1 else None
            mac_of = self._keys[0].mac if self._keys else None
            expected = self._expected
            try:
                if previous is not None:
                    while index < count:
                        sequence, canonical, head, mac, is_same = rows[index]
                        if (
                            sequence != expected
                            or _sha256(b"\x01" + previous + _sha256(b"\x00" + canonical).digest()).digest() != head
                            or (mac_of is not None and mac_of(head) != mac)
                        ):
                            break
                        if not is_same:
                            differing.append(sequence)
                        if sequence in signed or sequence == 1:
                            self._note(sequence, (head,))
                        previous = head
                        expected += 1
                        index += 1
            except TypeError:
                pass  # on SQLite a column may hold any type: the slow way says what is wrong
            self.verified += expected - self._expected
            self._expected = expected
            if previous is not None:
                self._heads = (previous,)
            if index < count:
                self._step(rows[index])
                if not rows[index][4]:
                    differing.append(rows[index][0])
                index += 1
        return differing

    def finish(self, last: int) -> None:
        """Says that the last link was fed: a link at `last` was expected."""
        if self._expected <= last:
            self._find("SEQUENCE_GAP", self._expected, "there is no link at this place", last)

    def break_link(self, sequence: int, message: str, entry_id: int = 0) -> None:
        """Notes what others found about a link."""
        self.broken.add(sequence)
        self._find("LINK_BROKEN", sequence, message, entry_id=entry_id)

    def _step(self, row: LinkRow) -> None:
        """One link, slowly."""
        sequence, canonical, head, mac, _is_same = row
        self.verified += 1
        if sequence < self._expected:
            self._find("LINK_BROKEN", sequence, "a link stands where there is one already, or before the first place")
            return
        if sequence > self._expected:
            self._find("SEQUENCE_GAP", self._expected, "there is no link at this place", sequence - 1)
            self._heads = ()
        self._expected = sequence + 1
        if not (isinstance(canonical, bytes) and isinstance(head, bytes) and isinstance(mac, bytes)):
            self.break_link(sequence, "a column holds a value of another type")
            self._heads = () if not isinstance(head, bytes) else (head,)
            return
        computed = tuple(next_head(before, leaf(canonical)) for before in self._heads)
        follows = head in computed or not computed
        is_proven = self._proves(head, mac)
        if follows and is_proven is not False:
            self._heads = (head,)
        elif follows:
            self.break_link(sequence, _ANEW)
            self._heads = (head,)
        elif is_proven:
            self.break_link(sequence, _CANONICAL)
            self._heads = (head,)
        else:
            proven = next((one for one in computed if self._proves(one, mac)), None)
            if proven is not None:
                self._find("LINK_BROKEN", sequence, "the head is not the one that was sealed")
                self._heads = (proven,)
            else:
                self.break_link(sequence, "the head does not follow from the head before and the canonical bytes")
                self._heads = (head, *computed)
        if sequence in self._signed or sequence == 1:
            self._note(sequence, self._heads)

    def _proves(self, head: bytes, mac: bytes) -> bool | None:
        """Whether the mac is the head's under a key that is known; None when no key is."""
        if not self._keys:
            return None
        for index, key in enumerate(self._keys):
            if key.mac(head) == mac:
                # The next links are most likely sealed under the same key.
                self._keys.insert(0, self._keys.pop(index))
                return True
        return False

    def _note(self, sequence: int, heads: tuple[bytes, ...]) -> None:
        if sequence == 1:
            self.first_head = heads[0]
        self.heads[sequence] = heads

    def _find(
        self, kind: str, sequence: int, message: str, last_sequence: int | None = None, entry_id: int = 0
    ) -> None:
        last = sequence if last_sequence is None else last_sequence
        newest = self.findings[-1] if self.findings else None
        if newest is not None and (newest.kind, newest.message, newest.last_sequence, newest.entry_id, entry_id) == (
            kind,
            message,
            sequence - 1,
            0,
            0,
        ):
            self.findings[-1] = Finding(kind, newest.sequence, last, 0, message)
        else:
            self.findings.append(Finding(kind, sequence, last, entry_id, message))
