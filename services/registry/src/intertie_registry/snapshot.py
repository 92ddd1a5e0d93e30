"""The live configuration: the newest image of all systems, and whoever watches it.

One loop reads the database and is the only one to change the image, so watchers see changes in one order. It looks
often (SQL and other replicas write too) and at once after a write of our own, whose caller is answered when the
watchers have it: whoever creates a mapping and delivers at once finds it there. While the database is away the last
image stays, and so do the watchers' streams.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager

import structlog

from intertie_chassis.errors import IntertieError
from intertie_registry import verification
from intertie_registry.credential_places import shown
from intertie_registry.discrepancies import Discrepancy, find
from intertie_registry.errors import NoImageYet
from intertie_registry.model import SystemImage, difference
from intertie_registry.snapshot_store import SnapshotStore

_log = structlog.get_logger()

_PUBLISH_SECONDS = 0.5
#: statements that follow each other leave less time between them; and so often it is looked whether another follows
_MOMENT_SECONDS = 0.1
_MOST_MOMENTS = 5

Images = Mapping[int, SystemImage]
Reconcile = Callable[[tuple[Discrepancy, ...]], Awaitable[bool]]


class Watcher:
    """One watcher's view: the image it began with, and what changed since it last asked.

    Changes wait here by system, the newer replacing the older: a slow watcher costs at most one image.
    """

    def __init__(self, images: Images) -> None:
        self.images = images
        self._waiting: dict[int, SystemImage | None] = {}
        self._woken = asyncio.Event()
        #: set while everything that was offered has been sent
        self.is_up_to_date = asyncio.Event()

    def offer(self, changed: Mapping[int, SystemImage | None]) -> None:
        """Takes in what has changed; None for a system that is gone."""
        self._waiting.update(changed)
        self.is_up_to_date.clear()
        self._woken.set()

    async def changes(self, timeout: float) -> Mapping[int, SystemImage | None]:
        """What has changed since the last call; nothing when nothing does for `timeout` seconds.

        To ask again is to say that what was given before has been sent.
        """
        if not self._waiting:
            self.is_up_to_date.set()
        try:
            async with asyncio.timeout(timeout):
                await self._woken.wait()
        except TimeoutError:
            return {}
        self._woken.clear()
        waiting, self._waiting = self._waiting, {}
        return waiting


class LiveConfiguration:
    """The newest image, kept new by `follow`."""

    def __init__(self, store: SnapshotStore, *, poll_seconds: float = 0.5) -> None:
        self._store = store
        self._poll_seconds = poll_seconds
        self._images: Images | None = None
        self._mark: object = None
        self._hurried = asyncio.Event()
        self._looks_begun = 0
        self._looks_done = 0
        self._looked = asyncio.Condition()
        self._is_followed = False
        self._watchers: set[Watcher] = set()
        self._is_away = False

    async def publish(self) -> None:
        """Has what was just written taken in and sent to every watcher; at most half a second.

        A slow watcher, or one whose connection is dying, must not hold up whoever configures: it gets the change later.
        """
        self._hurried.set()
        if not self._is_followed:
            return
        next_look = self._looks_begun + 1
        try:
            async with asyncio.timeout(_PUBLISH_SECONDS):
                async with self._looked:
                    await self._looked.wait_for(lambda: self._looks_done >= next_look)
                for watcher in tuple(self._watchers):
                    await watcher.is_up_to_date.wait()
        except TimeoutError:
            _log.info("a change is not with every watcher yet", watchers=len(self._watchers))

    async def readiness(self) -> str | None:
        """For the server's health: why there is nothing to watch yet."""
        return None if self._images is not None else "the configuration has not been read yet"

    @contextmanager
    def watch(self) -> Iterator[Watcher]:
        """A watcher, until the context ends. Raises NoImageYet before the first image."""
        if self._images is None:
            raise NoImageYet(retry_after=1)
        watcher = Watcher(self._images)
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    async def follow(self, reconcile: Reconcile) -> None:
        """Keep the image new until cancelled; `reconcile` is told what SQL changed, and says whether it is done."""
        self._is_followed = True
        try:
            await self._follow(reconcile)
        finally:
            self._is_followed = False

    async def _follow(self, reconcile: Reconcile) -> None:
        task = asyncio.current_task()
        while task is None or not task.cancelling():
            is_told = self._hurried.is_set()
            self._hurried.clear()
            try:
                await self.look(reconcile, waits=not is_told)
                self._is_away = False
            except IntertieError as error:
                if not self._is_away:
                    _log.warning("configuration cannot be read; the last image stays", cause=error.message)
                self._is_away = True
            await self._pause()
        # The driver's asyncio.wait_for loses a cancellation that comes as its answer does (before Python 3.12).
        raise asyncio.CancelledError

    async def look(self, reconcile: Reconcile, *, waits: bool = False) -> None:
        """Look once whether anything changed, and if so take it in. Raises IntertieError when that fails.

        `waits`: what SQL changes is taken in once no more follows: of a system that is there without its mapping yet,
        deliveries would be accepted and go nowhere.
        """
        self._looks_begun += 1
        look = self._looks_begun
        mark = await self._store.mark()
        if self._images is not None:
            if mark == self._mark:
                await self._finish(look)
                return
            if waits:
                mark = await self._settled(mark)
        reading = await self._store.read()
        self._take_in(reading.images)
        await self._finish(look)
        discrepancies = find(reading.known, reading.images)
        if not discrepancies or await reconcile(discrepancies):
            # Only now: what failed on the way is tried again at the next look.
            self._mark = mark

    async def _settled(self, mark: object) -> object:
        """The mark, once it has stayed the same for a moment, was looked at often enough, or a call is in a hurry."""
        for _ in range(_MOST_MOMENTS):
            try:
                async with asyncio.timeout(_MOMENT_SECONDS):
                    await self._hurried.wait()
                    return mark
            except TimeoutError:
                before, mark = mark, await self._store.mark()
            if mark == before:
                break
        return mark

    async def _finish(self, look: int) -> None:
        async with self._looked:
            self._looks_done = look
            self._looked.notify_all()

    def _take_in(self, images: Images) -> None:
        before, self._images = self._images or {}, images
        changed, gone = difference(before, images)
        if changed or gone:
            news: dict[int, SystemImage | None] = {**changed, **dict.fromkeys(gone)}
            for watcher in self._watchers:
                watcher.offer(news)
            _log.info("configuration changed", systems=len(changed), gone=len(gone), watchers=len(self._watchers))
        for image in changed.values():
            _tell_of_unreadable(image)
            ids = verification.verifiers(image)
            if len(ids) > 1:
                _log.warning(
                    "more than one connection says how deliveries are verified; the first counts",
                    system=image.system.system_name,
                    connections=list(ids),
                )

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._poll_seconds):
                await self._hurried.wait()
        except TimeoutError:
            return


def _tell_of_unreadable(image: SystemImage) -> None:
    for connection in image.connections:
        for lost in connection.unreadable:
            _log.error(
                "a credential cannot be opened; the connection is closed until it is set anew, or its key is there",
                system=image.system.system_name,
                connection=connection.id,
                field=shown(lost.path),
                problem=lost.problem,
            )
