"""The spool: while the database is away, verified deliveries are kept on this machine for good, and answered as stored.

While one waits in it, whatever comes goes through it too: else a state that waits would overtake a newer one that went
straight to the database. `is_spooling` is all that accepting looks at when the database is there. What waits goes to
the database by `spool_drain`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from intertie_chassis import metrics
from intertie_chassis.errors import Unavailable
from intertie_chassis.health import Check
from intertie_ingest.errors import DeliveryKeyReused
from intertie_ingest.model import Accepted, Delivery
from intertie_ingest.spool_store import SpoolStore

Outcome = Accepted | DeliveryKeyReused | Unavailable

_RETRY_SECONDS = 5.0
_LOOK_SECONDS = 3.0
_TELL_SECONDS = 60.0
_PATIENCE_SECONDS = 2.0
"""So long a turn of the drain keeps groups waiting: the database may go away again in the middle of it."""
_SHORT_PATIENCE_SECONDS = 0.2
"""So long a group waits for a turn that has lasted longer, or while none succeeds."""
_ROOM_SECONDS = 1.0
_ROOM_BYTES = 8 * 1024 * 1024
"""So much may be kept before the room on the disk is looked at again."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a spool holds; looked at before a group is kept, so that its last one may go a little beyond."""

    size: int = 1024**3
    deliveries: int = 1_000_000
    #: bytes of its file system that are left to the drain, which cannot remove what it has stored without writing
    free: int = 64 * 1024**2


