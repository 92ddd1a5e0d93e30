"""However often, in whatever order and by however many a state is applied, the target is what a plain model says.

Leases are applied again, by two workers at once, and by workers that die on the way; states come in any order; the
module whose table it is changes and deletes rows. After each step rows, links, checkpoints and what is told to audit
are held against the model.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

import fault_form
from intertie_mapper.model import Action, Ending, LeasedRecord
from mapper_rig import Rig, record, rig

KEEPS, RECREATES = 1, 2
"""The mappings: one sets aside what the module has deleted, one makes it again."""
NAMES = ("a", "b", "c")
NEWEST = 6
_WRITES = (Action.INSERT, Action.UPDATE, Action.UNCHANGED)

STATES = st.tuples(
    st.sampled_from((KEEPS, RECREATES)),
    st.sampled_from(NAMES),
    st.integers(1, NEWEST),
    st.sampled_from((False,) * 9 + (True,)),
)
LEASES = st.lists(STATES, min_size=1, max_size=4, unique_by=lambda state: state[:2])
WHICH = st.integers(0, 100)

Name = tuple[int, str]


def leased(state: tuple[int, str, int, bool], generation: int = 0) -> LeasedRecord:
    """The record of a state: every second one of a name says the same; `b` has versions; some do not fit."""
    mapping, name, revision, is_misfit = state
    data = {"title": f"{name}, {revision // 2}", "date": "no date" if is_misfit else "2026-03-01"}
    version = f"n{revision // 2}" if name == "b" else ""
    number = mapping * 1000 + NAMES.index(name) + generation * 100
    return record(name, data, id=number, revision=revision, mapping_id=mapping, version=version)


def title(one: LeasedRecord) -> str:
    """What the record says the row's title is."""
    said: str = json.loads(one.data)["title"]
    return said


@dataclass
class Row:
    """The row that a record has made, as far as the link knows it."""

    state: LeasedRecord
    title: str
    #: exchanges of the row that are there
    checkpoints: int = 0
    is_there: bool = True


@dataclass
class Target:
    """What the target must hold."""

    rows: dict[Name, Row] = field(default_factory=dict)
    told: Counter[tuple[str, int, str]] = field(default_factory=Counter)

    def expected(self, one: LeasedRecord) -> Action:
        """What is to be done with a state."""
        row = self.rows.get((one.mapping_id, one.external_id))
        if "no date" in one.data.decode():
            return Action.REFUSED
        if row is None:
            return Action.INSERT
        known = row.state
        if one.version_key != known.version_key:
            if one.version_key < known.version_key:
                return Action.SUPERSEDED
        elif known.id == one.id and one.revision < known.revision:
            return Action.SUPERSEDED
        if not row.is_there:
            return Action.INSERT if one.mapping_id == RECREATES else Action.REFUSED
        if (known.id, known.revision) == (one.id, one.revision):
            return Action.APPLIED
        return Action.UNCHANGED if row.title == title(one) else Action.UPDATE

    def apply(self, one: LeasedRecord) -> Action:
        """Does it."""
        action, name = self.expected(one), (one.mapping_id, one.external_id)
        if action is Action.INSERT:
            self.rows[name] = Row(one, title(one), 1)
        elif action in (Action.UPDATE, Action.UNCHANGED):
            self.rows[name] = Row(one, title(one), self.rows[name].checkpoints + 1)
        elif action is Action.REFUSED and name in self.rows and self.rows[name].is_there:
            self.rows[name].checkpoints += 1
        if action is not Action.APPLIED:
            self.told[one.external_id, one.revision, action] += 1
        return action

    def copy(self) -> "Target":
        """A target of its own, to try something out."""
        return Target({name: replace(row) for name, row in self.rows.items()}, Counter(self.told))


