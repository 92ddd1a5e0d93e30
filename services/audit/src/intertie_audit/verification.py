"""Verifies the chain against the log, the signed checkpoints and the anchor, a few thousand links a time."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass

from intertie_audit import chain
from intertie_audit.anchor import Anchor
from intertie_audit.chain import START, BlockRow, Checkpoint, Expiry, Finding, Place
from intertie_audit.chain_keys import KnownKeys
from intertie_audit.chain_store import ChainStore
from intertie_audit.comparison import Comparison
from intertie_audit.signed_heads import SignedHeads
from intertie_audit.verify import Walk
from intertie_audit.verify_store import Part, VerifyStore
from intertie_chassis.errors import FailedPrecondition

_LINKS_A_TIME = 2000
_LOWEST = -(2**63)
_SPAN = 50_000
_PATIENCE_SECONDS = 3.0
"""Longer than a sealer that runs takes for a row."""
_MOST_UNSEALED = 1000
MOST_FINDINGS = 100


@dataclass(frozen=True, slots=True)
class Scope:
    """What is verified."""

    #: first place; 0: the beginning
    first: int = 0
    #: last place; 0: the end
    last: int = 0
    #: how many findings are told
    most_findings: int = MOST_FINDINGS
    #: what the caller keeps where nobody else writes
    kept: Sequence[Checkpoint] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What it came to."""

    is_intact: bool
    #: told or not
    findings: int
    #: the last place of the chain, and the head there
    end: Place
    #: the newest that agrees
    checkpoint: Checkpoint | None
    #: rows that wait to be sealed
    unsealed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is."""

    verified: int
    total: int
    #: found since the last one
    findings: Sequence[Finding]
    #: set in the last one
    verdict: Verdict | None = None


class _Told:
    """Findings in the order of their places, as far as they are told at all; counted beyond that."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: list[Finding] = []
        self.count = 0

    def add(self, findings: Sequence[Finding]) -> None:
        """Takes these."""
        room = max(0, self._most - self.count)
        self._waiting += findings[:room]
        self.count += len(findings)

    def take(self, before: int | None = None) -> list[Finding]:
        """What is to be told now, of places before this one."""
        # Findings about no place of the chain come last.
        ordered = sorted(self._waiting, key=lambda one: (one.sequence == 0, one.sequence))
        told = [one for one in ordered if before is None or 0 < one.sequence < before]
        self._waiting = ordered[len(told) :]
        return told


