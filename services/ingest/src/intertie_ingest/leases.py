"""Leasing as its callers see it: waiting for records when there are none, and taking turns between the two lanes.

Batches grow with the load. A batch that emptied the queue holds the next one back for half as long again as it took
to be settled, or until enough came for a full one: so when it is quiet a record is leased at once, and otherwise all
that came meanwhile goes together instead of in small batches, each of which costs the same as a full one. (Without that
pause mapping took whatever processor was left: at 250 deliveries a second mapper spent 1,080 µs on each, with it 890.)

While accepting needs the process for itself (`pressure`) batches are handed out slowly.
"""

import asyncio
import math
import time
from collections.abc import Collection, Sequence
from contextlib import nullcontext, suppress

import structlog

from intertie_chassis.errors import IntertieError
from intertie_ingest.gathered_store import GatheredStore
from intertie_ingest.lease_model import Lease, Settlement
from intertie_ingest.pressure import Pressure
from intertie_ingest.queue_store import QueueStore
from intertie_ingest.reservations import Gathering, Reservations
from intertie_ingest.settlement_store import SettlementStore
from intertie_ingest.snapshot import Snapshot
from intertie_ingest.wakeup import Wakeup

LOOK_SECONDS = 1.0
"""How often a waiting caller looks without being woken: for other replicas' records, retries that fall due, and rows
that the PHP application inserts."""

_LONGEST_HOLD_SECONDS = 0.1
"""How long at most: a worker that hangs or is gone must not slow the others down."""
_PAUSE_OF_WORK = 1.5
"""From one small batch to the next, in times that the first took."""

_BURST_SECONDS = 0.5
"""From batch to batch in a burst of deliveries: with batches of 200 at least 400 records a second are mapped."""

_STOP_SECONDS = 1.0
_RELEASE_SECONDS = 30.0

_log = structlog.get_logger()


