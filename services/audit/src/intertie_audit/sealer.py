"""Seals what is in the log: each row gets a link in the chain, in the order in which the sealer meets it.

It works beside the calls, in batches: nobody who appends waits for it. Rows come from our own appends, of which it is
told, and from PHP's inserts, for which it looks once a second. Numbers are given before transactions commit, so a row
may appear below one that was met already: missing numbers are awaited for a minute (`Gaps`), and at the start and once
an hour the whole log is searched for rows without a link. One process seals at a time; two would do no harm.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Sequence

import structlog

from intertie_audit import chain
from intertie_audit.chain import MOST_IN_BLOCK, START, Place
from intertie_audit.checkpoints import Checkpoints
from intertie_audit.lease_store import Lease
from intertie_audit.row_store import LogRow, RowStore
from intertie_audit.seal_store import Raced, SealStore
from intertie_audit.store import Store
from intertie_audit.tail import Gaps
from intertie_chassis.errors import Unavailable

_log = structlog.get_logger()

LOOK_SECONDS = 1.0
"""How often PHP's rows are looked for."""
CHECKPOINT_LINKS = 1000
CHECKPOINT_SECONDS = 10.0
_REST_SECONDS = 0.25
"""After a wake: what comes meanwhile goes into the same batch."""
_SWEEP_SECONDS = 3600.0
_PATIENCE_SECONDS = 60.0
_FINISH_SECONDS = 5.0
_MOST_LINKS = 1000
"""Links of one transaction: on SQLite it keeps appends waiting for some milliseconds."""
_MOST_BYTES = 4_000_000
_LOWEST = -(2**63)


