"""An ingest database on both stores, with the ways into it that the process has."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from ingest_samples import configuration, delivery, mapping, system
from intertie_chassis.database import Database
from intertie_chassis.outbox import Outbox
from intertie_ingest.audit_convert import entries_of_group, entry_of_crash
from intertie_ingest.browse_store import BrowseStore
from intertie_ingest.cache_walk_store import CacheWalk
from intertie_ingest.configuration import Configuration, StoredSystem
from intertie_ingest.folding import Fold
from intertie_ingest.lease_model import Lease, Outcome, Settlement
from intertie_ingest.migrations import MIGRATIONS
from intertie_ingest.queue_store import QueueStore
from intertie_ingest.rejection_store import RejectionStore
from intertie_ingest.set_aside_store import SetAsideStore
from intertie_ingest.settlement_store import SettlementStore
from intertie_ingest.spool import Bounds
from intertie_ingest.store import Store
from intertie_ingest.tables import Tables
from passage import Passage
from spool_rig import Spooling, Start

PREFIX = "t_"
CACHE = f"{PREFIX}external_data_cache"


@dataclass(frozen=True, slots=True)
class Ingest:
    """One ingest database."""

    database: Database
    tables: Tables
    store: Store
    queue: QueueStore
    settlements: SettlementStore
    browse: BrowseStore
    set_aside: SetAsideStore
    cache: CacheWalk
    rejections: RejectionStore
    config: Configuration

    async def commit(self, *bodies: object, **options: Any) -> Fold:
        """Commits deliveries of these bodies as one group."""
        return await self.store.commit([delivery(body, self.config, **options) for body in bodies], entries_of_group)

    async def lease(self, most: int = 100, seconds: int = 60, *, solo_first: bool = False) -> Lease | None:
        """Leases records of the active mappings."""
        return await self.queue.lease(most, seconds, self.config.active_mappings, solo_first=solo_first)

    async def settle_all(self, lease: Lease, outcome: Outcome = Outcome.SYNCED, **values: Any) -> list[int]:
        """Settles every record of a lease alike."""
        return await self.settlements.settle(
            lease.token, [Settlement(record.id, record.revision, outcome, **values) for record in lease.records]
        )

    async def sql(self, statement: str, **values: Any) -> list[Any]:
        """Runs a statement of the test's own, as another application would; `{cache}` is the cache's name."""

        async def work(connection: Any) -> list[Any]:
            result = await connection.execute(text(statement.format(cache=CACHE, prefix=PREFIX)), values)
            return list(result.all()) if result.returns_rows else []

        return await self.database.transaction(work)

    async def end_leases(self) -> None:
        """Makes every lease end now, as its time would."""
        await self.sql("UPDATE {cache} SET available_at = '2020-01-01 00:00:00' WHERE lease_token IS NOT NULL")

    async def count(self, table: str) -> int:
        """How many rows a table has."""
        return int((await self.sql(f"SELECT COUNT(*) FROM {PREFIX}{table}"))[0][0])


async def opened(database_url: str, config: Configuration) -> Ingest:
    """The database, migrated, with a configuration; whoever opens it closes it."""
    database = await Database.open(database_url, table_prefix=PREFIX)
    await MIGRATIONS.upgrade(database, PREFIX)
    tables = Tables.named(PREFIX)
    outbox = Outbox(database, tables.outbox)
    return Ingest(
        database,
        tables,
        Store(database, tables, outbox),
        QueueStore(database, tables, outbox, lambda record: entry_of_crash(record, "", "")),
        SettlementStore(database, tables),
        BrowseStore(database, tables),
        SetAsideStore(database, tables, outbox),
        CacheWalk(database, tables),
        RejectionStore(database, tables, outbox),
        config,
    )


@pytest.fixture
def open_ingest(database_url: str) -> Callable[[Configuration], Awaitable[Ingest]]:
    """Opens the test's database for a test that runs an event loop of its own, and closes it."""
    return lambda config: opened(database_url, config)


@pytest.fixture
async def make_ingest(database_url: str) -> AsyncIterator[Callable[[Configuration], Any]]:
    """Opens the test's database with a configuration; a second call is another replica."""
    made: list[Ingest] = []

    async def make(config: Configuration) -> Ingest:
        made.append(await opened(database_url, config))
        return made[-1]

    yield make
    for one in made:
        await one.database.close()


@pytest.fixture
async def ingest(make_ingest: Callable[[Configuration], Any]) -> Ingest:
    """The test's database, with the seed's system and mapping."""
    made: Ingest = await make_ingest(configuration())
    return made


@pytest.fixture
async def start_spooling(
    ingest: Any, request: pytest.FixtureRequest, database_url: str, tmp_path: Path
) -> AsyncIterator[Start]:
    """Starts accepting with a spool on the test's database, which `ingest` always reaches."""
    async with AsyncExitStack() as stack:

        async def begin(*systems: StoredSystem, bounds: Bounds | None = None) -> Spooling:
            url, passage = database_url, None
            if ingest.database.dialect == "mysql":
                port = request.getfixturevalue("mariadb_server").port
                passage = stack.enter_context(Passage(port))
                url = url.replace(f":{port}/", f":{passage.port}/")
            database = await Database.open(url, table_prefix="t_")
            stack.push_async_callback(database.close)
            directory = tmp_path / "spool"
            made = Spooling(
                database, passage, directory, bounds or Bounds(), ingest.tables, systems or (system(mapping()),)
            )
            await made.start()
            stack.push_async_callback(lambda: made.kept.close())
            return made

        yield begin
