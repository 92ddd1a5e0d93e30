"""The schedule: each tick becomes one run, through outages and replicas, and what was missed is said."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from intertie_chassis.errors import Unavailable
from intertie_ingest.syncs.engine import Engine
from intertie_ingest.syncs.model import Mode, Run, RunFilter, RunState, Trigger
from intertie_ingest.syncs.schedule import SPARE_TICKS, Schedule, Tick
from sync_samples import QUICK, SyncRig, configuration, mapping

DUE = datetime(2026, 1, 1, 12)


@dataclass
class Registry:
    """Gives what is due until it is taken, as registry does; it can be away."""

    due: list[Tick] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    taken: list[Tick] = field(default_factory=list)
    is_away: bool = False
    loses_answers: bool = False

    async def claim_ticks(self, taken: Sequence[Tick], most: int) -> list[Tick]:
        """As the contract says."""
        if self.is_away:
            raise Unavailable
        self.asked.append(most)
        self.taken += taken
        moments = {(tick.mapping_id, tick.due_at) for tick in taken}
        self.due = [tick for tick in self.due if (tick.mapping_id, tick.due_at) not in moments]
        if self.loses_answers:
            raise Unavailable
        return self.due[:most]


@pytest.fixture
async def rig(database_url: str) -> AsyncIterator[SyncRig]:
    """A database, and two mappings; nothing works on runs."""
    made = await SyncRig.open(database_url)
    made.config = configuration(mapping(), mapping(2, "cursored", sync={"cursor_field": "at"}))
    yield made
    await made.close()


def schedule_of(rig: SyncRig, registry: Registry) -> Schedule:
    """The schedule of one process."""
    engine = Engine(rig.stores, lambda: rig.config, rig._source_of, rig.told.neighbours, most_runs=2, pace=QUICK)
    return Schedule(registry, rig.stores.runs, engine, lambda: rig.config)


async def runs(rig: SyncRig) -> list[Run]:
    """All runs, the oldest first."""
    return (await rig.browse.runs(RunFilter(), None, 100))[::-1]


async def test_a_tick_becomes_a_run_and_is_confirmed_at_once(rig: SyncRig) -> None:
    """In the mapping's own mode; with the ticks that were missed before it."""
    registry = Registry([Tick(1, 1, DUE, missed=3), Tick(2, 1, DUE)])
    schedule = schedule_of(rig, registry)
    assert await schedule.turn() is True
    first, second = await runs(rig)
    assert (first.mode, first.trigger, first.tick_at, first.missed_ticks) == (Mode.FULL, Trigger.SCHEDULE, DUE, 3)
    assert (second.mode, second.state, second.requested_by) == (Mode.INCREMENTAL, RunState.QUEUED, "")
    assert await schedule.turn() is False
    assert (registry.due, registry.asked) == ([], [2 + SPARE_TICKS] * 2)


async def test_two_replicas_that_get_the_same_tick_make_one_run(rig: SyncRig) -> None:
    """Also when the one that was first died before it could say so."""
    registry = Registry([Tick(1, 1, DUE)])
    for _ in range(3):
        await schedule_of(rig, registry).turn()
    run = await rig.end_of((await runs(rig))[0].run_id) if rig.start() else None
    await schedule_of(rig, registry).turn()
    assert [one.run_id for one in await runs(rig)] == [run and run.run_id]


async def test_a_run_that_nobody_told_of_stands_for_no_later_tick(rig: SyncRig) -> None:
    """Its process died before it could say so; what has been missed since is not the old run's."""
    registry = Registry([Tick(1, 1, DUE, missed=1)])
    await schedule_of(rig, registry).turn()
    rig.start()
    await rig.end_of((await runs(rig))[0].run_id)
    registry.due = [Tick(1, 1, DUE, missed=9)]
    schedule = schedule_of(rig, registry)
    await schedule.turn()
    await schedule.turn()
    assert (registry.taken, len(await runs(rig))) == ([Tick(1, 1, DUE, missed=1)], 1)


