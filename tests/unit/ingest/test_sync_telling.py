"""What runs tell ingest and registry: beside them, and through outages."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from intertie_chassis.errors import Unavailable
from intertie_ingest.syncs.announcements import Announcements
from intertie_ingest.syncs.reports import Reports
from waiting import eventually

NOW = datetime(2026, 1, 1)


@asynccontextmanager
async def running(work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Runs work beside the test."""
    task = asyncio.ensure_future(work())
    yield
    task.cancel()
    await asyncio.wait({task})


async def test_what_comes_together_is_announced_as_one_and_an_outage_ends_nothing() -> None:
    """Nothing is announced late: whoever waits for records also looks by itself."""
    sent: list[int] = []

    async def send(records: int) -> None:
        sent.append(records)
        if len(sent) == 1:
            raise Unavailable

    announcements = Announcements(send)
    announcements.announce(2)
    announcements.announce(3)
    async with running(announcements.run):
        await eventually(lambda: sent == [5])
        announcements.announce(4)
        await eventually(lambda: sent == [5, 4])


async def test_a_report_is_repeated_until_registry_has_it_and_of_two_the_later_counts() -> None:
    """Of each mapping; one that failed keeps the others waiting no longer than the outage."""
    sent: list[tuple[int, bool]] = []
    is_away = True

    async def send(mapping_id: int, finished_at: datetime, is_scheduled: bool) -> None:
        if is_away:
            raise Unavailable
        sent.append((mapping_id, is_scheduled))

    reports = Reports(send)
    reports.report(1, NOW, True)
    reports.report(2, NOW, True)
    async with running(reports.run):
        await asyncio.sleep(0)
        reports.report(1, NOW, False)
        is_away = False
        await eventually(lambda: sorted(sent) == [(1, False), (2, True)])
