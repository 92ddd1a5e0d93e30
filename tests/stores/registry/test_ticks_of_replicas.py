"""Ticks between two registries and two pulls that die, stall and have wrong clocks: none runs twice, none is lost.

A tick has gone by once registry waits for a later one of its grid. By then it has a run, was met by one, or audit was
told that it was missed; whichever it was, it has one run at most.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from intertie.audit.v1 import audit_pb2
from intertie_chassis.database import Database
from intertie_chassis.errors import Unavailable
from intertie_ingest.syncs.engine import Engine
from intertie_ingest.syncs.model import RunState
from intertie_ingest.syncs.schedule import Schedule, Tick
from intertie_registry import ticks
from intertie_registry.migrations import MIGRATIONS
from intertie_registry.model import Actor, Mapping, System
from intertie_registry.stores import Stores
from suite import PREFIX
from sync_samples import PREFIX as SYNCS
from sync_samples import QUICK, SyncRig, configuration, mapping

EXAMPLES = 12
BEGIN = datetime(2026, 3, 28, 12)  # clocks go forward the night after, in places that are not UTC
PULL = Actor("service:pull", "request-1")
FREQUENCIES = {1: "hourly", 2: "daily"}
NUMBERS = st.sampled_from(tuple(FREQUENCIES))
WHICH = st.sampled_from((0, 1))
SAID = re.compile(r"missed (?:at|from (\S+)Z to) (\S+)Z;")


class Machine(RuleBasedStateMachine):
    """One database with three mappings; `begin` makes it."""

    runner: asyncio.Runner
    rig: SyncRig
    stores: Stores

    def __init__(self) -> None:
        super().__init__()
        self.now = BEGIN
        #: how wrong the clock of each registry is
        self.wrong = [timedelta(0), timedelta(0)]
        self.pulls = [self.pull(), self.pull()]
        #: ticks by mapping that registry waits for no more, and which of them it was told to have a run
        self.gone: set[tuple[int, datetime]] = set()
        self.taken: set[tuple[int, datetime]] = set()
        self.by_hand: set[tuple[int, datetime]] = set()

    def do(self, work: Any) -> Any:
        """Runs it to its end."""
        return self.runner.run(work)

    @initialize(minutes=st.sampled_from((None, -300, -30, 30)))
    def all_is_as_it_was_made(self, minutes: int | None) -> None:
        """Mappings that had no tick yet, or wait for one that has passed, or that comes."""
        self.do(self.reset(None if minutes is None else BEGIN + timedelta(minutes=minutes)))

    async def reset(self, next_at: datetime | None) -> None:
        async with self.rig.database._writer.begin() as connection:
            for table in (f"{SYNCS}sync_runs", f"{PREFIX}registry_outbox"):
                await connection.exec_driver_sql(f"DELETE FROM {table}")
            waits = "NULL" if next_at is None else f"'{next_at}'"
            await connection.exec_driver_sql(
                f"UPDATE {PREFIX}external_data_mappings "
                f"SET next_sync_at = {waits}, last_sync_at = NULL, updated_at = '{BEGIN - timedelta(hours=6)}'"
            )

    def pull(self) -> "Pull":
        """A process that has just started."""
        return Pull(self)

    def clock(self, registry: int) -> datetime:
        """What a registry takes for now."""
        return self.now + self.wrong[registry]

    @rule(seconds=st.integers(1, 7200) | st.sampled_from((3600, 4 * 3600, 86_400, 4 * 86_400)))
    def time_passes(self, seconds: int) -> None:
        """For all."""
        self.now += timedelta(seconds=seconds)

    @rule(registry=WHICH, minutes=st.sampled_from((-60, -14, 0, 60)))
    def a_clock_steps(self, registry: int, minutes: int) -> None:
        """Of one registry's machine, by an hour, less, or back to right."""
        self.wrong[registry] = timedelta(minutes=minutes)

    @rule(pull=WHICH, registry=WHICH, fails=st.sampled_from(("before", "after", "stale")))
    def a_call_fails(self, pull: int, registry: int, fails: str) -> None:
        """Registry dies before it has changed anything, or before its answer; or the answer is an old one."""
        self.do(self.pulls[pull].asks(registry, fails))

    @rule(pull=WHICH, registry=WHICH, is_confirmed=st.booleans())
    def a_pull_asks(self, pull: int, registry: int, is_confirmed: bool) -> None:
        """It makes runs, and tells of them at once unless it is held up."""
        for _ in range(1 + is_confirmed):
            self.do(self.pulls[pull].asks(registry, ""))

    @rule(pull=WHICH)
    def a_pull_dies(self, pull: int) -> None:
        """Whatever it had made and not told of yet."""
        self.pulls[pull] = self.pull()

    @rule(number=NUMBERS)
    def a_run_ends(self, number: int) -> None:
        """If the mapping has one."""
        self.do(self.end(number))

    @rule(number=NUMBERS)
    def somebody_syncs(self, number: int) -> None:
        """Until it ends ticks meet it."""
        self.do(self.rig.ask(number=number))

    @rule(number=NUMBERS, registry=WHICH, late=st.sampled_from((0, 30, 4000, 90_000)))
    def a_sync_by_hand_is_reported(self, number: int, registry: int, late: int) -> None:
        """At once, or after an outage. Of the ticks before its end it stands for the one that was due."""
        now = self.clock(registry)
        finished, due = now - timedelta(seconds=late), self.do(self.waits())[number]
        report = self.stores.reports.synced(number, finished, now, PULL, is_scheduled=False)
        self.do(self.watched(report, registry=registry))
        if due is not None and due <= finished:
            self.by_hand.add((number, due))

    async def end(self, number: int) -> None:
        await self.rig.end_leases()
        for claim in await self.rig.stores.runs.claim(10, 30):
            if claim.run.mapping_id == number:
                await self.rig.stores.runs.finish(claim.run.run_id, claim.token, RunState.SUCCEEDED)
            else:
                await self.rig.stores.runs.put_back(claim.run.run_id, claim.token)

    async def waits(self) -> dict[int, datetime | None]:
        """What registry waits for."""
        return {number: (await self.stores.mappings.get(number)).next_sync_at for number in FREQUENCIES}

    async def watched(self, work: Any, taken: Sequence[ticks.Tick] = (), registry: int = 0) -> None:
        """Does what may move ticks, and notes which have gone by."""
        before = await self.waits()
        await work
        for number, after in (await self.waits()).items():
            at, period = before[number], ticks.PERIODS[FREQUENCIES[number]]
            if at is None or after is None or at == after:
                continue
            if ticks.is_astray(at, period, self.clock(registry)):
                continue  # it waited for a time that no clock has shown yet
            while at < after and at <= self.clock(registry):
                self.gone.add((number, at))
                at += period
        self.taken |= {(tick.mapping_id, tick.due_at) for tick in taken} & self.gone

    @invariant()
    def none_runs_twice_and_none_is_lost(self) -> None:
        """What has gone by was run, met, or missed and told; what was taken was run or met."""
        rows = self.do(self.runs())
        own = Counter((number, _moment(at)) for number, at, _ in rows if at is not None)
        met = [(number, _moment(at)) for number, _, at in rows if at is not None]
        assert not [tick for tick, count in own.items() if count > 1], "runs twice"

        def is_done(tick: tuple[int, datetime]) -> bool:
            return tick in own or any(number == tick[0] and at >= tick[1] for number, at in met)

        assert all(is_done(tick) for tick in self.taken), "taken without a run"
        unknown = {tick for tick in self.gone - self.by_hand if not is_done(tick)}
        assert not unknown or unknown <= self.do(self.told()), "gone by without a word"

    async def runs(self) -> list[Any]:
        """Of each run its mapping, its tick, and the last that it met."""
        async with self.rig.database.read() as connection:
            found = await connection.exec_driver_sql(f"SELECT mapping_id, tick_at, met_tick_at FROM {SYNCS}sync_runs")
            return list(found.all())

    async def told(self) -> set[tuple[int, datetime]]:
        """Which ticks audit was told to be missed."""
        async with self.rig.database.read() as connection:
            rows = await connection.exec_driver_sql(f"SELECT payload FROM {PREFIX}registry_outbox")
            requests = [audit_pb2.AppendEntriesRequest.FromString(bytes(row.payload)) for row in rows]
        found: set[tuple[int, datetime]] = set()
        for entry in (entry for request in requests for entry in request.entries if entry.query_type == "sync"):
            number = int(entry.query_string.rpartition(" ")[2])
            said = SAID.search(entry.error_message)
            assert said is not None
            period = ticks.PERIODS[FREQUENCIES[number]]
            last = datetime.fromisoformat(said[2])
            at = datetime.fromisoformat(said[1]) if said[1] else last
            while at <= last:
                found.add((number, at))
                at += period
        return found