class Leases:
    """Hands records out and takes back what became of them."""

    def __init__(
        self,
        store: QueueStore,
        settlements: SettlementStore,
        snapshot: Snapshot,
        wakeup: Wakeup,
        stopping: asyncio.Event,
        pressure: Pressure | None = None,
        reservations: Reservations | None = None,
        *,
        gathered: GatheredStore,
    ) -> None:
        """`reservations` are the leases under which records are stored while somebody waits here."""
        self._store = store
        self._gathered = gathered
        self._settlements = settlements
        self._snapshot = snapshot
        self._wakeup = wakeup
        self._stopping = stopping
        self._pressure = pressure or Pressure()
        self._reservations = reservations or Reservations(wakeup)
        self._leased_at = self._claimed_at = -math.inf
        self._claims_first = self._was_last = False
        # One claim at a time in this process: woken together, waiters would only meet each other's locks.
        self._turn = asyncio.Lock()
        self._solo_first = False
        #: the batch that emptied the queue last, since when, how many records had been announced then, and until when
        #: it holds others back
        self._small = ""
        self._small_since = 0.0
        self._small_at = 0
        self._small_until = 0.0

    async def lease(self, most: int, seconds: int, wait: float, *, may_be_short: bool = False) -> Lease | None:
        """Leases up to `most` records; waits at most `wait` seconds for some. None when there are none.

        `may_be_short`: it may last for less than `seconds`, as `Lease.seconds` says.

        Raises NoSnapshot, Unavailable.
        """
        until = time.monotonic() + wait
        with self._reservations.taker(most, seconds) if may_be_short else nullcontext():
            while True:
                rung = self._wakeup.listen()
                held = self._held_back(most)
                lease = None if held > 0 else await self._look(most, seconds, may_be_short)
                remaining = until - time.monotonic()
                if lease is not None or remaining <= 0 or self._stopping.is_set():
                    return lease
                try:
                    async with asyncio.timeout(min(remaining, held if held > 0 else LOOK_SECONDS)):
                        await rung.wait()
                except TimeoutError:
                    continue

    def _held_back(self, most: int) -> float:
        """For how many seconds it is better to wait, for more records or for a burst to pass; 0 or less: not at all."""
        if self._stopping.is_set():
            return 0.0  # what was stored under a lease must be handed over
        if self._pressure.is_high:
            return self._leased_at + _BURST_SECONDS - time.monotonic()
        if self._wakeup.released - self._small_at >= most:
            return 0.0
        return self._small_until - time.monotonic()

    async def _look(self, most: int, seconds: int, may_be_short: bool) -> Lease | None:
        async with self._turn:
            if self._held_back(most) > 0:
                return None
            active = self._snapshot.configuration().active_mappings
            announced = self._wakeup.released
            # By turns, so that neither what comes in nor what waits keeps the other waiting.
            self._claims_first = not self._claims_first
            lease = await self._claimed(most, seconds, active) if self._claims_first else None
            if lease is None and may_be_short:
                lease = await self._handed_over(most)
            lease = lease or await self._claimed(most, seconds, active)
            if lease is not None:
                self._leased_at = time.monotonic()
                is_small = not self._wakeup.may_wait and len(lease.records) < most
                if is_small and not self._reservations.has_full:
                    self._small, self._small_at, self._small_since = lease.token, announced, self._leased_at
                    self._small_until = self._small_since + _LONGEST_HOLD_SECONDS
            return lease

    async def _handed_over(self, most: int) -> Lease | None:
        """What was stored under a lease."""
        while True:
            async with self._reservations.taking() as gathering:
                if gathering is None:
                    return None
                lease = None if gathering.is_unsure else await self._gathered.lease(gathering, most)
                if lease is None:
                    await self._release([gathering])
                elif lease.records:
                    return lease

    async def _claimed(self, most: int, seconds: int, active: Collection[int]) -> Lease | None:
        """What waits in the queue, if something may wait there."""
        now = time.monotonic()
        if not self._wakeup.may_wait and now < self._claimed_at + LOOK_SECONDS:
            return None
        self._claimed_at, mark = now, self._wakeup.mark()
        if self._was_last:
            # Probably this claim takes the last too. So what comes from now on is leased as it is stored, or under load
            # there would be something new in the queue behind each claim.
            self._wakeup.took(mark)
        self._was_last = False
        try:
            fresh, solo = await self._store.lanes()
            if not fresh and not solo:
                self._wakeup.took(mark)
                self._was_last = True
                return None
            # Turn and turn about, so that neither a row of poison nor a backlog keeps the other lane waiting.
            self._solo_first = solo and not (fresh and self._solo_first)
            lease = await self._store.lease(most, seconds, active, solo_first=self._solo_first)
        except BaseException:
            self._wakeup.queue()
            raise
        self._was_last = not solo and lease is not None and lease.is_last
        if self._was_last:
            self._wakeup.took(mark)
        else:
            self._wakeup.queue()
        return lease

    async def release_unwanted(self) -> None:
        """Puts what was stored under leases that nobody comes for into the queue, for ever; for `run_in_background`."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._release(self._reservations.unwanted())

    async def release(self) -> None:
        """Puts all that was stored under leases that were not handed over into the queue, when ingest stops."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await self._release(await self._reservations.all())

    async def _release(self, given_up: Sequence[Gathering]) -> None:
        for gathering in given_up:
            try:
                await self._gathered.release(gathering)
            except IntertieError as error:
                _log.warning("records wait until their lease ends", lease=gathering.token, cause=error.message)
            else:
                self._wakeup.ring()

    async def settle(self, token: str, settlements: Sequence[Settlement]) -> list[int]:
        """Takes back what became of leased records; gives the numbers of those that did not hold.

        Raises Unavailable.
        """
        stale = await self._settlements.settle(token, settlements)
        if token == self._small:
            self._small = ""
            took = time.monotonic() - self._small_since
            self._small_until = min(self._small_until, self._small_since + _PAUSE_OF_WORK * took)
            if self._wakeup.released != self._small_at:
                self._wakeup.wake()
        return stale

    async def extend(self, tokens: Sequence[str], seconds: int) -> list[str]:
        """Gives leases more time; gives the tokens of those that are lost. Raises Unavailable."""
        return await self._store.extend(tokens, seconds)

    async def release_held(self) -> None:
        """Puts back, for ever, what was held for a mapping that is active again; for `run_in_background`.

        Also without a change now and then: another replica may have held records by an older configuration.
        """
        while True:
            mappings = await self._store.release_held(self._snapshot.configuration().active_mappings)
            if mappings:
                _log.info("held records are released", mappings=mappings)
                self._wakeup.ring()
            await self._snapshot.changed(_RELEASE_SECONDS)
