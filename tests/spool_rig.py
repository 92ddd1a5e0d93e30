"""Accepting with a spool as ingest's process puts it together, on a database that a test takes away and brings back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from ingest_samples import nobody
from intertie_chassis.database import Database
from intertie_chassis.errors import Unavailable
from intertie_chassis.outbox import Outbox
from intertie_ingest.accept import Acceptor, Limits
from intertie_ingest.audit_convert import entries_of_drained, entries_of_group, entries_of_rejections
from intertie_ingest.configuration import StoredSystem
from intertie_ingest.errors import Clash
from intertie_ingest.model import Accepted, RawDelivery
from intertie_ingest.rejection_store import RejectionStore
from intertie_ingest.rejections import Rejections
from intertie_ingest.snapshot import Change, Snapshot
from intertie_ingest.spool import Bounds, Spool
from intertie_ingest.spool_directory import SpoolDirectory
from intertie_ingest.spool_drain import Drain
from intertie_ingest.spool_store import SpoolStore
from intertie_ingest.store import Store
from intertie_ingest.tables import Tables
from intertie_ingest.wakeup import Wakeup
from passage import Passage
from waiting import eventually


async def refuse_writing(database: Database, refused: bool = True) -> None:
    """Makes an SQLite database refuse every write on this connection, as a file on a disk that fails, or take them."""
    async with database._writer_lock, database._writer.connect() as connection:
        # Past SQLAlchemy, whose BEGIN would be refused already.
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await (await driver.execute(f"PRAGMA query_only = {int(refused)}")).close()


@dataclass
class Spooling:
    """Accepting, and the spool beside it."""

    database: Database
    #: the way to a server; None: the database is a file
    passage: Passage | None
    directory: Path
    bounds: Bounds
    tables: Tables
    systems: tuple[StoredSystem, ...]
    snapshot: Snapshot = field(default_factory=Snapshot)
    wakeup: Wakeup = field(default_factory=Wakeup)
    store: Store = field(init=False)
    kept: SpoolStore = field(init=False)
    spool: Spool = field(init=False)
    drain: Drain = field(init=False)
    acceptor: Acceptor = field(init=False)

    async def start(self) -> None:
        """Puts everything together, as a process that starts."""
        self.say(*self.systems)
        outbox = Outbox(self.database, self.tables.outbox)
        self.store = Store(self.database, self.tables, outbox)
        self.kept = await SpoolStore.open(SpoolDirectory.take(self.directory))
        self.spool = Spool(self.kept, self.bounds)
        self.drain = Drain(self.spool, self.kept, self.store, outbox, self.wakeup, entries_of_drained)
        rejections = Rejections(
            RejectionStore(self.database, self.tables, outbox), outbox, entries_of_rejections, timedelta(days=1)
        )
        self.acceptor = Acceptor(
            self.store,
            self.snapshot,
            rejections,
            outbox,
            self.wakeup,
            nobody,
            entries_of_group,
            Limits(),
            spool=self.spool,
        )

    async def restart(self) -> None:
        """Ends this process and starts the next one, with nothing but what is on disk."""
        await self.kept.close()
        await self.start()

    def say(self, *systems: StoredSystem) -> None:
        """Makes this the configuration."""
        self.snapshot.apply(Change(systems, is_snapshot=True))

    async def leave(self) -> None:
        """Takes the database away."""
        if self.passage is None:
            await refuse_writing(self.database)
        else:
            self.passage.shut()

    async def come_back(self) -> None:
        """Brings the database back."""
        if self.passage is None:
            await refuse_writing(self.database, False)
        else:
            self.passage.open()

            is_there: bool = await eventually(lambda: self._answers(), timeout=20)
            assert is_there

    async def _answers(self) -> bool:
        try:
            await self.store.stored(())
        except Unavailable:
            return False
        return True

    async def accept(self, *raws: RawDelivery) -> list[Any]:
        """The results of deliveries that come together."""
        return list(await self.acceptor.accept(raws))

    async def accepted(self, *raws: RawDelivery) -> list[str]:
        """The ids of deliveries that come together, none of which is refused."""
        results = await self.accept(*raws)
        assert all(isinstance(result, Accepted) for result in results), results
        return [result.delivery_id for result in results]

    async def drain_all(self) -> None:
        """Drains step by step until nothing waits."""
        while self.spool.is_spooling:
            try:
                await self.drain.step()
            except Clash:
                await asyncio.sleep(0)

    @asynccontextmanager
    async def in_background(self) -> AsyncIterator[None]:
        """Drains beside the test, as the process does."""
        running = asyncio.create_task(self.drain.run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.wait({running})


Start = Callable[..., Awaitable[Spooling]]


def ids(results: Sequence[Any]) -> list[str]:
    """The ids that results name."""
    return [result.delivery_id for result in results]


async def titles(ingest: Any) -> list[str]:
    """The records of the cache, in the order of their ids."""
    rows = await ingest.sql("SELECT data_json FROM {cache} ORDER BY external_id")
    return [row[0] for row in rows]


async def stored(ingest: Any) -> set[str]:
    """The ids of the deliveries that the database has."""
    return {row[0] for row in await ingest.sql("SELECT delivery_id FROM {prefix}inbound_deliveries")}
