"""What a worker has applied it settles, also when ingest is away for longer than a short lease lasts."""

import asyncio
from collections.abc import Sequence
from typing import Any

from intertie_chassis.errors import Unavailable
from intertie_mapper.model import Ending, Lease, LeasedRecord
from intertie_mapper.worker import Worker

RECORD = LeasedRecord(1, 1, 1, "x", 1, b"{}")
ENDINGS: Any = ["ending"]


class Queue:
    """Gives one lease of a second, and is away until somebody has tried to settle often enough."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.leases = [Lease("lease", (RECORD,), 1)]
        self.settled = asyncio.Event()

    async def lease(self, most: int, lease_seconds: int, wait_milliseconds: int) -> Lease | None:
        if self.leases:
            return self.leases.pop()
        await asyncio.Event().wait()
        return None

    async def settle(self, token: str, endings: Sequence[Ending]) -> Sequence[int]:
        if self.refusals:
            self.refusals -= 1
            raise Unavailable("ingest restarts", reason="UNAVAILABLE")
        self.settled.set()
        return ()

    async def extend(self, tokens: Sequence[str], lease_seconds: int) -> Sequence[str]:
        raise Unavailable("ingest restarts", reason="UNAVAILABLE")


class Applying:
    """A processor that applies everything, with a target and a configuration that are always there."""

    def __init__(self) -> None:
        self.health, self.known = self, self

    async def room(self, most: int) -> int:
        return most

    async def wait(self) -> None:
        return None

    async def process(self, lease: Lease, is_held: Any) -> Any:
        return ENDINGS


async def test_what_was_applied_is_settled_though_its_short_lease_could_not_be_renewed() -> None:
    """The token decides: should another have the records by then, it is told so."""
    queue, applying = Queue(refusals=4), Applying()
    parts: Any = applying
    worker = asyncio.create_task(Worker(queue, parts, parts, batches=1).run())
    try:
        async with asyncio.timeout(20):
            await queue.settled.wait()
    finally:
        worker.cancel()
        await asyncio.wait({worker})
    assert queue.refusals == 0