class Spool:
    """One spool, and whether deliveries go through it."""

    def __init__(self, store: SpoolStore, bounds: Bounds) -> None:
        """Deliveries that were left in the store go to the database before any other."""
        self._store = store
        self._bounds = bounds
        self.waiting = store.found.waiting
        self._refused = store.found.refused
        self._size = store.found.size
        self.is_spooling = self.waiting > 0
        self.began = asyncio.Event()
        """Set while deliveries go through the spool."""
        self.appended = 0
        """Counts groups that came in; see `end`."""
        self._appending: set[asyncio.Task[list[Outcome]]] = set()
        self._writing, self._groups, self._turns = asyncio.Lock(), asyncio.Lock(), asyncio.Lock()
        self._is_broken = self._is_full_told = False
        self.is_unsure = False
        """Whether the file may hold more or less than is counted; see `recount`."""
        self._turn_began: float | None = None
        self._has_failed = False
        self._free, self._free_until, self._kept_since = 0, 0.0, 0
        self._since = self._told_at = time.monotonic()
        self._kept = 0
        self._show()
        if self.is_spooling:
            self.began.set()
            _log.warning("deliveries of an earlier run wait in the spool", waiting=self.waiting, bytes=self._size)
        if self._refused:
            _log.error("the spool holds deliveries that the database refuses", refused=self._refused)

    async def join(self, group: Sequence[Delivery]) -> list[Outcome] | None:
        """Keeps a group behind those that wait, one result each; None when none waits any more: then the database has
        all of them, and may have this group.
        """
        async with self._turn():
            return await self.keep(group, None) if self.is_spooling else None

    async def keep(self, group: Sequence[Delivery], attempt: str | None) -> list[Outcome]:
        """Keeps a group whose commit, named `attempt`, failed or may have failed; one result each.

        Goes on when the caller is cancelled: what is kept is counted.
        """
        self._begin()
        task = asyncio.ensure_future(self._append(group, attempt))
        self._appending.add(task)
        task.add_done_callback(self._appending.discard)
        await asyncio.wait({task})
        return task.result()

    @asynccontextmanager
    async def draining(self) -> AsyncIterator[None]:
        """A turn of the drain. Between two of them one group comes in, so that it catches up with what comes."""
        async with self._turns:
            self._turn_began = time.monotonic()
            try:
                yield
                self._has_failed = False
            except Unavailable:
                self._has_failed = True
                raise
            finally:
                self._turn_began = None

    def end(self, seen: int) -> bool:
        """Ends spooling, unless a group came in since `appended` was `seen`, or is coming in; gives whether it did.

        To be called when nothing was found to wait.
        """
        if self._appending or self.appended != seen or self.waiting:
            return False
        self._leave()
        seconds = round(time.monotonic() - self._since, 1)
        _log.info("the spool is drained; deliveries go to the database again", kept=self._kept, seconds=seconds)
        self._kept = 0
        return True

    def give_up(self) -> bool:
        """Ends spooling though something waits, since the file fails while the database is there; gives whether it did.

        What waits is drained after the next start, or the next time that spooling begins.
        """
        if self._appending:
            return False
        self._leave()
        self._is_broken = True
        _log.error(
            "THE SPOOL FAILS: deliveries go to the database again, past those that wait in it until the next start",
            waiting=self.waiting,
        )
        return True

    def doubt(self) -> None:
        """Says that nobody knows whether the last writing of the file was done."""
        self.is_unsure = True

    async def recount(self) -> None:
        """Takes the counts from the file. Raises Unavailable when it cannot be read."""
        async with self._writing:
            found = await self._store.holdings()
            self.waiting, self._refused, self._size = found.waiting, found.refused, found.size
            self.is_unsure = False
            self._show()

    def left(self, deliveries: int, size: int, *, refused: bool = False) -> None:
        """Counts deliveries that wait no longer; those that are `refused` stay in the file."""
        self.waiting -= deliveries
        if refused:
            self._refused += deliveries
        else:
            self._size -= size
        self._show()

    def readiness(self, schema: Check, at_head: Callable[[], Awaitable[bool]]) -> Check:
        """A ready check for `Server.ready_when`: what `schema` says, unless it is about a database that is away, or
        cannot be written, and the spool takes what comes. `at_head` says whether the tables fit.
        """

        async def check() -> str | None:
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    why = await schema()
                    if why is None or not await at_head():
                        return why
            except Unavailable as error:
                why = error.message
            except TimeoutError:
                why = "the database does not answer in time"
            if self._is_full:
                return f"{why}; and the spool is full"
            return f"{why}; and the spool cannot be written" if self._is_broken else None

        return check

    async def look(self) -> None:
        """What is to be done now and then while the database is away."""
        if self._is_broken:
            try:
                await self._store.try_writing()
                self._is_broken = False
            except Unavailable:
                pass
        if time.monotonic() - self._told_at > _TELL_SECONDS:
            self._told_at = time.monotonic()
            _log.warning("deliveries wait in the spool for the database", waiting=self.waiting, bytes=self._size)

    @property
    def _is_full(self) -> bool:
        return (
            self._size >= self._bounds.size
            or self.waiting + self._refused >= self._bounds.deliveries
            or self._has_no_room
        )

    @property
    def _has_no_room(self) -> bool:
        now = time.monotonic()
        if now >= self._free_until or self._kept_since >= _ROOM_BYTES:
            self._free, self._free_until, self._kept_since = self._store.free, now + _ROOM_SECONDS, 0
        return self._free < self._bounds.free

    def _leave(self) -> None:
        self.is_spooling = False
        self.began.clear()

    def _show(self) -> None:
        metrics.SPOOL_DELIVERIES.labels("waiting").set(self.waiting)
        metrics.SPOOL_DELIVERIES.labels("refused").set(self._refused)

    def _begin(self) -> None:
        if self.is_spooling:
            return
        self.is_spooling = True
        self._since = self._told_at = time.monotonic()
        self.began.set()
        _log.warning(
            "the database is away; deliveries are kept in the spool", bytes_free=self._bounds.size - self._size
        )

    async def _append(self, group: Sequence[Delivery], attempt: str | None) -> list[Outcome]:
        async with self._writing:
            if self._is_full:
                if not self._is_full_told:
                    _log.error(
                        "the spool is full; deliveries are refused",
                        waiting=self.waiting,
                        bytes=self._size,
                        disk_bytes_free=self._free,
                    )
                self._is_full_told = True
                return [_refusal("the database is away and the spool is full; try again")] * len(group)
            self._is_full_told = False
            try:
                kept = await self._store.keep(group, attempt)
            except Unavailable:
                self.doubt()
                if not self._is_broken:
                    _log.error("the spool cannot be written; deliveries are refused")
                self._is_broken = True
                return [_refusal("neither the database nor the spool can be written; try again")] * len(group)
            finally:
                self.appended += 1
            self._is_broken = False
            self._kept += kept.added
            self.waiting += kept.added
            self._size += kept.size
            self._kept_since += kept.size
            self._show()
            return list(kept.outcomes)

    @property
    def _patience(self) -> float:
        if self._has_failed:
            return _SHORT_PATIENCE_SECONDS
        lasted = 0.0 if self._turn_began is None else time.monotonic() - self._turn_began
        return max(_SHORT_PATIENCE_SECONDS, _PATIENCE_SECONDS - lasted)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """A group's turn: one between two of the drain's, or after a while whenever it is."""
        async with AsyncExitStack() as turns:
            try:
                async with asyncio.timeout(self._patience):
                    await turns.enter_async_context(self._groups)
                    await turns.enter_async_context(self._turns)
            except TimeoutError:
                pass
            yield


def _refusal(message: str) -> Unavailable:
    return Unavailable(message, reason="STORE_UNAVAILABLE", retry_after=_RETRY_SECONDS)
