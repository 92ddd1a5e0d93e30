"""Drops the payloads of old entries; the entries, and the chain over them, stay for ever.

Before the first payload of a round goes, a link in the chain says which may go: those of entries sealed up to a place
that happened before a moment. So verification tells what has expired from what somebody took away, and nobody without
the key of the chain can say so. What is not sealed yet keeps its payloads until it is.
"""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog

from intertie_audit.chain import EXPIRED, expired_text
from intertie_audit.lease_store import Lease
from intertie_audit.retention_store import MOST_DROPPED, AgedEntry, RetentionStore
from intertie_audit.seal_store import SealStore
from intertie_chassis.clock import utc_now
from intertie_chassis.errors import PermissionDenied, Unavailable

_log = structlog.get_logger()
_ROUND_SECONDS = 24 * 3600.0
"""Rare, since each round that finds something adds a link."""
_AGAIN_SECONDS = 60.0
_ROUNDS_TO_ALL = 7
_LEAST_PAUSE_SECONDS = 0.05


class Retention:
    """Drops payloads, by one process at a time."""

    def __init__(
        self,
        store: RetentionStore,
        chain: SealStore,
        lease: Lease,
        days: int,
        *,
        clock: Callable[[], datetime] = utc_now,
        least_pause: float = _LEAST_PAUSE_SECONDS,
    ) -> None:
        """Args:
        store: where payloads are.
        chain: where it says what may go.
        lease: of this work alone.
        days: how long payloads are kept; 0: for ever.
        clock: the time, naive, in UTC.
        least_pause: seconds between two transactions; it rests twice as long as the one before took.
        """
        self._store = store
        self._chain = chain
        self._lease = lease
        self._days = days
        self._clock = clock
        self._least_pause = least_pause
        self._rounds = 0
        self._dropped_until: AgedEntry | None = None

    async def run(self) -> None:
        """Drops what has expired once a day, for ever; for `run_in_background`."""
        while self._days:
            try:
                async with self._lease.held():
                    dropped = await self.round()
            except Unavailable as error:
                _log.debug("payloads are not dropped here and now", cause=error.message)
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            except PermissionDenied as error:
                _log.warning("payloads of the audit log do not expire", cause=error.message)
                dropped = 0
            if dropped:
                _log.info("dropped payloads that have expired", entries=dropped)
            await asyncio.sleep(_ROUND_SECONDS)
        await asyncio.Event().wait()

    async def round(self) -> int:
        """Drops all that has expired now; gives of how many entries. Raises Unavailable.

        Begins behind those that earlier rounds have dropped, and now and then at the oldest of all.
        """
        before = self._clock() - timedelta(days=self._days)
        blocks: _Blocks | None = None
        sealed_up_to = dropped = 0
        if self._rounds % _ROUNDS_TO_ALL == 0:
            self._dropped_until = None
        self._rounds += 1
        after, is_all, began = self._dropped_until, True, time.monotonic()
        while rows := await self._store.aged(before, after):
            took = time.monotonic() - began
            after = rows[-1]
            ids = [row.id for row in rows if row.has_payload]
            if ids and blocks is None:
                sealed_up_to = (await self._chain.end())[0].sequence
                blocks = _Blocks(self._chain, await self._chain.blocks(), sealed_up_to)
            if ids and blocks is not None:
                sealed = sorted(await self._store.sealed(ids, sealed_up_to) | await blocks.among(ids))
                if sealed and not dropped:
                    await self._chain.append_note(EXPIRED, expired_text(sealed_up_to, before))
                went = await self._drop(sealed)
                dropped += went
                is_all = is_all and went == len(ids)
            if is_all:
                self._dropped_until = after
            await self._lease.keep()
            # Now and then all that is old is looked at: most of a log that only grows.
            await asyncio.sleep(2 * took)
            began = time.monotonic()
        return dropped

    async def _drop(self, ids: Sequence[int]) -> int:
        dropped = 0
        for start in range(0, len(ids), MOST_DROPPED):
            began = time.monotonic()
            dropped += await self._store.drop_payloads(ids[start : start + MOST_DROPPED])
            await asyncio.sleep(max(self._least_pause, 2 * (time.monotonic() - began)))
        return dropped


class _Blocks:
    """The links that seal many rows each, which were in the log before the chain."""

    def __init__(self, chain: SealStore, blocks: Sequence[tuple[int, int]], up_to: int) -> None:
        self._chain = chain
        within = [(sequence, last) for sequence, last in blocks if sequence <= up_to]
        self._sequences = [sequence for sequence, _ in within]
        self._lasts = [last for _, last in within]
        self._known: tuple[int, set[int]] = (0, set())

    async def among(self, ids: Sequence[int]) -> set[int]:
        """Those of these rows that such a link seals."""
        found: set[int] = set()
        for number in sorted(ids):
            index = bisect_left(self._lasts, number)
            if index == len(self._lasts):
                break
            sequence = self._sequences[index]
            if self._known[0] != sequence:
                self._known = (sequence, await self._chain.block_ids(sequence))
            if number in self._known[1]:
                found.add(number)
        return found
