"""Runs on both stores: one a mapping, one a tick; leased, fenced, cancelled, resumed, and forgotten."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from intertie_chassis.clock import utc_now
from intertie_ingest.errors import RunLost, RunNotFound, RunState
from intertie_ingest.model import Fault
from intertie_ingest.syncs.cursors import CursorValue
from intertie_ingest.syncs.model import (
    MOST_CRASHES,
    Mode,
    PageFailure,
    RunFilter,
    Signal,
    Trigger,
)
from intertie_ingest.syncs.model import RunState as State
from page_samples import Syncs, new_run, page, record

TICK = datetime(2026, 1, 1, 12)


@pytest.fixture
def syncs(ingest: Any) -> Syncs:
    """The stores on the test's database."""
    return Syncs.on(ingest.database, ingest.tables)


async def end_leases(ingest: Any) -> None:
    await ingest.sql("UPDATE {prefix}sync_runs SET available_at = '2020-01-01' WHERE available_at IS NOT NULL")


async def test_a_run_says_what_it_was_asked_for(syncs: Syncs) -> None:
    """From asking to its end."""
    asked = new_run(Mode.BACKFILL, range_from="2025-01-01", range_to="ü", missed_ticks=3)
    run, is_new = await syncs.runs.create(asked)
    assert is_new
    assert (run.mode, run.trigger, run.requested_by, run.state) == (
        Mode.BACKFILL,
        Trigger.MANUAL,
        "somebody",
        State.QUEUED,
    )
    assert (run.range_from, run.range_to, run.missed_ticks, run.position) == ("2025-01-01", "ü", 3, None)
    assert run.started_at is None
    assert await syncs.runs.get(run.run_id) == run
    (claim,) = await syncs.runs.claim(5, 60)
    assert (claim.run.state, claim.run.run_id) == (State.RUNNING, run.run_id)
    assert claim.run.started_at is not None
    assert (await syncs.runs.begin_settling(run.run_id, claim.token)).state is State.SETTLING
    ended = await syncs.runs.finish(run.run_id, claim.token, State.FAILED, "AWAY", "it was away" * 1000, b"entry")
    assert ended == await syncs.runs.get(run.run_id)
    assert (ended.state, ended.error_reason, ended.error_message[:11]) == (State.FAILED, "AWAY", "it was away")
    assert ended.finished_at is not None
    with pytest.raises(RunNotFound):
        await syncs.runs.get("01ARZ3NDEKTSV4RRFFQ69G5FAV")


async def test_the_end_and_its_audit_are_one(ingest: Any, syncs: Syncs) -> None:
    """A worker that lost the run writes neither."""
    claim = await syncs.begin()
    with pytest.raises(RunLost):
        await syncs.runs.finish(claim.run.run_id, "another", State.SUCCEEDED, entry=b"entry")
    assert await ingest.count("ingest_outbox") == 0
    await syncs.runs.finish(claim.run.run_id, claim.token, State.SUCCEEDED, entry=b"entry")
    assert await ingest.count("ingest_outbox") == 1
    with pytest.raises(RunLost):
        await syncs.runs.finish(claim.run.run_id, claim.token, State.FAILED, entry=b"entry")
    assert await ingest.count("ingest_outbox") == 1


async def test_a_mapping_has_one_run_and_a_tick_too(syncs: Syncs) -> None:
    """A tick that meets a run is answered by it, also after that has ended; the next one runs."""
    first, _ = await syncs.runs.create(new_run())
    assert await syncs.runs.create(new_run()) == (first, False)
    other, is_new = await syncs.runs.create(new_run(mapping_id=2))
    assert is_new
    met, is_new = await syncs.runs.create(new_run(tick_at=TICK, trigger=Trigger.SCHEDULE))
    assert (met.run_id, is_new) == (first.run_id, False)
    for claim in await syncs.runs.claim(5, 60):
        await syncs.runs.finish(claim.run.run_id, claim.token, State.SUCCEEDED)
    again, is_new = await syncs.runs.create(new_run(tick_at=TICK, trigger=Trigger.SCHEDULE))
    assert (again.run_id, is_new) == (first.run_id, False)
    second, is_new = await syncs.runs.create(new_run(tick_at=TICK + timedelta(hours=1), trigger=Trigger.SCHEDULE))
    assert is_new
    assert second.tick_at == TICK + timedelta(hours=1)
    (claim,) = await syncs.runs.claim(5, 60)
    await syncs.runs.finish(second.run_id, claim.token, State.SUCCEEDED)
    late, is_new = await syncs.runs.create(new_run(tick_at=TICK + timedelta(hours=1), trigger=Trigger.SCHEDULE))
    assert (late.run_id, is_new) == (second.run_id, False)
    assert other.run_id != first.run_id


