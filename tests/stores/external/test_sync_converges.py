"""A source that changes while it is read, by runs that are cancelled and killed: in the end the cache is the source."""

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from external_databases import External
from intertie_ingest.databases.databases import Databases
from intertie_ingest.databases.table_source import TableSource
from intertie_ingest.egress import Egress
from intertie_ingest.external import ExternalConnection
from intertie_ingest.pull.configuration import PullMapping
from intertie_ingest.syncs.model import Mode, Run, RunState
from intertie_ingest.syncs.source import Page, Range
from intertie_mapping.synchronisation import Synchronisation
from sync_samples import QUICK, Process, SyncRig, configuration, mapping
from waiting import eventually

ROWS_AT_FIRST = 6
PAGE = 2
_NUMBERS = itertools.count(1)

CHANGES = st.tuples(
    st.sampled_from(("insert", "update", "update", "update", "delete", "back-date", "unset")), st.integers(0, 30)
)
MEANWHILE = st.one_of(CHANGES, st.tuples(st.sampled_from(("cancel", "kill")), st.just(0)))
RUNS = st.tuples(
    st.sampled_from((Mode.INCREMENTAL, Mode.FULL)), st.lists(MEANWHILE, min_size=3, max_size=8), st.booleans()
)
SCRIPTS = st.lists(st.one_of(CHANGES, RUNS, RUNS), min_size=2, max_size=6)
CHANGED_BEHIND_AND_BEFORE = [(Mode.FULL, [("update", 0), ("update", 5)], True)]
"""A row changes that has been read, then one that has not: the larger cursor value of the two must not be kept."""
STOPPED_OVER_AND_OVER = [
    (Mode.INCREMENTAL, [("kill", 0), ("update", 5), ("kill", 0)], True),
    (Mode.INCREMENTAL, [("update", 0), ("update", 3), ("cancel", 0)], False),
    (Mode.FULL, [("delete", 5), ("kill", 0), ("back-date", 0), ("cancel", 0), ("insert", 0)], True),
]
LOOKBACKS = st.sampled_from((0, 3))


@dataclass
class Table:
    """A table of the external database: a key, a text, and a cursor that most changes move."""

    external: External
    name: str
    ticks: Iterator[int] = field(default_factory=lambda: itertools.count(10))
    made: int = 0
    #: rows whose last change the cursor does not tell
    quiet: set[int] = field(default_factory=set)

    def change(self, what: str, which: int) -> None:
        """Changes a row, chosen by a number; nothing where there is none."""
        tick, rows = next(self.ticks), self.rows()
        if what == "insert":
            self.made += 1
            key = self.made * 37 % 101  # before and behind where a run is just now
            self.external.execute(f"INSERT INTO {self.name} (id, title, n) VALUES ({key}, 'made {tick}', {tick})")
            return
        if not rows:
            return
        key = sorted(rows)[which % len(rows)]
        where = f"WHERE id = {key}"
        match what:
            case "update":
                self.external.execute(f"UPDATE {self.name} SET title = 'changed {tick}', n = {tick} {where}")
                self.quiet.discard(key)
            case "delete":
                self.external.execute(f"DELETE FROM {self.name} {where}")
            case "back-date":
                self.external.execute(f"UPDATE {self.name} SET title = 'dated {tick}', n = {tick % 7} {where}")
                self.quiet.add(key)
            case "unset":
                self.external.execute(f"UPDATE {self.name} SET title = 'undated {tick}', n = NULL {where}")
                self.quiet.discard(key)

    def rows(self) -> dict[int, dict[str, Any]]:
        """What it holds, by key."""
        found = self.external.rows(f"SELECT id, title, n FROM {self.name}")
        return {row[0]: {"id": row[0], "title": row[1], "n": row[2]} for row in found}


@dataclass
class Meddled:
    """The table as a source, in which something happens before each page that it gives."""

    inner: TableSource
    scene: "Scene"
    is_ordered: bool = True

    async def pages(self, wanted: Range, position: bytes | None) -> AsyncGenerator[Page, None]:
        """The table's pages."""
        async with aclosing(self.inner.pages(wanted, position)) as pages:
            async for page in pages:
                await self.scene.meanwhile()
                yield page