class MapperMachine(RuleBasedStateMachine):
    """Workers over one target database, and the model of it."""

    def __init__(self, runner: asyncio.Runner, mapper: Rig) -> None:
        super().__init__()
        self.runner, self.mapper = runner, mapper
        self.target = Target()
        self.leases: list[list[LeasedRecord]] = []
        self.generation = 0
        tables = ("event_integration_checkpoints", "external_record_links", "events", "mapper_outbox")
        self.do(mapper.run(*(f"DELETE FROM {{p}}{table}" for table in tables)))

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Runs what a rule asks of mapper."""
        return self.runner.run(work)

    @rule(states=LEASES)
    def apply(self, states: list[tuple[int, str, int, bool]]) -> None:
        """A worker applies a lease; newer states may have been applied before."""
        lease = [leased(state, self.generation) for state in states]
        self.leases.append(lease)
        self.applied(lease, self.do(self.mapper.land(*lease)))

    @precondition(lambda self: self.leases)
    @rule(which=WHICH)
    def apply_again(self, which: int) -> None:
        """A worker died between applying and settling, or a record is replayed."""
        lease = [one._replace(attempts=2) for one in self.leases[which % len(self.leases)]]
        self.applied(lease, self.do(self.mapper.land(*lease)))

    @rule(states=LEASES, shift=st.integers(0, 2))
    def apply_at_once(self, states: list[tuple[int, str, int, bool]], shift: int) -> None:
        """Two workers apply the same lease, or a newer one of the same records, at the same time."""
        first = [leased(state, self.generation) for state in states]
        second = [leased((*state[:2], state[2] + shift, state[3]), self.generation) for state in states]
        self.leases += [first, second]

        async def both() -> list[list[Ending]]:
            return await asyncio.gather(self.mapper.land(*first), self.mapper.land(*reversed(second)))

        done, others = self.do(both())
        for one, other, a, b in zip(first, second, done, reversed(others), strict=True):
            assert self.one_after_the_other(one, other, (a.action, b.action)), (a, b)

    def one_after_the_other(self, one: LeasedRecord, other: LeasedRecord, actions: tuple[Action, Action]) -> bool:
        """Whether two at once did what they would have done in either order; the target is then as after that one."""
        for order in (0, 1):
            tried = self.target.copy()
            did = [tried.apply(state) for state in ((one, other) if order == 0 else (other, one))]
            if tuple(did if order == 0 else reversed(did)) == actions:
                self.target = tried
                return True
        return False

    @rule(states=LEASES, steps=st.integers(0, 60))
    def die_on_the_way(self, states: list[tuple[int, str, int, bool]], steps: int) -> None:
        """A worker is stopped anywhere, and another one gets the records: what the first one did is done once."""
        lease = [leased((*state[:3], False), self.generation) for state in states]
        if any(self.target.expected(one) in (Action.REFUSED, Action.SUPERSEDED) for one in lease):
            return  # it would be told twice if it was told before
        self.leases.append(lease)

        async def dies() -> list[Ending]:
            task = asyncio.create_task(self.mapper.land(*lease))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            while self.mapper.database._running:
                await asyncio.wait(set(self.mapper.database._running))
            return await self.mapper.land(*lease)

        for one, ending in zip(lease, self.do(dies()), strict=True):
            assert ending.action in (self.target.apply(one), Action.APPLIED)

    @precondition(lambda self: self.there())
    @rule(which=WHICH)
    def module_changes_a_row(self, which: int) -> None:
        """The module edits what came; only a newer state changes it again."""
        row = self.one_of_there(which)
        self.do(self.mapper.run(f"UPDATE {{p}}events SET event_title = 'edited' WHERE id = {self.number(row)}"))
        row.title = "edited"

    @precondition(lambda self: self.there())
    @rule(which=WHICH)
    def module_deletes_a_row(self, which: int) -> None:
        """The module deletes what came, and the row's checkpoints."""
        row = self.one_of_there(which)
        number = self.number(row)
        self.do(
            self.mapper.run(
                f"DELETE FROM {{p}}event_integration_checkpoints WHERE event_id = {number}",
                f"DELETE FROM {{p}}events WHERE id = {number}",
            )
        )
        row.is_there, row.checkpoints = False, 0

    @rule()
    def records_leave_the_cache(self) -> None:
        """And come again under other numbers, with revisions that begin anew."""
        self.generation += 1

    @invariant()
    def the_target_is_the_models(self) -> None:
        """A row, a link and a confirmed checkpoint of each record; as many exchanges as states were applied."""
        rows = self.do(
            self.mapper.rows(
                "SELECT l.mapping_id, l.external_id, l.revision, l.record_id, l.version_key, e.event_title,"
                " c.sync_attempts FROM {p}external_record_links l"
                " LEFT JOIN {p}events e ON e.id = REPLACE(REPLACE(l.target_key, '{{\"id\":', ''), '}}', '') + 0"
                " LEFT JOIN {p}event_integration_checkpoints c ON c.event_id = e.id"
            )
        )
        found = {
            (row["mapping_id"], row["external_id"]): (
                row["record_id"],
                row["revision"],
                row["version_key"],
                row["event_title"],
                row["sync_attempts"] or 0,
            )
            for row in rows
        }
        assert len(found) == len(rows), "one link, one row and one checkpoint of each record"
        assert found == {
            name: (
                row.state.id,
                row.state.revision,
                row.state.version_key,
                row.title if row.is_there else None,
                row.checkpoints,
            )
            for name, row in self.target.rows.items()
        }
        there = self.do(self.mapper.rows("SELECT id FROM {p}events"))
        assert len(there) == len(self.there()), "no row that nobody's link names"

    @invariant()
    def audit_is_told_of_each_application_once(self) -> None:
        """What was found to be applied is told no second time."""
        told = Counter(_told(entry) for entry in self.do(self.mapper.audited()))
        assert told == self.target.told

    def applied(self, lease: list[LeasedRecord], endings: list[Ending]) -> None:
        """Holds what was done against the model."""
        assert [ending.action for ending in endings] == [self.target.apply(one) for one in lease]

    def there(self) -> list[Row]:
        """The rows that are there."""
        return [row for _, row in sorted(self.target.rows.items()) if row.is_there]

    def one_of_there(self, which: int) -> Row:
        """A row, chosen by a number."""
        rows = self.there()
        return rows[which % len(rows)]

    def number(self, row: Row) -> int:
        """Its key in the target."""
        (link,) = self.do(
            self.mapper.rows(
                "SELECT target_key FROM {p}external_record_links"
                f" WHERE mapping_id = {row.state.mapping_id} AND external_id = '{row.state.external_id}'"
            )
        )
        return int(json.loads(link["target_key"])["id"])