class Pull:
    """A process of pull, and its line to the registries."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.rig = machine, machine.rig
        engine = Engine(
            self.rig.stores, lambda: self.rig.config, self.rig._source_of, self.rig.told.neighbours, pace=QUICK
        )
        self.schedule = Schedule(self, self.rig.stores.runs, engine, lambda: self.rig.config)
        self.registry, self.fails = 0, ""
        self.heard: list[Tick] = []

    async def asks(self, registry: int, fails: str) -> None:
        """One question of the schedule's."""
        self.registry, self.fails = registry, fails
        await self.schedule.turn()

    async def claim_ticks(self, taken: Sequence[Tick], most: int) -> list[Tick]:
        """As registry's service does it, in two steps that may be the last."""
        machine, now = self.machine, self.machine.clock(self.registry)
        if self.fails == "before":
            raise Unavailable
        told = [ticks.Tick(one.mapping_id, one.system_id, one.due_at, passed_over=one.missed) for one in taken]
        await machine.watched(machine.stores.ticks.take(told, now, PULL), told, self.registry)
        found = await machine.stores.ticks.due(most, now)
        if self.fails == "after":
            raise Unavailable
        answer = [Tick(one.mapping_id, one.system_id, one.due_at, one.missed) for one in found]
        if self.fails == "stale":
            return self.heard
        self.heard = answer
        return answer


