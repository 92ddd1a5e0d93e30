"""Runs from their first page to their end: what is stored, what goes wrong, and who goes on after it."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from intertie.audit.v1 import audit_pb2
from intertie_chassis.clock import utc_now
from intertie_ingest import errors
from intertie_ingest.syncs.cursors import CursorValue
from intertie_ingest.syncs.entry_convert import entry_of_run
from intertie_ingest.syncs.model import Mode, RunState
from intertie_ingest.syncs.run_lease import Pace
from intertie_ingest.syncs.source import Range
from sync_samples import API, QUICK, ListSource, SyncRig, configuration, mapping, record
from waiting import eventually

FIVE = [record(number) for number in range(1, 6)]
WAITING = (
    "INSERT INTO {prefix}external_data_cache (system_id, mapping_id, external_id, data_json, sync_status, digest, "
    "available_at) VALUES (1, 1, 'w', '{{}}', 'pending', X'64', NULL)"
)
BY_TIME = {"sync": {"cursor_field": "at"}}


@pytest.fixture
async def rig(database_url: str) -> AsyncIterator[SyncRig]:
    """An empty database, five records in pages of two to read."""
    made = await SyncRig.open(database_url)
    made.source = ListSource(list(FIVE))
    yield made
    await made.close()


async def entries(rig: SyncRig) -> list[audit_pb2.Entry]:
    """What the outbox holds for audit."""
    rows = await rig.sql("SELECT payload FROM {prefix}ingest_outbox ORDER BY id")
    return [entry for row in rows for entry in audit_pb2.AppendEntriesRequest.FromString(bytes(row[0])).entries]


async def test_a_full_run_brings_everything_and_marks_what_vanished(rig: SyncRig) -> None:
    """Counts, the cache, mapper's bell, registry's report and the audit's entry say the same."""
    run = await rig.sync()
    assert (run.state, run.pages, run.read, run.new, run.pending) == (RunState.SUCCEEDED, 3, 5, 5, 5)
    assert await rig.cached() == {str(number): json.loads(FIVE[number - 1]) for number in range(1, 6)}
    assert (rig.told.announced, rig.told.reported) == ([2, 2, 1], [(1, False)])
    rig.source.records = [*FIVE[:3], record(9), record(4, title="changed")]
    run = await rig.sync()
    assert (run.read, run.new, run.changed, run.unchanged, run.outdated) == (5, 1, 1, 3, 1)
    assert sorted(await rig.cached()) == ["1", "2", "3", "4", "9"]
    first, second = await entries(rig)
    assert (second.query_type, second.query_string, second.status, second.actor) == (
        "sync", "incidents", "success", "tester",
    )  # fmt: skip
    assert json.loads(second.response_payload)["outdated"] == 1
    assert json.loads(first.request_payload)["mode"] == "full"


async def test_what_cannot_be_reached_is_tried_again_behind_the_last_page(rig: SyncRig) -> None:
    """Two faults a page are borne; the pages before are not read again."""
    away = [errors.ExternalUnavailable(), errors.ExternalTimedOut()]
    rig.source.faults = {1: list(away), 2: list(away)}
    run = await rig.sync()
    assert (run.state, run.pages, run.read, run.new) == (RunState.SUCCEEDED, 3, 5, 5)
    assert rig.source.asked.count(0) == 1
    assert rig.source.closed == len(rig.source.opened) == 5


async def test_what_stays_away_fails_the_run_and_deliveries_do_not_wait_for_it(rig: SyncRig) -> None:
    """The third try in vain ends the run with the source's reason; waiting records go to mapper all the same."""
    await rig.sql(WAITING)
    rig.source.faults = {1: [errors.ExternalUnavailable("it is down") for _ in range(3)]}
    run = await rig.sync()
    assert (run.state, run.error_reason, run.error_message) == (RunState.FAILED, "EXTERNAL_UNAVAILABLE", "it is down")
    assert (run.read, run.outdated) == (2, 0)
    assert rig.told.reported == []
    ((available,),) = await rig.sql("SELECT available_at FROM {prefix}external_data_cache WHERE external_id = 'w'")
    assert available is not None
    (entry,) = await entries(rig)
    assert (entry.status, entry.error_message) == ("error", "it is down")
    rig.source.faults = {}
    resumed = await rig.stores.runs.resume(run.run_id)
    run = await rig.end_of(resumed.run_id)
    assert (run.state, run.read, run.pages) == (RunState.SUCCEEDED, 5, 3)