def _told(entry: Any) -> tuple[str, int, str]:
    of, became = json.loads(entry.request_payload), json.loads(entry.response_payload)
    return of["external_id"], of["revision"], Action.REFUSED if entry.status == "error" else became["action"]


@pytest.mark.timeout(3600)
def test_the_target_is_what_its_model_says(database_url: str) -> None:
    """Random histories on both databases, each checked step by step."""
    started = time.monotonic()
    opened = rig(database_url)
    with asyncio.Runner() as runner:
        mapper = runner.run(opened.__aenter__())
        for number, options in ((KEEPS, {}), (RECREATES, {"on_deleted": "recreate"})):
            mapper.map("events", {"field_mappings": {"title": "event_title", "date": "date"}, **options}, number)
        form = settings(
            max_examples=fault_form.amount("EXAMPLES", 15, 1000),
            stateful_step_count=fault_form.either(20, 50),
            phases=(Phase.reuse, Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            report_multiple_bugs=False,
        )
        try:
            run_state_machine_as_test(lambda: MapperMachine(runner, mapper), settings=form)
        finally:
            runner.run(opened.__aexit__(None, None, None))
    fault_form.publish(
        f"state machine of mapper, {mapper.database.dialect}",
        examples=form.max_examples,
        steps=form.stateful_step_count,
        seconds=round(time.monotonic() - started),
    )
