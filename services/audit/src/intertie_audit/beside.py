"""What audit does beside its calls, once the tables are there: it seals the log, and drops what has expired."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from intertie_audit.metrics import SealLook
from intertie_audit.migrations import MIGRATIONS
from intertie_audit.retention import Retention
from intertie_audit.sealer import Sealer
from intertie_audit.trigger_store import warnings
from intertie_chassis.database import Database
from intertie_chassis.metrics import keep_looking

_log = structlog.get_logger()


def sealing(database: Database, sealer: Sealer) -> Callable[[], Awaitable[None]]:
    """Background work that seals; says first which triggers are missing."""

    async def work() -> None:
        await _tables(database)
        for warning in await warnings(database):
            _log.warning(warning)
        await sealer.run()

    return work


def forgetting(database: Database, retention: Retention) -> Callable[[], Awaitable[None]]:
    """Background work that drops payloads."""

    async def work() -> None:
        await _tables(database)
        await retention.run()

    return work


def looking(database: Database, chain: SealLook) -> Callable[[], Awaitable[None]]:
    """Background work that measures how far the sealer is behind."""

    async def work() -> None:
        await _tables(database)
        await keep_looking(chain.look)

    return work


async def _tables(database: Database) -> None:
    ready = MIGRATIONS.readiness(database, database.table_prefix)
    while await ready() is not None:  # noqa: ASYNC110 - what is awaited lies outside of this process
        await asyncio.sleep(1)