@pytest.mark.parametrize("gate", [0, 1])
async def test_a_cancelled_run_stops_at_once_and_is_resumed_behind_its_last_page(rig: SyncRig, gate: int) -> None:
    """Also while the source makes it wait; nothing is marked as vanished, and nothing is read twice."""
    await rig.sync()
    rig.source = ListSource([record(1), record(2), record(3, title="new"), record(4)], gates={gate: asyncio.Event()})
    run = await rig.ask()
    await eventually(lambda: gate in rig.source.asked)
    await rig.until(run.run_id, lambda run: run.pages == gate)
    await rig.stores.runs.request_cancel(run.run_id)
    run = await rig.end_of(run.run_id)
    assert (run.state, run.pages, run.outdated, rig.source.closed) == (RunState.CANCELLED, gate, 0, 1)
    assert len(await rig.cached()) == 5
    rig.source.gates[gate].set()
    await rig.stores.runs.resume(run.run_id)
    run = await rig.end_of(run.run_id)
    assert (run.state, run.pages, run.read, run.changed, run.outdated) == (RunState.SUCCEEDED, 2, 4, 1, 1)
    assert [first for _, first in rig.source.opened] == [0, gate]


async def test_a_run_that_was_queued_is_cancelled_before_it_reads(rig: SyncRig) -> None:
    """It waits for no slot to become free, and its mapping may have another run at once."""
    run = await rig.ask()
    await rig.stores.runs.request_cancel(run.run_id, lambda run: entry_of_run(run, rig.config))
    assert (await rig.stores.runs.get(run.run_id)).state is RunState.CANCELLED
    (entry,) = await entries(rig)
    assert json.loads(entry.response_payload)["state"] == "cancelled"
    assert (await rig.sync()).state is RunState.SUCCEEDED


async def test_a_killed_process_leaves_its_run_to_another_behind_the_last_page(rig: SyncRig) -> None:
    """When its lease ends another one goes on: every record counts once."""
    rig.source.gates = {2: asyncio.Event()}
    first = rig.start()
    run = await rig.ask()
    await rig.until(run.run_id, lambda run: run.pages == 2)
    await first.kill()
    rig.source.gates = {}
    rig.start()
    await rig.end_leases()
    run = await rig.end_of(run.run_id)
    assert (run.state, run.pages, run.read, run.new) == (RunState.SUCCEEDED, 3, 5, 5)
    assert [first for _, first in rig.source.opened] == [0, 2]


async def test_a_process_that_stops_gives_its_run_back_at_once(rig: SyncRig) -> None:
    """No lease has to end, and it counts as no crash."""
    rig.source.gates = {1: asyncio.Event()}
    process = rig.start()
    run = await rig.ask()
    await rig.until(run.run_id, lambda run: run.pages == 1)
    await process.stop()
    waiting = await rig.stores.runs.get(run.run_id)
    assert (waiting.state, waiting.crashes, rig.source.closed) == (RunState.QUEUED, 0, 1)
    rig.source.gates = {}
    rig.start()
    assert (await rig.end_of(run.run_id)).read == 5


async def test_who_lost_the_lease_stops_and_stores_nothing_more(rig: SyncRig) -> None:
    """A process that hung finds its run with another one."""
    rig.source.gates = {1: asyncio.Event()}
    hung = rig.start(Pace(look=3600.0, settle=0.0))
    run = await rig.ask()
    await rig.until(run.run_id, lambda run: run.pages == 1)
    hung.task.cancel()
    await rig.end_leases()
    other = rig.source
    rig.source = ListSource(list(FIVE))
    rig.start()
    run = await rig.end_of(run.run_id)
    other.gates[1].set()
    await eventually(lambda: not hung.engine.tasks)
    assert (await rig.stores.runs.get(run.run_id)) == run
    assert (run.state, run.pages, run.read) == (RunState.SUCCEEDED, 3, 5)