async def test_many_ask_at_once_and_one_run_is_made(ingest: Any, make_ingest: Any) -> None:
    """Replicas that have the same tick, and an operator beside them."""
    other = await make_ingest(ingest.config)
    both = [Syncs.on(one.database, one.tables) for one in (ingest, other)]
    asked = [new_run(tick_at=TICK), new_run(), new_run(tick_at=TICK)]
    made = await asyncio.gather(*(one.runs.create(asked[number % 3]) for number in range(12) for one in both))
    assert len({run.run_id for run, _ in made}) == 1
    assert sum(is_new for _, is_new in made) == 1
    assert await ingest.count("sync_runs") == 1


async def test_claimers_share_the_runs(ingest: Any, make_ingest: Any) -> None:
    """No run twice, none left."""
    other = await make_ingest(ingest.config)
    both = [Syncs.on(one.database, one.tables) for one in (ingest, other)]
    for number in range(1, 13):
        await both[0].runs.create(new_run(mapping_id=number))
    claimed = await asyncio.gather(*(one.runs.claim(3, 60) for _ in range(4) for one in both))
    ids = [claim.run.run_id for claims in claimed for claim in claims]
    assert len(ids) == len(set(ids)) == 12
    assert await both[0].runs.claim(5, 60) == []


async def test_a_lost_run_goes_on_with_another(ingest: Any, syncs: Syncs) -> None:
    """Behind its last page; the first worker writes nothing any more."""
    claim = await syncs.begin()
    await syncs.pages.store(claim, page(record("a"), position=b"behind a", seen=CursorValue.of(7)))
    assert await syncs.runs.claim(5, 60) == []
    assert await syncs.runs.extend(claim.run.run_id, claim.token, 60) is Signal.GO_ON
    await end_leases(ingest)
    (second,) = await syncs.runs.claim(5, 60)
    assert second.run.run_id == claim.run.run_id
    assert (second.run.position, second.run.seen_cursor, second.run.crashes) == (b"behind a", CursorValue.of(7), 1)
    assert second.run.started_at == claim.run.started_at
    assert await syncs.runs.extend(claim.run.run_id, claim.token, 60) is Signal.LOST
    await syncs.runs.put_back(claim.run.run_id, claim.token)
    with pytest.raises(RunLost):
        await syncs.pages.store(claim, page(record("b")))
    with pytest.raises(RunLost):
        await syncs.runs.begin_settling(claim.run.run_id, claim.token)
    assert await ingest.count("external_data_cache") == 1
    assert (await syncs.runs.get(claim.run.run_id)).state is State.RUNNING


async def test_a_run_that_is_put_back_counts_no_crash(syncs: Syncs) -> None:
    """Another process has it at once, and a settling one goes on settling."""
    claim = await syncs.begin()
    await syncs.runs.put_back(claim.run.run_id, claim.token)
    assert (await syncs.runs.get(claim.run.run_id)).state is State.QUEUED
    (second,) = await syncs.runs.claim(5, 60)
    assert second.run.crashes == 0
    await syncs.runs.begin_settling(second.run.run_id, second.token)
    await syncs.runs.put_back(second.run.run_id, second.token)
    (third,) = await syncs.runs.claim(5, 60)
    assert (third.run.state, third.run.crashes) == (State.SETTLING, 0)


async def test_a_run_that_takes_its_process_down_fails(ingest: Any, syncs: Syncs) -> None:
    """After so many leases lost without a page; a page in between begins the count anew."""
    claim = await syncs.begin()
    for _ in range(MOST_CRASHES - 1):
        await end_leases(ingest)
        (claim,) = await syncs.runs.claim(1, 60)
    await syncs.pages.store(claim, page())
    for _ in range(MOST_CRASHES - 1):
        await end_leases(ingest)
        (claim,) = await syncs.runs.claim(1, 60)
    await end_leases(ingest)
    assert await syncs.runs.claim(1, 60, lambda run: run.error_reason.encode()) == []
    run = await syncs.runs.get(claim.run.run_id)
    assert (run.state, run.error_reason, run.crashes) == (State.FAILED, "CRASHED", MOST_CRASHES)
    ((payload,),) = await ingest.sql("SELECT payload FROM {prefix}ingest_outbox")
    assert bytes(payload) == b"CRASHED"
    assert (await syncs.runs.create(new_run()))[1]