class Verification:
    """Verifies; any number may run beside each other, and beside the sealer."""

    def __init__(
        self,
        store: VerifyStore,
        links: ChainStore,
        keys: KnownKeys,
        anchor: Anchor | None,
        patience: float = _PATIENCE_SECONDS,
    ) -> None:
        """`patience`: seconds that a row without a link may still get one before it is a finding."""
        self._store = store
        self._links = links
        self._keys = keys
        self._anchor = anchor
        self._patience = patience

    async def run(self, scope: Scope) -> AsyncGenerator[Progress]:
        """Tells how far it is, and last the verdict. Raises Unavailable. Closing it ends the work."""
        started = time.monotonic()
        told = _Told(scope.most_findings)
        first = max(1, scope.first)
        # What is signed comes first, the end second: a checkpoint that is signed meanwhile is beyond neither.
        signed = await self._signed(scope, first)
        end = await self._links.end()
        last = min(scope.last, end.sequence) if scope.last else end.sequence
        walk = Walk(await self._before(first), self._keys.mac_keys, signed.places)
        total = max(0, last - first + 1)
        position = _LOWEST if first == 1 else first - 1
        extra: list[int] = []
        given = 0
        while True:
            part = await self._store.walk(walk, position, last, _LINKS_A_TIME)
            if part.position is None:
                break
            position = part.position
            found = await self._compare(walk, part, extra)
            told.add(found)
            # The newest finding of the walk may still grow; what lies behind it is told with it.
            told.add(walk.findings[given:-1])
            given = max(given, len(walk.findings) - 1)
            yield Progress(
                walk.verified, total, told.take(walk.findings[-1].sequence if walk.findings else position + 1)
            )
        walk.finish(last)
        told.add(walk.findings[given:])
        first_head = walk.first_head or await self._links.head_at(1) or b""
        signed.judge(walk.heads, first_head, end, walk.findings)
        told.add(signed.findings)
        unsealed = 0
        if not scope.last:
            unsealed = await self._unsealed(extra, await self._links.found_up_to() or _LOWEST, told)
        end = walk.end if last == end.sequence else end
        verdict = Verdict(told.count == 0, told.count, end, signed.agreeing, unsealed, time.monotonic() - started)
        yield Progress(walk.verified, total, told.take(), verdict)

    async def _before(self, first: int) -> Place:
        """The place before the first one that is verified; without a head when its mac does not prove it."""
        if first == 1:
            return Place(0, START)
        head, mac = await self._links.proof_at(first - 1) or (b"", b"")
        keys = self._keys.mac_keys
        return Place(first - 1, head if not keys or any(chain.mac(key, head) == mac for key in keys) else b"")

    async def _compare(self, walk: Walk, part: Part, extra: list[int]) -> list[Finding]:
        """What the links' columns and the log's rows say otherwise than the canonical bytes."""
        believed = [place for place in part.differing if place not in walk.broken]
        if not believed:
            return []
        # Read after the rows were: what retention drops it has said before.
        links = await self._store.details(believed)
        blocks = {
            place: (sealed, await self._store.rows(sealed[0].entry_id, sealed[-1].entry_id))
            for place in believed
            if (sealed := _block(part.blocks.get(place)))
        }
        comparison = Comparison(await self._expiries())
        # Of old entries each differs, since its payloads have expired: others are answered meanwhile.
        found = await asyncio.to_thread(lambda: [one for link in links for one in comparison.of_link(link)])
        for place, (sealed, present) in blocks.items():
            found += comparison.of_block(place, sealed, present)
            others = sorted(present.keys() - {row.entry_id for row in sealed})
            if others:
                own = await self._links.sequences(others)
                extra += [number for number in others if number not in own]
        return sorted(found, key=lambda one: one.sequence)

    async def _signed(self, scope: Scope, first: int) -> SignedHeads:
        signed = SignedHeads(self._keys, first, scope.last or None)
        position = _LOWEST
        while rows := await self._store.stored_checkpoints(position):
            await asyncio.to_thread(signed.add_stored, rows)
            position = rows[-1].sequence
        if self._anchor is not None:
            await asyncio.to_thread(signed.add_outside, self._anchored(), "in the anchor")
        signed.add_outside(scope.kept, "among those that were kept")
        return signed

    def _anchored(self) -> Iterator[Checkpoint | None]:
        """Raises FailedPrecondition when the anchor cannot be read."""
        if self._anchor is None:
            return
        try:
            yield from self._anchor.checkpoints()
        except OSError as error:
            raise FailedPrecondition(f"the anchor {self._anchor.path} cannot be read ({error.strerror})") from error

    async def _expiries(self) -> list[Expiry]:
        """What retention has said; each is in a link, and so verified with the others."""
        found: list[Expiry] = []
        position = 0
        while notes := await self._links.expiries(position):
            found += [said for _, canonical in notes if (said := chain.expiry(canonical)) is not None]
            position = notes[-1][0]
        return found

    async def _unsealed(self, extra: Sequence[int], after: int, told: _Told) -> int:
        """Finds rows without a link; gives how many wait for one that they may still get.

        A row that was appended a moment ago gets its link while this waits. What lies above all sealed rows may wait
        longer, as long as the chain grows: the sealer works through a burst.
        """
        waiting = list(extra)
        newest = await self._store.newest_row()
        while after < newest:
            bound = min(newest, max(after, 0) + _SPAN)
            waiting += await self._store.unsealed(after, bound)
            after = bound
        if not waiting:
            return 0
        before = (await self._links.end()).sequence
        await asyncio.sleep(self._patience)
        sealed = await self._links.sequences(waiting)
        is_growing = (await self._links.end()).sequence > before
        highest = await self._links.newest_entry()
        left = [number for number in waiting if number not in sealed]
        found = [number for number in left if number < highest or not is_growing]
        for number in found[:_MOST_UNSEALED]:
            told.add([Finding("UNSEALED", 0, 0, number, "a row of the log has no link")])
        told.count += len(found[_MOST_UNSEALED:])
        return len(left)


def _block(canonical: bytes | None) -> list[BlockRow]:
    """The rows of a block; none when these are not its bytes, which the comparison of the link tells."""
    try:
        return chain.block_rows(canonical) if canonical is not None else []
    except ValueError:
        return []