async def test_a_fault_of_ours_fails_its_own_run_only(rig: SyncRig) -> None:
    """Whatever is raised: the run says INTERNAL and no more, and the engine goes on."""
    rig.source.faults = {0: [ZeroDivisionError("secret")]}
    run = await rig.sync()
    assert (run.state, run.error_reason) == (RunState.FAILED, "INTERNAL")
    assert "secret" not in run.error_message
    assert (await rig.sync()).state is RunState.SUCCEEDED


async def test_a_mapping_that_is_switched_off_meanwhile_fails_its_run(rig: SyncRig) -> None:
    """Nothing more is stored for it."""
    rig.source.gates = {1: asyncio.Event()}
    rig.start()
    run = await rig.ask()
    await rig.until(run.run_id, lambda run: run.pages == 1)
    rig.config = configuration(mapping(is_active=False))
    rig.source.gates[1].set()
    run = await rig.end_of(run.run_id)
    assert (run.state, run.error_reason, run.pages) == (RunState.FAILED, "MAPPING_NOT_FOUND", 1)


async def test_a_source_that_became_another_is_read_from_its_beginning(rig: SyncRig) -> None:
    """The place in the old one means nothing in the new one."""
    rig.source.gates = {1: asyncio.Event()}
    rig.start()
    run = await rig.ask()
    await rig.until(run.run_id, lambda run: run.pages == 1)
    rig.config = configuration(mapping(source_table="others"))
    old, rig.source = rig.source, ListSource([record(number) for number in range(21, 24)])
    old.gates[1].set()
    run = await rig.end_of(run.run_id)
    assert (run.state, [first for _, first in rig.source.opened]) == (RunState.SUCCEEDED, [0])
    assert sorted(await rig.cached()) == ["1", "2", "21", "22", "23"]  # the run has seen them all


async def test_an_ordered_source_moves_the_cursor_with_each_page_and_the_look_back_only_the_query(rig: SyncRig) -> None:
    """A run that fails leaves the cursor behind what it stored; the next one begins there, look-back taken off."""
    rig.config = configuration(mapping(sync={"cursor_field": "n", "lookback_seconds": 10}))
    rig.source.cursors = {number: CursorValue("integer", 100 + number) for number in range(3)}
    rig.source.faults = {2: [errors.ExternalRefused("no")]}
    run = await rig.sync(Mode.INCREMENTAL)
    assert (run.state, run.error_reason) == (RunState.FAILED, "EXTERNAL_REFUSED")
    cursor = await rig.stores.cursors.get(1)
    assert cursor is not None
    assert (cursor.value, cursor.cursor_field) == (CursorValue("integer", 101), "n")
    assert (await rig.sync(Mode.INCREMENTAL)).state is RunState.SUCCEEDED
    wanted = [wanted for wanted, _ in rig.source.opened]
    assert wanted == [Range(), Range(CursorValue("integer", 91))]


async def test_without_an_order_the_cursor_waits_for_the_end_and_is_never_of_the_future(rig: SyncRig) -> None:
    """Records that changed behind the reader are read again: times are kept up to the beginning of the run."""
    rig.config = configuration(mapping(**BY_TIME))
    early, late = "2025-01-02T03:04:05Z", (utc_now() + timedelta(days=1)).isoformat()
    rig.source = ListSource([record(1, at=early), record(2, at=""), record(3), record(4)], is_ordered=False)
    rig.source.faults = {1: [errors.ExternalRefused()]}
    await rig.sync(Mode.INCREMENTAL)
    assert await rig.stores.cursors.get(1) is None
    run = await rig.sync(Mode.INCREMENTAL)
    cursor = await rig.stores.cursors.get(1)
    assert cursor is not None
    assert (cursor.value.text, cursor.run_id) == (early, run.run_id)
    rig.source.records.append(record(5, at=late))
    run = await rig.sync(Mode.INCREMENTAL)
    cursor = await rig.stores.cursors.get(1)
    assert cursor is not None
    assert cursor.value.value.replace(tzinfo=None) == run.started_at


async def test_the_largest_cursor_survives_the_process_that_saw_it(rig: SyncRig) -> None:
    """It stood in a page that another process stored."""
    rig.config = configuration(mapping(sync={"cursor_field": "n"}))
    rig.source = ListSource([record(1, n=70), record(2, n=5), record(3, n=6)], is_ordered=False)
    rig.source.gates = {1: asyncio.Event()}
    first = rig.start()
    run = await rig.ask(Mode.INCREMENTAL)
    await rig.until(run.run_id, lambda run: run.pages == 1)
    await first.stop()
    rig.source.gates = {}
    rig.start()
    await rig.end_of(run.run_id)
    cursor = await rig.stores.cursors.get(1)
    assert cursor is not None
    assert cursor.value == CursorValue("integer", 70)