@dataclass
class Scene:
    """One example: a table, a mapping of its own, and what happens."""

    rig: SyncRig
    databases: Databases
    table: Table
    number: int
    process: Process
    script: deque[tuple[str, int]] = field(default_factory=deque)
    run_id: str = ""
    is_dying: asyncio.Event = field(default_factory=asyncio.Event)

    def source_of(self, connection: ExternalConnection, mapping: PullMapping, sync: Synchronisation) -> Meddled:
        """For engines."""
        return Meddled(TableSource(self.databases, self.table.external.reader, self.table.name, sync, "id"), self)

    async def meanwhile(self) -> None:
        """The next thing that happens while a run reads."""
        if not self.script:
            return
        what, which = self.script.popleft()
        if what == "cancel":
            await self.rig.stores.runs.request_cancel(self.run_id)
        elif what == "kill":
            self.is_dying.set()
            await asyncio.Event().wait()
        else:
            await self.change(what, which)

    async def change(self, what: str, which: int) -> None:
        """Changes the table. In a thread: what reads it, on this loop, may have to end first."""
        await asyncio.to_thread(self.table.change, what, which)

    async def sync(self, mode: Mode, script: list[tuple[str, int]], resumes: bool) -> Run:
        """A run, through what happens meanwhile; one that was cancelled is resumed, or left."""
        self.script = deque(script)
        self.run_id = (await self.rig.ask(mode, self.number)).run_id
        while True:
            run = await self._ended()
            assert run.read == run.new + run.changed + run.unchanged + run.failed
            if run.state is RunState.SUCCEEDED or not resumes:
                return run
            await self.rig.stores.runs.resume(run.run_id)
            self.process.engine.wake()

    async def _ended(self) -> Run:
        while True:
            run = await eventually(self._news, 30)
            if run.state.has_ended:
                return run
            self.is_dying.clear()
            await self.process.kill()
            await self.rig.end_leases()
            self.process = self.rig.start(QUICK, source_of=self.source_of)

    async def _news(self) -> Run | None:
        run = await self.rig.stores.runs.get(self.run_id)
        return run if run.state.has_ended or self.is_dying.is_set() else None

    async def play(self, steps: list[Any]) -> None:
        """Everything that the example says, and then what has to hold."""
        for step in steps:
            if isinstance(step[0], Mode):
                await self.sync(*step)
            else:
                await self.change(*step)
        run = await self.sync(Mode.INCREMENTAL, [], resumes=False)
        source, cached = self.table.rows(), await self.rig.cached(self.number)
        # Whatever the cursor tells of has come: no boundary, no kill and no cancel lost a row.
        told = {str(key): row for key, row in source.items() if key not in self.table.quiet}
        assert {key: cached.get(key) for key in told} == told
        run = await self.sync(Mode.FULL, [], resumes=False)
        assert run.state is RunState.SUCCEEDED
        whole = {str(key): row for key, row in source.items()}
        assert await self.rig.cached(self.number) == whole
        again = await self.sync(Mode.FULL, [], resumes=False)
        assert (again.new, again.changed, again.outdated, again.unchanged) == (0, 0, 0, len(whole))


async def play_one(rig: SyncRig, databases: Databases, external: External, lookback: int, steps: list[Any]) -> None:
    """Plays one example on a table and a mapping of its own."""
    number = next(_NUMBERS)
    name = f"incidents_{number}"
    external.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, title VARCHAR(50), n INTEGER)")
    sync = {"cursor_field": "n", "lookback_seconds": lookback, "page_size": PAGE}
    rig.config = configuration(mapping(number, name, source_table=name, sync=sync))
    rig.processes.clear()
    scene = Scene(rig, databases, Table(external, name), number, None)  # type: ignore[arg-type]
    scene.process = rig.start(QUICK, source_of=scene.source_of)
    for _ in range(ROWS_AT_FIRST):
        await scene.change("insert", 0)
    await scene.play(steps)
    await scene.process.stop()


@pytest.mark.parametrize(
    ("kind", "store", "examples"), [("sqlite", "sqlite", 8), ("mariadb", "mariadb", 1), ("postgresql", "sqlite", 1)]
)
def test_the_cache_becomes_the_source(request: pytest.FixtureRequest, kind: str, store: str, examples: int) -> None:
    """Rows inserted, updated, deleted and back-dated while runs read, are cancelled, killed and resumed."""
    external: External = request.getfixturevalue(f"{kind}_external")
    url: str = request.getfixturevalue(f"{store}_url")

    async def open_rig() -> tuple[SyncRig, Databases]:
        return await SyncRig.open(url), Databases(Egress())

    async def close_rig() -> None:
        await rig.close()
        await databases.close()

    with asyncio.Runner() as runner:
        rig, databases = runner.run(open_rig())

        @settings(
            max_examples=examples,
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        @given(LOOKBACKS, SCRIPTS)
        @example(0, CHANGED_BEHIND_AND_BEFORE)
        @example(3, STOPPED_OVER_AND_OVER)
        def plays(lookback: int, steps: list[Any]) -> None:
            runner.run(play_one(rig, databases, external, lookback, steps))

        try:
            plays()
        finally:
            runner.run(close_rig())


def test_a_run_that_dies_at_every_page_ends_all_the_same(request: pytest.FixtureRequest) -> None:
    """Each process stores one page and is killed; the cache is the source when the run has ended."""
    external: External = request.getfixturevalue("sqlite_external")

    async def plays() -> None:
        rig, databases = await SyncRig.open(request.getfixturevalue("sqlite_url")), Databases(Egress())
        steps = [(Mode.INCREMENTAL, [("update", 3), ("kill", 0)] * 4, True)]
        await play_one(rig, databases, external, 0, steps)
        await rig.close()
        await databases.close()

    asyncio.run(plays())
