"""Leases records, has them applied and settles them: several batches in flight, each lane one after the other."""

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

import structlog

from intertie_chassis.errors import IntertieError
from intertie_chassis.metrics import PAGE
from intertie_chassis.traces import during
from intertie_mapper import metrics
from intertie_mapper.batch_spans import BatchSpans
from intertie_mapper.configuration import Configuration
from intertie_mapper.held_leases import HeldLeases
from intertie_mapper.model import Ending, Lease
from intertie_mapper.processing import Processor

_log = structlog.get_logger()
_WAIT_MILLISECONDS = 15_000
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0
_LAST_BATCH_SECONDS = 8.0
_SHORT_LEASE_SECONDS = 4
"""Leases of ingest may be nearly as short, whatever was asked for."""


class Queue(Protocol):
    """Where records come from: ingest's RecordQueue."""

    async def lease(self, most: int, lease_seconds: int, wait_milliseconds: int) -> Lease | None:
        """Records under a lease; None when there were none for so long. Raises Unavailable."""

    async def settle(self, token: str, endings: Sequence[Ending]) -> Sequence[int]:
        """Say how they ended; gives the numbers of records whose settlement did not hold. Raises Unavailable."""

    async def extend(self, tokens: Sequence[str], lease_seconds: int) -> Sequence[str]:
        """Keep leases from expiring; gives those that are lost. Raises Unavailable."""


class Worker:
    """Runs until cancelled."""

    def __init__(
        self,
        queue: Queue,
        processor: Processor,
        configuration: Configuration,
        *,
        batch_size: int = 200,
        batches: int = 3,
        lease_seconds: int = 60,
    ) -> None:
        self._queue = queue
        self._processor = processor
        self._configuration = configuration
        self._batch_size = batch_size
        self._batches = batches
        self._lease_seconds = lease_seconds
        self._held = HeldLeases(lease_seconds)

    async def run(self) -> None:
        """Work until cancelled; then finish and settle the batches that are being applied, within eight seconds."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._batches):
                tasks.create_task(self._lane(), name=f"mapper lane {number}")
            tasks.create_task(self._heartbeat(), name="mapper heartbeat")

    async def _lane(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            # Without the configuration every record would look as if its mapping were gone.
            await self._configuration.known.wait()
            most = await self._processor.health.room(self._batch_size)
            asked = time.monotonic()
            try:
                lease = await self._queue.lease(most, self._lease_seconds, _WAIT_MILLISECONDS)
            except IntertieError as error:
                _log.info("ingest gives no records; trying again", reason=error.reason, cause=error.message)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            pause = _FIRST_PAUSE
            if lease is None:
                # An ingest that answers empty at once, against its promise, must not be asked in a tight loop.
                await asyncio.sleep(0 if time.monotonic() - asked > 0.01 else 0.05)
                continue
            await self._finish(lease)

    async def _finish(self, lease: Lease) -> None:
        task = asyncio.create_task(self._handle(lease))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task}, timeout=_LAST_BATCH_SECONDS)
            task.cancel()
            raise

    async def _handle(self, lease: Lease) -> None:
        started = time.monotonic()
        self._held.take(lease.token, started, lease.seconds)
        spans = BatchSpans.begin(lease)
        try:
            if spans is None:
                endings, applied, stale = await self._apply_and_settle(lease)
            else:
                with during(spans.work):
                    endings, applied, stale = await self._apply_and_settle(spans.lease, spans)
        except Exception as error:  # the lease expires and its records come again; the lane must go on
            _log.error("batch failed", records=len(lease.records), exc_info=error)
            return
        finally:
            self._held.end(lease.token)
            if spans is not None:
                spans.end()
        if PAGE.is_shown:
            metrics.count(len(lease.records), endings)
        _log.debug(
            "batch settled",
            records=len(lease.records),
            stale=len(stale),
            apply_ms=round((applied - started) * 1000),
            settle_ms=round((time.monotonic() - applied) * 1000),
        )

    async def _apply_and_settle(
        self, lease: Lease, spans: BatchSpans | None = None
    ) -> tuple[Sequence[Ending], float, Sequence[int]]:
        """The endings, when they were there, and the records whose settlement did not hold."""
        endings = await self._processor.process(lease, lambda: self._is_held(lease.token))
        if spans is not None:
            spans.note(endings)
        return endings, time.monotonic(), await self._settle(lease.token, endings)

    async def _settle(self, token: str, endings: Sequence[Ending]) -> Sequence[int]:
        """Settle while the lease is held, and for as long as one usually is: a lease that is another's by now tells of
        itself. After that the records come again, and their links tell.
        """
        pause, until = _FIRST_PAUSE, time.monotonic() + self._held.usual_seconds
        while endings and (self._is_held(token) or time.monotonic() < until):
            try:
                return await self._queue.settle(token, endings)
            except IntertieError as error:
                _log.info("ingest does not settle; trying again", reason=error.reason, cause=error.message)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
        return ()

    def _is_held(self, token: str) -> bool:
        return self._held.is_held(token, time.monotonic())

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(min(self._lease_seconds, _SHORT_LEASE_SECONDS) / 4)
            asked = time.monotonic()
            tokens = self._held.due(asked)
            if not tokens:
                continue
            try:
                lost = set(await self._queue.extend(tokens, self._lease_seconds))
            except IntertieError as error:
                _log.info("leases were not extended", reason=error.reason, cause=error.message)
                continue
            self._held.renewed(tokens, lost, asked)