async def test_a_run_that_met_a_tick_stands_for_later_ones_until_it_has_ended(rig: SyncRig) -> None:
    """Those that came while it ran are answered by it; those after its end are due themselves."""
    asked = await rig.ask()
    registry = Registry([Tick(1, 1, DUE, missed=2)])
    await schedule_of(rig, registry).turn()
    schedule = schedule_of(rig, registry)
    await schedule.turn()
    await schedule.turn()
    assert registry.taken == [Tick(1, 1, DUE, missed=2)]
    rig.start()
    await rig.end_of(asked.run_id)
    registry.due = [Tick(1, 1, DUE, missed=5)]
    schedule = schedule_of(rig, registry)
    await schedule.turn()
    await schedule.turn()
    assert registry.taken[1:] == [Tick(1, 1, DUE, missed=0)]
    assert len(await runs(rig)) == 1


async def test_a_tick_that_was_met_by_a_wrong_clock_answers_none_of_today(rig: SyncRig) -> None:
    """A clock was years ahead while somebody synced; ticks until then would be skipped without a word."""
    asked = await rig.ask()
    registry = Registry([Tick(1, 1, datetime(2037, 1, 1))])
    await schedule_of(rig, registry).turn()
    rig.start()
    await rig.end_of(asked.run_id)
    registry.due = [Tick(1, 1, DUE)]
    await schedule_of(rig, registry).turn()
    assert [run.tick_at for run in await runs(rig)] == [None, DUE]


async def test_a_tick_that_meets_a_run_is_taken_and_makes_no_second_one(rig: SyncRig) -> None:
    """The mapping is being synced, which is what the tick asks for."""
    asked = await rig.ask()
    registry = Registry([Tick(1, 1, DUE)])
    schedule = schedule_of(rig, registry)
    await schedule.turn()
    await schedule.turn()
    assert ([one.run_id for one in await runs(rig)], registry.due) == ([asked.run_id], [])


async def test_an_outage_delays_ticks_and_loses_none(rig: SyncRig) -> None:
    """What was confirmed into the void is confirmed again."""
    registry = Registry([Tick(1, 1, DUE)], is_away=True)
    schedule = schedule_of(rig, registry)
    assert await schedule.turn() is False
    registry.is_away = False
    assert await schedule.turn() is True
    registry.loses_answers = True
    assert await schedule.turn() is False
    registry.loses_answers = False
    await schedule.turn()
    assert (len(registry.taken), registry.due, len(await runs(rig))) == (2, [], 1)


async def test_a_mapping_that_is_not_known_yet_keeps_its_tick_and_holds_nobody_up(rig: SyncRig) -> None:
    """It is taken up when the configuration has come."""
    ticks = [Tick(number, 1, DUE - timedelta(hours=number)) for number in range(10, 10 + 2 + SPARE_TICKS)]
    registry = Registry([*ticks, Tick(1, 1, DUE)])
    schedule = schedule_of(rig, registry)
    await schedule.turn()
    assert (await runs(rig), registry.taken) == ([], [])
    await schedule.turn()
    assert [run.mapping_id for run in await runs(rig)] == [1]
    rig.config = configuration(mapping(), mapping(10, "tenth"))
    await schedule.turn()
    assert [run.mapping_id for run in await runs(rig)] == [1, 10]


async def test_no_tick_is_asked_for_without_a_free_slot(rig: SyncRig) -> None:
    """Those of other processes may have one; what has been taken is still confirmed."""
    registry = Registry([Tick(1, 1, DUE)])
    engine = Engine(rig.stores, lambda: rig.config, rig._source_of, rig.told.neighbours, most_runs=0, pace=QUICK)
    schedule = Schedule(registry, rig.stores.runs, engine, lambda: rig.config)
    await schedule.turn()
    assert (registry.asked, len(registry.due), await runs(rig)) == ([0], 1, [])