def test_each_tick_has_one_run_at_most_and_none_is_lost(database_url: str) -> None:
    """Whatever dies between two steps, whatever the clocks show."""
    with asyncio.Runner() as runner:
        database, rig = runner.run(opened(database_url))
        made = {"runner": runner, "rig": rig, "stores": Stores.on(database, PREFIX)}
        machine = type("Opened", (Machine,), made)
        try:
            run_state_machine_as_test(machine, settings=settings(max_examples=EXAMPLES, stateful_step_count=25))
        finally:
            runner.run(rig.close())
            runner.run(database.close())


async def opened(database_url: str) -> tuple[Database, SyncRig]:
    """The tables of registry, with a mapping of each frequency, and those of syncs."""
    database = await Database.open(database_url, table_prefix=PREFIX)
    await MIGRATIONS.upgrade(database, PREFIX)
    stores = Stores.on(database, PREFIX)
    await stores.systems.create(System(0, "police"), PULL)
    for number, frequency in FREQUENCIES.items():
        config = '{"field_mappings": {"a": "b"}}'
        made = await stores.mappings.create(
            Mapping(0, 0, f"m{number}", "events", config, system="police", sync_frequency=frequency), PULL
        )
        assert made.id == number
    rig = await SyncRig.open(database_url)
    rig.config = configuration(*(mapping(number, f"m{number}") for number in FREQUENCIES))
    return database, rig


def _moment(value: Any) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)
