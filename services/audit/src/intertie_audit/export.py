"""Entries in the order of the chain, with what proves that they belong to it.

What was not chosen is there by its digest, so that the heads between the chosen ones can be computed, up to the first
signed checkpoint behind them. Canonical bytes are given as they were sealed: an entry that was changed since does not
look sealed, whoever exports it.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from intertie_audit.chain import ENTRY, FOUND, NO_DIGEST, Checkpoint, Link, Place, block_rows, leaf, values_of
from intertie_audit.chain_store import ChainStore
from intertie_audit.errors import ChainBroken
from intertie_audit.export_store import ExportStore
from intertie_audit.model import Entry, EntryFilter
from intertie_chassis.errors import InvalidArgument

_LINKS_A_LOOK = 100
"""Few, since a link of the kind `found` may have 100 KB, and an entry's payloads 512 KB."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be exported."""

    filter: EntryFilter
    #: first place; 0: the beginning
    first: int
    #: last place; 0: the end
    last: int

    @property
    def is_all(self) -> bool:
        """Whether every entry between the places is chosen."""
        return self.filter == EntryFilter()


@dataclass(frozen=True, slots=True)
class Part:
    """One place of the chain, or one of the entries that a link of the kind `found` seals."""

    sequence: int
    #: the leaf; None of an entry that follows its link
    digest: bytes | None
    #: as it was sealed; None of what was not chosen
    canonical: bytes | None = None
    entry: Entry | None = None
    #: whether the entry had a request and a response when it was sealed
    had_payloads: tuple[bool, bool] = (False, False)


@dataclass(frozen=True, slots=True)
class Outline:
    """What an export spans."""

    #: the place before its first link
    anchor: Place
    #: place of the last link that may be chosen
    last: int
    #: the first one at or after that; None when none is signed
    checkpoint: Checkpoint | None

    @property
    def total(self) -> int:
        """How many links there are, up to the checkpoint."""
        return max(0, (self.checkpoint.sequence if self.checkpoint else self.last) - self.anchor.sequence)


class Export:
    """Makes exports."""

    def __init__(
        self, chain: ChainStore, entries: ExportStore, sign_now: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """`sign_now` has the end of the chain signed, if this process is the one who signs."""
        self._chain = chain
        self._entries = entries
        self._sign_now = sign_now

    async def outline(self, wanted: Wanted) -> Outline:
        """What an export will span.

        Raises InvalidArgument for a place behind the end, ChainBroken where the link before the first is missing,
        Unavailable.
        """
        end = (await self._chain.end()).sequence
        first, last = max(wanted.first, 1), min(wanted.last or end, end)
        if first > max(end, 1):
            raise InvalidArgument(
                f"the chain ends at {end}", violations=[("from_sequence", f"must be at most {max(end, 1)}")]
            )
        head = await self._chain.head_at(first - 1)
        if head is None:
            raise ChainBroken(metadata={"sequence": str(first - 1)})
        checkpoint = await self._chain.checkpoint_from(last) if last else None
        if checkpoint is None and last and self._sign_now is not None:
            await self._sign_now()
            checkpoint = await self._chain.checkpoint_from(last)
        if checkpoint is not None:
            # Nothing that is signed is left out of what goes to the end, or beyond it.
            last = min(wanted.last or checkpoint.sequence, checkpoint.sequence)
        return Outline(Place(first - 1, head), last, checkpoint)

    async def parts(self, wanted: Wanted, outline: Outline) -> AsyncGenerator[Part]:
        """All of it, in order. Raises ChainBroken at the first place that is missing, Unavailable."""
        place, end = outline.anchor.sequence, outline.anchor.sequence + outline.total
        while place < end:
            links = await self._chain.links(place + 1, end, _LINKS_A_LOOK)
            choosable = [link for link in links if link.sequence <= outline.last]
            numbers = [link.entry_id for link in choosable if link.entry_id is not None]
            entries = await self._entries.chosen(numbers, wanted.filter)
            for link in links:
                if link.sequence != place + 1:
                    break
                if not isinstance(link.canonical, bytes):  # an SQLite file keeps whatever somebody puts there
                    raise ChainBroken(metadata={"sequence": str(link.sequence)})
                place = link.sequence
                if link.kind == FOUND and place <= outline.last:
                    async for part in self._block(link, wanted):
                        yield part
                else:
                    yield self._part(link, wanted, outline, entries)
            if not links or links[-1].sequence != place:
                raise ChainBroken(metadata={"sequence": str(place + 1)})

    def _part(self, link: Link, wanted: Wanted, outline: Outline, entries: dict[int, Entry]) -> Part:
        entry = entries.get(link.entry_id) if link.kind == ENTRY and link.entry_id is not None else None
        is_chosen = link.sequence <= outline.last and (wanted.is_all or entry is not None)
        had = _had_payloads(link.canonical) if entry is not None else (False, False)
        return Part(link.sequence, leaf(link.canonical), link.canonical if is_chosen else None, entry, had)

    async def _block(self, link: Link, wanted: Wanted) -> AsyncGenerator[Part]:
        try:
            rows = {row.entry_id: row for row in block_rows(link.canonical)}
        except ValueError:
            rows = {}  # whoever checks finds that the link is not what was sealed
        entries = await self._entries.chosen(list(rows), wanted.filter)
        is_given = bool(entries) or wanted.is_all
        yield Part(link.sequence, leaf(link.canonical), link.canonical if is_given else None)
        chosen = [number for number in rows if number in entries]
        for start in range(0, len(chosen), _LINKS_A_LOOK):
            some = chosen[start : start + _LINKS_A_LOOK]
            fields = await self._entries.fields(some)
            for number in some:
                if number in fields:
                    had = rows[number].request != NO_DIGEST, rows[number].response != NO_DIGEST
                    yield Part(link.sequence, None, fields[number], entries[number], had)


def _had_payloads(canonical: bytes) -> tuple[bool, bool]:
    try:
        request, response = values_of(canonical)[-2:]
    except ValueError:
        return False, False
    return request is not None, response is not None
