"""Keeps the configuration on disk, so that ingest, started anew while registry is away, accepts with what it knew."""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import structlog

from intertie_chassis.errors import StartupError
from intertie_ingest.configuration import StoredSystem
from intertie_ingest.snapshot import Snapshot
from intertie_ingest.snapshot_file import SnapshotFile, Unusable

PATIENCE = 2.0
"""Seconds that registry has to answer before what was kept is used: it alone knows what was revoked meanwhile."""

_PAUSE = 1.0
_LONGEST_UNCONFIRMED = 300.0

_log = structlog.get_logger()


class SnapshotKeeper:
    """Reads the file once, at the start, and writes it when the configuration changes or the file grows old."""

    def __init__(
        self,
        snapshot: Snapshot,
        file: SnapshotFile,
        *,
        patience: float = PATIENCE,
        pause: float = _PAUSE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Args:
        patience: seconds that registry has for its first answer.
        pause: seconds between two writes at the least.
        clock: seconds since 1970, now.
        """
        self._snapshot = snapshot
        self._file = file
        self._patience = patience
        self._pause = pause
        self._clock = clock
        # Often enough that what is on disk loses little of its time with the process, seldom enough to cost nothing.
        self._renewal = min(_LONGEST_UNCONFIRMED, file.longest.total_seconds() / 20)
        self._written: Mapping[int, StoredSystem] | None = None
        self._confirmed_at = 0.0
        self._is_told = False

    async def run(self) -> None:
        """Falls back onto the file if need be, then keeps what registry says, for ever; for `run_in_background`."""
        if not self._file.longest:
            await self._remove()
            await asyncio.Event().wait()
        from_disk = await self._fall_back()
        while True:
            await self._snapshot.heard()
            if from_disk:
                _log.info("the configuration comes from registry again")
                from_disk = False
            await self._keep()
            await asyncio.sleep(self._pause)

    async def _fall_back(self) -> bool:
        """Uses the file when registry does not answer; gives whether it was used."""
        try:
            async with asyncio.timeout(self._patience):
                await self._snapshot.other_than(None)
                return False
        except TimeoutError:
            pass
        path = str(self._file.path)
        try:
            kept = await asyncio.to_thread(self._file.read, self._clock())
        except Unusable as error:
            _log.error("the configuration on disk is not used; deliveries wait for registry", path=path, why=str(error))
            return False
        if kept is None or not self._snapshot.fall_back(kept.systems):
            return False
        _log.warning(
            "configuration from disk, since registry is away; what has been changed or revoked since is not known",
            path=path,
            systems=len(kept.systems),
            confirmed_at=datetime.fromtimestamp(kept.confirmed_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        return True

    async def _keep(self) -> None:
        systems, confirmed_at = self._snapshot.systems, self._snapshot.confirmed_at
        if confirmed_at is None:
            return
        is_young = 0 <= confirmed_at - self._confirmed_at < self._renewal
        if is_young and systems == self._written:
            return
        try:
            await asyncio.to_thread(self._file.write, tuple(systems.values()), confirmed_at)
        except (OSError, StartupError) as error:
            if not self._is_told:
                _log.error(
                    "the configuration cannot be kept on disk; started anew, ingest would wait for registry",
                    path=str(self._file.path),
                    why=str(error),
                )
            self._is_told = True
            return
        self._written, self._confirmed_at, self._is_told = systems, confirmed_at, False

    async def _remove(self) -> None:
        try:
            if await asyncio.to_thread(self._file.remove):
                _log.info("removed the configuration on disk, as none is to be kept", path=str(self._file.path))
        except OSError as error:
            _log.error("the configuration on disk cannot be removed", path=str(self._file.path), why=str(error))
