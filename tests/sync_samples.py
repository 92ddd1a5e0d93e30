"""What tests of syncs are made of: systems to read, sources that a test writes to, and engines on real stores."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import text

from intertie_chassis.database import Database
from intertie_chassis.outbox import Outbox
from intertie_ingest.configuration import StoredConnection, StoredGrant, StoredMapping, StoredSystem
from intertie_ingest.external import ExternalConnection
from intertie_ingest.migrations import MIGRATIONS
from intertie_ingest.pull.configuration import PullConfiguration, PullMapping, compile_pull_system
from intertie_ingest.syncs.cursor_store import CursorStore
from intertie_ingest.syncs.cursors import CursorValue
from intertie_ingest.syncs.engine import Engine
from intertie_ingest.syncs.entry_convert import entry_of_run
from intertie_ingest.syncs.model import Mode, NewRun, Run, Trigger
from intertie_ingest.syncs.page_store import PageStore
from intertie_ingest.syncs.run_browse_store import RunBrowseStore
from intertie_ingest.syncs.run_lease import Pace
from intertie_ingest.syncs.run_store import RunStore
from intertie_ingest.syncs.runner import Neighbours
from intertie_ingest.syncs.settling_store import SettlingStore
from intertie_ingest.syncs.source import Page, Range, Source
from intertie_ingest.syncs.sources import SourceOf
from intertie_ingest.syncs.stores import Stores
from intertie_ingest.tables import Tables
from intertie_mapping.synchronisation import Synchronisation
from waiting import eventually

PREFIX = "t_"
DATABASE = StoredConnection(1, True, b"", connection_type="database", db_driver="sqlite", db_name="/source.db")
API = StoredConnection(2, True, b"", connection_type="rest", api_base_url="https://api.test/v1")

QUICK = Pace(lease=30, look=0.02, settle=0.0, first_pause=0.0, longest_pause=0.0)
"""Waits for nobody: nothing in these tests maps the records."""


def mapping(number: int = 1, name: str = "incidents", *, source_table: str = "incidents", **options: Any) -> Any:
    """A mapping that reads `incidents`; `options` are added to its configuration."""
    config = {"field_mappings": {"title": "event_title"}, **options}
    is_active = config.pop("is_active", True)
    frequency = config.pop("frequency", "hourly")
    return StoredMapping(number, name, is_active, frequency, json.dumps(config).encode(), source_table)


def configuration(
    *mappings: StoredMapping,
    connections: Sequence[StoredConnection] = (DATABASE,),
    grants: Sequence[StoredGrant] = (),
    is_active: bool = True,
) -> PullConfiguration:
    """One system, `police`, with these mappings."""
    system = StoredSystem(1, "police", is_active, tuple(connections), mappings or (mapping(),), tuple(grants))
    return PullConfiguration.of([compile_pull_system(system)])


def record(number: int, **values: Any) -> bytes:
    """A record as a source gives it."""
    return json.dumps({"id": number, "title": f"incident {number}", **values}).encode()


@dataclass
class ListSource:
    """A source of records that a test writes down, ordered, in pages; it can be stopped and made to fail."""

    records: list[bytes] = field(default_factory=list)
    page_size: int = 2
    is_ordered: bool = True
    #: cursor value to keep with each page, by its number; without it none is kept
    cursors: dict[int, CursorValue] = field(default_factory=dict)
    #: raised instead of the page of this number, one each time, as long as there are some
    faults: dict[int, list[Exception]] = field(default_factory=dict)
    #: waited for before the page of this number
    gates: dict[int, asyncio.Event] = field(default_factory=dict)
    #: what was asked for: range and first page of each time that it was opened
    opened: list[tuple[Range, int]] = field(default_factory=list)
    closed: int = 0
    #: the pages asked for
    asked: list[int] = field(default_factory=list)

    async def pages(self, wanted: Range, position: bytes | None) -> AsyncGenerator[Page, None]:
        """The pages behind a position, which is the number of the next one."""
        number = 0 if position is None else json.loads(position)
        self.opened.append((wanted, number))
        try:
            while True:
                self.asked.append(number)
                if number in self.gates:
                    await self.gates[number].wait()
                if self.faults.get(number):
                    raise self.faults[number].pop(0)
                start = number * self.page_size
                records = self.records[start : start + self.page_size]
                is_last = start + self.page_size >= len(self.records)
                yield Page(records, json.dumps(number + 1).encode(), self.cursors.get(number), is_last)
                if is_last:
                    return
                number += 1
        finally:
            self.closed += 1


@dataclass
class Told:
    """What a run told its neighbours."""

    announced: list[int] = field(default_factory=list)
    reported: list[tuple[int, bool]] = field(default_factory=list)

    @property
    def neighbours(self) -> Neighbours:
        """What remembers instead of telling."""
        return Neighbours(self.announced.append, self._report, entry_of_run)

    def _report(self, mapping_id: int, finished_at: datetime, is_scheduled: bool) -> None:
        self.reported.append((mapping_id, is_scheduled))


@dataclass
class Process:
    """An engine, as one process of pull has it."""

    engine: Engine
    task: asyncio.Task[None]

    async def stop(self) -> None:
        """Stops as a process does that is told to."""
        self.task.cancel()
        await asyncio.wait({self.task})
        await self.engine.stop()

    async def kill(self) -> None:
        """Dies: nothing that was begun is put back or ended. What the database has been given it commits."""
        tasks = [self.task, *self.engine.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@dataclass
class SyncRig:
    """Runs, pages and cursors in one database, and engines that work on them."""

    database: Database
    tables: Tables
    stores: Stores
    browse: RunBrowseStore
    config: PullConfiguration = field(default_factory=configuration)
    source: Any = field(default_factory=ListSource)
    told: Told = field(default_factory=Told)
    processes: list[Process] = field(default_factory=list)

    @classmethod
    async def open(cls, url: str) -> "SyncRig":
        """Opens the database and makes its tables."""
        database = await Database.open(url, table_prefix=PREFIX)
        await MIGRATIONS.upgrade(database, PREFIX)
        tables = Tables.named(PREFIX)
        outbox = Outbox(database, tables.outbox)
        stores = Stores(
            RunStore(database, tables, outbox),
            PageStore(database, tables),
            SettlingStore(database, tables),
            CursorStore(database, tables),
        )
        return cls(database, tables, stores, RunBrowseStore(database, tables))

    async def close(self) -> None:
        """Kills what works still, and closes the database."""
        for process in self.processes:
            await process.kill()
        await self.database.close()

    def start(self, pace: Pace = QUICK, *, most_runs: int = 4, source_of: SourceOf | None = None) -> Process:
        """A process that works on runs until it is stopped, or the test ends."""
        engine = Engine(
            self.stores,
            lambda: self.config,
            source_of or self._source_of,
            self.told.neighbours,
            most_runs=most_runs,
            pace=pace,
        )
        process = Process(engine, asyncio.create_task(engine.run()))
        self.processes.append(process)
        return process

    def _source_of(self, connection: ExternalConnection, mapping: PullMapping, sync: Synchronisation) -> Source:
        made: Source = self.source
        return made

    async def ask(self, mode: Mode = Mode.FULL, number: int = 1, **values: Any) -> Run:
        """A new run of a mapping."""
        run, _ = await self.stores.runs.create(NewRun(1, number, mode, Trigger.MANUAL, "tester", **values))
        for process in self.processes:
            process.engine.wake()
        return run

    async def sync(self, mode: Mode = Mode.FULL, number: int = 1, **values: Any) -> Run:
        """A new run, when it has ended; by a process of its own where there is none."""
        if all(process.task.done() for process in self.processes):
            self.start()
        return await self.end_of((await self.ask(mode, number, **values)).run_id)

    async def end_of(self, run_id: str) -> Run:
        """The run, when it has ended."""
        return await self.until(run_id, lambda run: run.state.has_ended)

    async def until(self, run_id: str, holds: Callable[[Run], object]) -> Run:
        """The run, when something holds of it."""
        found: list[Run] = []

        async def is_so() -> bool:
            found.append(await self.stores.runs.get(run_id))
            return bool(holds(found[-1]))

        await eventually(is_so, 30)  # type: ignore[arg-type]
        return found[-1]

    async def sql(self, statement: str, **values: Any) -> list[Any]:
        """Runs a statement of the test's own."""

        async def work(connection: Any) -> list[Any]:
            result = await connection.execute(text(statement.format(prefix=PREFIX)), values)
            return list(result.all()) if result.returns_rows else []

        return await self.database.transaction(work)

    async def end_leases(self) -> None:
        """Makes every lease of a run end now, as its time would."""
        await self.sql(
            "UPDATE {prefix}sync_runs SET available_at = '2020-01-01 00:00:00' WHERE available_at IS NOT NULL"
        )

    async def cached(self, number: int = 1) -> dict[str, Any]:
        """The data of the mapping's records in the cache that are not outdated, by external id."""
        rows = await self.sql(
            "SELECT external_id, data_json FROM {prefix}external_data_cache "
            "WHERE mapping_id = :number AND sync_status <> 'outdated'",
            number=number,
        )
        return {row[0]: json.loads(row[1]) for row in rows}