async def test_a_run_that_is_claimed_while_its_process_stops_is_put_back(
    rig: SyncRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction is committed though its caller is cancelled: nobody would work on the run until its lease ends."""
    run, claim, claimed, answers = await rig.ask(), rig.stores.runs.claim, asyncio.Event(), asyncio.Event()

    async def claim_slowly(*values: Any) -> Any:
        claims = await claim(*values)
        claimed.set()
        await answers.wait()
        return claims

    monkeypatch.setattr(rig.stores.runs, "claim", claim_slowly)
    process = rig.start()
    await claimed.wait()
    stopping = asyncio.create_task(process.stop())
    await eventually(process.task.done)
    answers.set()
    await stopping
    assert (await rig.stores.runs.get(run.run_id)).state is RunState.QUEUED


async def test_a_cursor_of_another_field_or_type_tells_to_reset(rig: SyncRig) -> None:
    """Guessing would lose rows; a full run or a reset mends it."""
    rig.config = configuration(mapping(sync={"cursor_field": "n"}))
    rig.source.cursors = {2: CursorValue("integer", 7)}
    await rig.sync(Mode.INCREMENTAL)
    rig.config = configuration(mapping(**BY_TIME))
    run = await rig.sync(Mode.INCREMENTAL)
    assert (run.state, run.error_reason) == (RunState.FAILED, "FAILED_PRECONDITION")
    assert "reset" in run.error_message
    rig.config = configuration(mapping(sync={"cursor_field": "n"}))
    rig.source.cursors = {2: CursorValue("text", "x")}
    run = await rig.sync(Mode.INCREMENTAL)
    assert (run.state, "reset" in run.error_message) == (RunState.FAILED, True)
    await rig.stores.cursors.reset(1)
    assert (await rig.sync(Mode.INCREMENTAL)).state is RunState.SUCCEEDED


async def test_a_run_resumed_after_a_reset_reads_everything(rig: SyncRig) -> None:
    """What was reset is to be read again: the place behind which the cancelled run stopped does not count."""
    rig.config = configuration(mapping(sync={"cursor_field": "n"}))
    rig.source.cursors = {2: CursorValue("integer", 7)}
    await rig.sync(Mode.INCREMENTAL)
    rig.source.gates = {1: asyncio.Event()}
    run = await rig.ask(Mode.INCREMENTAL)
    await rig.until(run.run_id, lambda run: run.pages == 1)
    await rig.stores.runs.request_cancel(run.run_id)
    await rig.end_of(run.run_id)
    await rig.stores.cursors.reset(1)
    rig.source.gates = {}
    await rig.stores.runs.resume(run.run_id)
    assert (await rig.end_of(run.run_id)).state is RunState.SUCCEEDED
    assert rig.source.opened[-1] == (Range(), 0)


async def test_a_backfill_reads_its_range_and_moves_nothing(rig: SyncRig) -> None:
    """No cursor, nothing vanished, no next tick moved."""
    rig.config = configuration(mapping(**BY_TIME))
    rig.source.cursors = {2: CursorValue("integer", 7)}
    run = await rig.sync(Mode.BACKFILL, range_from="2025-01-01", range_to="2025-02-01T00:00:00Z")
    assert (run.state, run.new, rig.told.reported) == (RunState.SUCCEEDED, 5, [])
    ((wanted, _),) = rig.source.opened
    assert wanted.start is not None
    assert wanted.end is not None
    assert (wanted.start.text, wanted.end.text, wanted.with_unset) == ("2025-01-01", "2025-02-01T00:00:00Z", False)
    assert await rig.stores.cursors.get(1) is None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"mappings": [mapping(sync={"cursor_field": 7})]}, "INVALID_MAPPING"),
        ({"mappings": [mapping(filter="(")]}, "INVALID_MAPPING"),
        ({"mappings": [mapping(source_table="")]}, "NO_SOURCE"),
        ({"mappings": [mapping(sync={"connection_id": 9})]}, "CONNECTION_NOT_FOUND"),
        ({"mappings": [mapping(source_table="/v1/incidents")]}, "NO_CONNECTION"),
        ({"mappings": [mapping(2)]}, "MAPPING_NOT_FOUND"),
        ({"mappings": [mapping()], "is_active": False}, "SYSTEM_NOT_FOUND"),
        ({"mappings": [mapping()], "connections": []}, "NO_CONNECTION"),
    ],
)
async def test_what_is_not_configured_is_said(sqlite_url: str, changed: dict[str, object], reason: str) -> None:
    """The run fails with a reason to be compared and a text for people, and opens nothing."""
    rig = await SyncRig.open(sqlite_url)
    mappings = changed.pop("mappings")
    rig.config = configuration(*mappings, **changed)  # type: ignore[arg-type, misc]
    run = await rig.sync()
    await rig.close()
    assert (run.state, run.error_reason, bool(run.error_message)) == (RunState.FAILED, reason, True)
    assert rig.source.opened == []


async def test_a_mapping_without_a_source_releases_what_waits(rig: SyncRig) -> None:
    """What deliveries brought for it is what it syncs."""
    rig.config = configuration(mapping(source_table=""), connections=[API])
    await rig.sql(WAITING)
    run = await rig.sync(Mode.RELEASE)
    assert (run.state, run.read, run.pending, rig.told.announced) == (RunState.SUCCEEDED, 1, 1, [1])


async def test_a_run_settles_until_mapper_has_taken_its_records(rig: SyncRig) -> None:
    """Another run may be read meanwhile; what mapper set aside counts as failed."""
    rig.config = configuration(mapping(), mapping(2, "second"))
    rig.start(Pace(look=0.02, settle=3600.0), most_runs=1)
    run = await rig.ask()
    await rig.until(run.run_id, lambda run: run.state is RunState.SETTLING)
    second = await rig.ask(number=2)
    await rig.until(second.run_id, lambda run: run.state is RunState.SETTLING)
    await rig.sql(
        "UPDATE {prefix}external_data_cache SET sync_status = 'error', error_reason = 'no', attempts = 1 "
        "WHERE external_id = '1'"
    )
    await rig.sql("UPDATE {prefix}external_data_cache SET sync_status = 'synced' WHERE external_id <> '1'")
    run = await rig.end_of(run.run_id)
    assert (run.state, run.pending, run.failed) == (RunState.SUCCEEDED, 0, 1)
    (failure,) = await rig.browse.failures(run.run_id, 0, 10)
    assert (failure.external_id, failure.fault.reason) == ("1", "no")


async def test_no_more_runs_are_read_at_once_than_allowed(rig: SyncRig) -> None:
    """The next one begins when one has been read."""
    rig.config = configuration(mapping(), mapping(2, "second"))
    gate = asyncio.Event()
    rig.source.gates = {0: gate}
    rig.start(QUICK, most_runs=1)
    first, second = await rig.ask(), await rig.ask(number=2)
    await eventually(lambda: rig.source.asked == [0])
    await rig.until(first.run_id, lambda run: run.state is RunState.RUNNING)
    assert (await rig.stores.runs.get(second.run_id)).state is RunState.QUEUED
    gate.set()
    assert (await rig.end_of(second.run_id)).read == 5


async def test_what_cannot_be_taken_is_a_failure_with_its_place(rig: SyncRig) -> None:
    """The others are taken; a record that has an id is set aside in the cache, where it can be replayed."""
    rig.config = configuration(mapping(filter="$not(kind = 'no')", version_field="v"))
    good = record(1, v=1, kind="yes")
    rig.source.records = [good, b'{"title": "nobody", "v": 1}', b"[]", record(2), record(3, v=1, kind="no"), b"{"]
    run = await rig.sync()
    assert (run.state, run.read, run.new, run.failed, run.skipped) == (RunState.SUCCEEDED, 6, 1, 4, 1)
    found = await rig.browse.failures(run.run_id, 0, 10)
    assert [(one.position, one.external_id, one.fault.reason) for one in found] == [
        (2, "", "missing_external_id"), (3, "", "not_an_object"), (4, "2", "missing_version"), (6, "", "invalid_json"),
    ]  # fmt: skip
    assert sorted(await rig.cached()) == ["1", "2"]