async def test_a_run_is_cancelled_and_resumed(ingest: Any, syncs: Syncs) -> None:
    """The worker learns it with its next page or lease; what is stored stays, and the rest follows."""
    claim = await syncs.begin()
    assert (await syncs.runs.request_cancel(claim.run.run_id)).is_cancel_requested
    assert await syncs.runs.extend(claim.run.run_id, claim.token, 60) is Signal.CANCEL
    outcome = await syncs.pages.store(claim, page(record("a"), position=b"p"))
    assert outcome.is_cancel_requested
    await syncs.runs.finish(claim.run.run_id, claim.token, State.CANCELLED)
    with pytest.raises(RunState):
        await syncs.runs.request_cancel(claim.run.run_id)
    resumed = await syncs.runs.resume(claim.run.run_id)
    assert (resumed.state, resumed.is_cancel_requested, resumed.position, resumed.read) == (
        State.QUEUED,
        False,
        b"p",
        1,
    )
    with pytest.raises(RunState):
        await syncs.runs.resume(claim.run.run_id)
    assert await syncs.runs.create(new_run()) == (resumed, False)
    (claim,) = await syncs.runs.claim(1, 60)
    await syncs.runs.finish(claim.run.run_id, claim.token, State.SUCCEEDED)
    with pytest.raises(RunState):
        await syncs.runs.resume(claim.run.run_id)
    assert await ingest.count("external_data_cache") == 1


async def test_an_overtaken_run_is_not_resumed(syncs: Syncs) -> None:
    """A later run has seen records that it would take for vanished, whether that has ended or not."""
    claim = await syncs.begin()
    await syncs.runs.finish(claim.run.run_id, claim.token, State.FAILED)
    later = await syncs.begin()
    with pytest.raises(RunState):
        await syncs.runs.resume(claim.run.run_id)
    await syncs.runs.finish(later.run.run_id, later.token, State.FAILED)
    with pytest.raises(RunState):
        await syncs.runs.resume(claim.run.run_id)
    assert (await syncs.runs.resume(later.run.run_id)).state is State.QUEUED


async def test_runs_and_failures_are_listed_in_pages(syncs: Syncs) -> None:
    """Runs the newest first, narrowed; failures in the order of reading."""
    for number in (1, 2, 3):
        await syncs.runs.create(new_run(mapping_id=number))
    (claim, *_) = await syncs.runs.claim(1, 60)
    fault = Fault("no_id", "id", "there is none")
    await syncs.pages.store(claim, page(failures=[PageFailure(place, fault) for place in (1, 2, 3)]))
    both = await syncs.looks.runs(RunFilter(), None, 2)
    rest = await syncs.looks.runs(RunFilter(), both[-1].run_id, 2)
    assert len(both) == 2
    assert [run.run_id for run in both + rest] == sorted((run.run_id for run in both + rest), reverse=True)
    running = await syncs.looks.runs(RunFilter(state=State.RUNNING), None, 5)
    assert [run.run_id for run in running] == [claim.run.run_id]
    assert await syncs.looks.runs(RunFilter(system_id=2), None, 5) == []
    assert len(await syncs.looks.runs(RunFilter(system_id=1, mapping_ids=(2, 3)), None, 5)) == 2
    first = await syncs.looks.failures(claim.run.run_id, 0, 2)
    assert [(one.id, one.position, one.fault) for one in first] == [(1, 1, fault), (2, 2, fault)]
    assert [one.id for one in await syncs.looks.failures(claim.run.run_id, 2, 2)] == [3]
    assert await syncs.looks.failures(claim.run.run_id, 3, 2) == []
    with pytest.raises(RunNotFound):
        await syncs.looks.failures("01ARZ3NDEKTSV4RRFFQ69G5FAV", 0, 2)


async def test_old_runs_are_forgotten(ingest: Any, syncs: Syncs) -> None:
    """With their failures; one that has not ended stays, however old."""
    fault = Fault("no_id", "id", "there is none")
    for mapping in (1, 2):
        claim = await syncs.begin(mapping_id=mapping)
        await syncs.pages.store(claim, page(failures=[PageFailure(1, fault)]))
    await syncs.runs.finish(claim.run.run_id, claim.token, State.SUCCEEDED)
    assert await syncs.looks.prune(utc_now() - timedelta(days=1)) == 0
    assert await syncs.looks.prune(utc_now() + timedelta(days=1)) == 1
    assert await syncs.looks.prune(utc_now() + timedelta(days=1)) == 0
    assert (await ingest.count("sync_runs"), await ingest.count("sync_run_failures")) == (1, 1)
    with pytest.raises(RunNotFound):
        await syncs.runs.get(claim.run.run_id)