class Sealer:
    """The one who seals. `run` is background work; `finish` comes after it, when the process stops."""

    def __init__(
        self,
        store: SealStore,
        rows: RowStore,
        log: Store,
        checkpoints: Checkpoints,
        lease: Lease,
        mac_keys: Sequence[bytes],
    ) -> None:
        """`mac_keys`: under any of them the last link may be sealed that is found at the start."""
        self._store = store
        self._rows = rows
        self._log = log
        self._checkpoints = checkpoints
        self._lease = lease
        self._mac_keys = mac_keys
        self._woken = asyncio.Event()
        self._is_begun = False
        self._place = Place(0, START)
        #: every row up to this number was met
        self._position = 0
        self._gaps = Gaps(patience=_PATIENCE_SECONDS)
        self._late_at = 0.0
        self._blocks: list[tuple[int, int]] = []
        #: the sweep has come to the first number and goes to the second
        self._sweep = (_LOWEST, _LOWEST)
        self._sweep_at = 0.0
        self._unsigned_since: float | None = None
        self._end_asked_at = 0.0

    def wake(self) -> None:
        """Says that entries were appended."""
        self._woken.set()

    async def sign_now(self) -> None:
        """Signs what is sealed without waiting for its time, if this process seals. Raises Unavailable."""
        if self._is_begun:
            await self._checkpoints.make(self._place)

    async def run(self) -> None:
        """Seals for ever; waits while another process does, or the store is away."""
        is_told = False
        while True:
            try:
                async with self._lease.held():
                    is_told = False
                    await self.begin()
                    while True:
                        await self._lease.keep()
                        if not await self.step():
                            await self._wait()
            except Unavailable as error:
                if not is_told:
                    _log.info("not sealing the audit log for now", cause=error.message)
                    is_told = True
            self._is_begun = False
            await asyncio.sleep(LOOK_SECONDS)

    async def begin(self) -> None:
        """Looks where the chain stands; seals what was in the log before it. Raises Unavailable."""
        loop = asyncio.get_running_loop()
        self._place, mac = await self._store.end()
        if self._place.sequence and not self._is_ours(self._place, mac):
            _log.error(
                "THE LAST LINK OF THE AUDIT CHAIN WAS SEALED WITH NO KEY THAT IS KNOWN HERE: `intertie audit verify` "
                "tells more",
                sequence=self._place.sequence,
            )
        await self._checkpoints.begin(self._place)
        await self._seal_found()
        self._blocks = await self._store.blocks()
        newest = await self._store.newest_sealed() or 0
        self._position = max(newest, self._blocks[-1][1] if self._blocks else 0)
        self._gaps = Gaps(patience=_PATIENCE_SECONDS)
        floor = max(0, self._position - _MOST_LINKS)
        recent = await self._log.ids_after(floor, _MOST_LINKS)
        self._gaps.note(floor, [number for number in recent if number <= self._position], loop.time())
        self._sweep, self._sweep_at = (_LOWEST, self._position), loop.time()
        self._unsigned_since = float("-inf")  # what an earlier process left unsigned is signed at once
        self._is_begun = True

    async def step(self) -> bool:
        """Seals a batch and signs when it is time; gives whether more is waiting. Raises Unavailable."""
        now = asyncio.get_running_loop().time()
        try:
            more = await self._seal_new(now)
            if now >= self._late_at:
                self._late_at = now + LOOK_SECONDS
                await self._seal_late(now)
            more = await self._sweep_on(now) or more
        except Raced:
            await asyncio.sleep(0.05)
            return True
        await self._look_at_end(now)
        await self._sign(now)
        return more

    async def finish(self) -> None:
        """Seals what is left, for some seconds at most, and signs it, if this process is the one who seals."""
        if not self._is_begun:
            return
        try:
            loop = asyncio.get_running_loop()
            until = loop.time() + _FINISH_SECONDS
            # What a burst has left behind must not hold up the stop: the next start seals it.
            while await self.step() and loop.time() < until:
                continue
            await self._checkpoints.make(self._place)
            await self._checkpoints.anchor()
        except Unavailable as error:
            _log.warning("the last audit entries are sealed and signed at the next start", cause=error.message)

    async def _seal_new(self, now: float) -> bool:
        rows: list[LogRow] = []
        position, size, is_last = self._position, 0, False
        while len(rows) < _MOST_LINKS and size < _MOST_BYTES and not is_last:
            page = await self._rows.rows_after(position, self._rows.most_a_look)
            is_last = len(page) < self._rows.most_a_look
            rows += page
            size += sum(row.size for row in page)
            position = rows[-1].id if rows else position
        await self._seal(rows)
        if rows:
            self._gaps.note(self._position, [row.id for row in rows], now)
            self._position = position
        return not is_last

    async def _seal_late(self, now: float) -> None:
        if self._gaps.awaited:
            ids = await self._log.present(self._gaps.awaited)
            await self._seal_ids(ids)
            self._gaps.forget(ids)
            self._gaps.give_up(now)

    async def _sweep_on(self, now: float) -> bool:
        """Looks through a part of the log for rows without a link; gives whether there is more of it to look through.

        Here those are found that committed while no sealer ran, and those that took longer than anyone awaits.
        """
        after, last = self._sweep
        if after >= last:
            if now - self._sweep_at >= _SWEEP_SECONDS:
                self._sweep, self._sweep_at = (_LOWEST, self._position), now
            return False
        index = bisect_right(self._blocks, after, key=lambda block: block[1])
        block = self._blocks[index] if index < len(self._blocks) else None
        ids, bound = await self._rows.waiting(after, block[1] if block else last)
        if ids and block is not None:
            in_block = await self._store.block_ids(block[0])
            ids = [number for number in ids if number not in in_block]
        await self._seal_ids(ids)
        self._sweep = (bound, last)
        return True

    async def _seal_ids(self, ids: Sequence[int]) -> None:
        most = self._rows.most_a_look
        for start in range(0, len(ids), most):
            await self._seal(await self._rows.rows_of(ids[start : start + most]))

    async def _seal(self, rows: Sequence[LogRow]) -> None:
        waiting = [row for row in rows if not row.is_sealed]
        if waiting:
            self._moved(await self._store.seal(waiting), len(waiting))

    async def _seal_found(self) -> None:
        """Seals in blocks what was in the log when the chain's tables were made; goes on where it broke off."""
        if await self._store.newest_sealed() is not None:
            return
        found_up_to = await self._store.found_up_to()
        blocks = await self._store.blocks()
        last = blocks[-1][1] if blocks else _LOWEST
        while last < found_up_to:
            rows: list[LogRow] = []
            while len(rows) < MOST_IN_BLOCK:
                page = await self._rows.rows_between(last, found_up_to, self._rows.most_a_look)
                if not page:
                    break
                rows += page
                last = page[-1].id
            if not rows:
                return
            try:
                self._moved(await self._store.seal_block(rows), 1)
            except Raced as raced:
                raise Unavailable("another process has begun the audit chain", retry_after=1) from raced

    def _moved(self, place: Place, count: int) -> None:
        if place.sequence < self._place.sequence + count:
            _log.error(
                "THE AUDIT CHAIN HAS LOST LINKS while this process sealed: `intertie audit verify` tells more",
                expected=self._place.sequence + count,
                sequence=place.sequence,
            )
        self._place = place

    async def _look_at_end(self, now: float) -> None:
        """Meets the notes of others, which come seldom, so that they are signed as well."""
        if now - self._end_asked_at < CHECKPOINT_SECONDS:
            return
        self._end_asked_at = now
        place, mac = await self._store.end()
        if place.sequence > self._place.sequence and self._is_ours(place, mac):
            self._place = place

    async def _sign(self, now: float) -> None:
        unsigned = self._place.sequence - self._checkpoints.newest
        if unsigned <= 0:
            self._unsigned_since = None
        elif self._unsigned_since is None:
            self._unsigned_since = now
        if unsigned >= CHECKPOINT_LINKS or (
            self._unsigned_since is not None and now - self._unsigned_since >= CHECKPOINT_SECONDS
        ):
            await self._checkpoints.make(self._place)
            self._unsigned_since = None
        await self._checkpoints.anchor()

    def _is_ours(self, place: Place, mac: bytes) -> bool:
        return any(chain.mac(key, place.head) == mac for key in self._mac_keys)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._woken.wait()
                await asyncio.sleep(_REST_SECONDS)
        except TimeoutError:
            return
        finally:
            self._woken.clear()
