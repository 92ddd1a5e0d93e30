"""Whatever happens in whatever order, the cache, the queue and the endings are what a plain model of them says.

Deliveries come, repeat and overtake each other; workers lease, settle, come too late and die; another application
writes; mappings are switched off and on; what is old is forgotten. After each step all that is stored is held against
the model, and at the end a worker that makes no mistakes, but dies of a poisonous record, empties the queue.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

import fault_form
import ingest_model
from ingest_checked import Checked
from ingest_samples import configuration, mapping, system
from intertie_ingest.configuration import Configuration
from intertie_ingest.lease_model import Outcome

Open = Callable[[Configuration], Awaitable[Any]]

PLAIN, VERSIONED, EVERY, HOURLY = 1, 2, 3, 4
MAPPINGS = {
    PLAIN: {"filter": "$contains(to, 'p')"},
    VERSIONED: {"filter": "$contains(to, 'v')", "version_field": "v"},
    EVERY: {"filter": "$contains(to, 'e')", "apply": "every"},
    HOURLY: {"filter": "$contains(to, 'h')"},
}
POISON = 0

RECORDS = st.fixed_dictionaries(
    {
        "id": st.sampled_from((POISON, 1, 2)),
        "v": st.sampled_from((1, 2, 3, "no version")),
        "to": st.sampled_from(("p", "v", "v", "pv", "e", "h", "none")),
        "x": st.integers(0, 1),
    }
)
BODIES = st.one_of(
    RECORDS,
    RECORDS,
    st.lists(RECORDS, min_size=2, max_size=3),
    st.builds(lambda record: {**record, "id": None}, RECORDS),
)
GROUPS = st.lists(st.tuples(BODIES, st.sampled_from((None, None, None, "k", "l"))), min_size=1, max_size=3)
OUTCOMES = st.lists(st.sampled_from((*Outcome, Outcome.SYNCED)), min_size=1, max_size=4)
WHICH = st.integers(0, 100)


def configured(off: frozenset[int] = frozenset()) -> Configuration:
    """The system with these of its mappings switched off."""
    mappings = [
        mapping(
            number,
            f"mapping_{number}",
            is_active=number not in off,
            frequency="hourly" if number == HOURLY else "realtime",
            **options,
        )
        for number, options in MAPPINGS.items()
    ]
    return configuration(system(*mappings))


class IngestMachine(RuleBasedStateMachine):
    """What may happen to one installation."""

    def __init__(self, runner: asyncio.Runner, ingest: Any) -> None:
        super().__init__()
        self.runner = runner
        self.checked = Checked(ingest, configured())
        self.off: frozenset[int] = frozenset()
        self.do(self.checked.empty())

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Runs what a rule asks of the stores."""
        return self.runner.run(work)

    @rule(sent=GROUPS)
    def deliver(self, sent: list[tuple[Any, str | None]]) -> None:
        """A group arrives: with and without keys and ids, arrays, for several mappings or none, old versions, again."""
        self.do(self.checked.deliver(sent))

    @precondition(lambda self: self.checked.model.records)
    @rule(which=WHICH)
    def another_application_writes(self, which: int) -> None:
        """Over any record, whatever is being done with it."""
        records = sorted(self.checked.model.records.items())
        self.do(self.checked.overwrite(records[which % len(records)][1]))

    @rule(most=st.sampled_from((1, 2, 10)), solo_first=st.booleans())
    def lease(self, most: int, solo_first: bool) -> None:
        """A worker asks for records."""
        self.do(self.checked.lease(most, solo_first=solo_first))

    @precondition(lambda self: self.checked.leases)
    @rule(which=WHICH, outcomes=OUTCOMES)
    def settle(self, which: int, outcomes: list[Outcome]) -> None:
        """A worker says what became of its records, in time or too late, perhaps for the second time."""
        lease = self.checked.leases[which % len(self.checked.leases)]
        said = [outcomes[index % len(outcomes)] for index in range(len(lease.records))]
        self.do(self.checked.settle(lease, said))

    @precondition(lambda self: self.checked.held())
    @rule(which=WHICH, has_applied=st.booleans())
    def a_worker_dies(self, which: int, has_applied: bool) -> None:
        """Before or after it has applied what it holds."""
        held = self.checked.held()
        lease = held[which % len(held)]
        if has_applied:
            self.checked.apply(lease)
        self.do(self.checked.die(lease))

    @precondition(lambda self: self.checked.leases)
    @rule(which=WHICH)
    def extend(self, which: int) -> None:
        """A worker goes on."""
        self.do(self.checked.extend(self.checked.leases[which % len(self.checked.leases)]))

    @rule()
    def retries_fall_due(self) -> None:
        """Time passes."""
        self.do(self.checked.let_retries_fall_due())

    @rule(is_waiting=st.booleans())
    def replay(self, is_waiting: bool) -> None:
        """An operator replays what is set aside, or a tick releases what waits."""
        self.do(self.checked.replay(is_waiting=is_waiting))

    @rule(number=st.sampled_from(tuple(MAPPINGS)))
    def switch_a_mapping(self, number: int) -> None:
        """Off, so that its records are held when they are met; or on, so that they are handed out by themselves."""
        self.off ^= {number}
        self.do(self.checked.configure(configured(self.off)))

    @rule(days=st.sampled_from((31, 401)))
    def forget(self, days: int) -> None:
        """Retention makes its round."""
        self.do(self.checked.forget(days))

    @invariant()
    def the_cache_is_the_models(self) -> None:
        """States and queue."""
        self.do(self.checked.check_cache())

    @invariant()
    def every_delivery_stands_as_it_should(self) -> None:
        """Endings."""
        self.do(self.checked.check_deliveries())

    def teardown(self) -> None:
        """Everything ends."""
        self.do(self.drain())

    async def drain(self) -> None:
        """A worker that dies of poison alone empties the queue; neighbours of poison are not set aside with it."""
        checked = self.checked
        await checked.configure(configured())
        await checked.replay(is_waiting=True)
        for lease in checked.held():
            await checked.die(lease)
        await checked.let_retries_fall_due()
        pending = {name: one for name, one in checked.model.records.items() if one.state == ingest_model.PENDING}
        unharmed = [name for name, one in pending.items() if not one.crashes and not (one.is_solo and one.token)]
        until = time.monotonic() + 60
        while (lease := await checked.lease(10)) is not None:
            assert time.monotonic() < until, "the queue does not end"
            if any(_is_poison(one.external_id) for one in lease.records):
                await checked.die(lease)
            else:
                await checked.settle(lease, [Outcome.SYNCED] * len(lease.records))
            await checked.check_cache()
        rows = await checked.rows()
        assert not [name for name, row in rows.items() if row.sync_status == "pending"]
        for name in unharmed:
            ended = (rows[name].sync_status, rows[name].error_reason)
            assert ended == (("error", "crashed") if _is_poison(name[1]) else ("synced", None))
        await checked.check_deliveries()
        await checked.check_target()
        await checked.check_audit()


def _is_poison(external_id: str) -> bool:
    return external_id.partition("@")[0] == str(POISON)


@pytest.mark.timeout(3600)
def test_stores_of_ingest_are_what_their_model_says(open_ingest: Open) -> None:
    """Random histories on both databases, each checked step by step and drained at its end."""
    started = time.monotonic()
    with asyncio.Runner() as runner:
        ingest = runner.run(open_ingest(configured()))  # type: ignore[arg-type]
        form = settings(
            max_examples=fault_form.amount("EXAMPLES", 20, 1000),
            stateful_step_count=fault_form.either(25, 50),
            phases=(Phase.reuse, Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            report_multiple_bugs=False,
        )
        try:
            run_state_machine_as_test(lambda: IngestMachine(runner, ingest), settings=form)
        finally:
            runner.run(ingest.database.close())
    fault_form.publish(
        f"state machine of ingest, {ingest.database.dialect}",
        examples=form.max_examples,
        steps=form.stateful_step_count,
        seconds=round(time.monotonic() - started),
    )
