"""Syncs through a real pull server: by whom, in which mode, on time, cancelled, resumed, and how they are told of."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import text

from external_databases import ExternalSQLite
from intertie.ingest.v1 import sync_pb2
from intertie.registry.v1 import feed_pb2
from intertie_chassis.errors import IntertieError
from intertie_ingest.configuration import StoredGrant, StoredMapping
from pull_rig import PullRig, pull_rig, stored, system_of
from waiting import eventually

GRANTS = (StoredGrant("reader", "read", True), StoredGrant("writer", "write", True))


def _mapping(number: int, name: str, source_table: str = "incidents", **options: Any) -> StoredMapping:
    is_active = options.pop("is_active", True)
    config = json.dumps({"field_mappings": {"title": "event_title"}, **options}).encode()
    return StoredMapping(number, name, is_active, "hourly", config, source_table)


MAPPINGS = (
    _mapping(1, "incidents_to_events", sync={"cursor_field": "n", "page_size": 2}),
    _mapping(2, "whole"),
    _mapping(3, "pushed", ""),
    _mapping(4, "gone", "nothing"),
    _mapping(5, "former", is_active=False),
)


@pytest.fixture
async def rig(tmp_path: Path, files: ExternalSQLite, database_url: str) -> AsyncIterator[PullRig]:
    """Pull, with a system that has a table of three incidents and mappings that read it."""
    files.execute("ALTER TABLE incidents ADD COLUMN n INTEGER;\nUPDATE incidents SET n = id * 10")
    systems = (
        system_of(stored(files.connection), mappings=MAPPINGS, grants=GRANTS),
        system_of(number=2, name="closed", grants=GRANTS, is_active=False),
    )
    async with pull_rig(tmp_path, database_url, *systems, pull_tick_seconds=0.05) as made:
        yield made


def _asked(mapping: str = "incidents_to_events", **values: Any) -> sync_pb2.RunSyncRequest:
    return sync_pb2.RunSyncRequest(**{"system": "police", "mapping": mapping, **values})


async def _sql(rig: PullRig, statement: str) -> None:
    table = f"{rig.settings.table_prefix}external_data_cache"

    async def work(connection: Any) -> None:
        await connection.execute(text(statement.format(cache=table)))

    await rig.database.transaction(work)


async def _maps(rig: PullRig) -> None:
    """Does what mapper does, again and again."""
    while True:
        await _sql(rig, "UPDATE {cache} SET sync_status = 'synced' WHERE sync_status = 'pending'")
        await asyncio.sleep(0.02)


@pytest.fixture
async def mapper(rig: PullRig) -> AsyncIterator[None]:
    """Whatever is pending becomes synced."""
    task = asyncio.create_task(_maps(rig))
    yield
    task.cancel()
    await asyncio.wait({task})


@pytest.mark.usefixtures("mapper")
async def test_a_sync_answers_when_its_records_are_in_the_target(rig: PullRig, files: ExternalSQLite) -> None:
    """A module with a read grant asks; the result counts, registry and audit hear of it, and the cursor has moved."""
    answer = await rig.sync("module:reader").RunSync(_asked())
    result = answer.sync_result
    assert (answer.system, answer.mapping, answer.state) == ("police", "incidents_to_events", "succeeded")
    assert (result.synced, result.errors, result.total) == (3, 0, 3)
    run = answer.run
    assert (run.mode, run.trigger, run.new, run.pages) == ("incremental", "manual", 3, 2)
    assert run.started_at.ToNanoseconds() <= run.finished_at.ToNanoseconds()
    report = (await eventually(lambda: rig.registry.syncs))[0]
    assert (report.mapping_id, report.is_scheduled) == (1, False)
    assert report.finished_at == run.finished_at
    await eventually(lambda: rig.queue.announced == 3)
    entry = (await eventually(lambda: [one for one in rig.audit.entries if one.query_type == "sync"]))[0]
    assert (entry.system, entry.query_string, entry.status, entry.actor) == (
        "police",
        "incidents_to_events",
        "success",
        run.requested_by,
    )
    named = {"system": "police", "mapping": "incidents_to_events"}
    cursor = await rig.sync("viewer").GetCursor(sync_pb2.GetCursorRequest(**named))
    assert (cursor.cursor_field, cursor.value, cursor.type, cursor.run_id) == ("n", "30", "integer", run.run_id)
    files.execute("UPDATE incidents SET title = 'moved', n = 40 WHERE id = 1")
    answer = await rig.sync().RunSync(_asked(mode="incremental"))
    assert (answer.run.read, answer.run.changed, answer.run.unchanged) == (2, 1, 1)
    answer = await rig.sync().RunSync(_asked(mode="backfill", range_from="20", range_to="40"))
    assert (answer.run.mode, answer.run.read, answer.run.range_to) == ("backfill", 2, "40")
    await rig.sync().ResetCursor(sync_pb2.ResetCursorRequest(**named))
    cursor = await rig.sync().GetCursor(sync_pb2.GetCursorRequest(**named))
    assert (cursor.cursor_field, cursor.value, cursor.HasField("updated_at")) == ("n", "", False)


async def test_who_may_ask_and_for_what(rig: PullRig) -> None:
    """Each refusal has its reason; a module learns nothing of systems that it has no grant to read."""
    refused: list[tuple[str, dict[str, Any], str]] = [
        ("module:stranger", {}, "PERMISSION_DENIED"),
        ("module:stranger", {"system": "nobody"}, "PERMISSION_DENIED"),
        ("module:writer", {}, "PERMISSION_DENIED"),
        ("module:reader", {"system": "closed"}, "PERMISSION_DENIED"),
        ("module:reader", {"module": "writer"}, "MODULE_MISMATCH"),
        ("module:reader", {"mapping": "other"}, "MAPPING_NOT_FOUND"),
        ("operator", {"system": "nobody"}, "SYSTEM_NOT_FOUND"),
        ("operator", {"system": "closed"}, "SYSTEM_NOT_FOUND"),
        ("operator", {"mapping": "former"}, "MAPPING_NOT_FOUND"),
        ("operator", {"system": ""}, "INVALID_REQUEST"),
        ("operator", {"mapping": ""}, "INVALID_REQUEST"),
        ("operator", {"mode": "release"}, "INVALID_REQUEST"),
        ("operator", {"mapping": "whole", "mode": "incremental"}, "INVALID_REQUEST"),
        ("operator", {"mapping": "whole", "mode": "backfill", "range_from": "1"}, "INVALID_REQUEST"),
        ("operator", {"mapping": "pushed", "mode": "full"}, "NO_SOURCE"),
        ("operator", {"mode": "backfill"}, "INVALID_REQUEST"),
        ("operator", {"mode": "backfill", "range_from": "7", "range_to": "5"}, "INVALID_REQUEST"),
        ("operator", {"mode": "full", "range_from": "1"}, "INVALID_REQUEST"),
        ("viewer", {}, "PERMISSION_DENIED"),
    ]
    reasons = []
    for role, values, _ in refused:
        with pytest.raises(IntertieError) as error:
            await rig.sync(role).RunSync(_asked(**values))
        reasons.append(error.value.reason)
    assert reasons == [reason for _, _, reason in refused]
    assert (await rig.sync("viewer").ListRuns(sync_pb2.ListRunsRequest())).runs == []


async def test_a_module_sees_the_runs_of_systems_that_it_may_read(rig: PullRig) -> None:
    """To any other the run is not there, as one that does not exist."""
    run_id = (await rig.sync("module:reader").RunSync(_asked(no_wait=True))).run_id
    seen = await rig.sync("module:reader").GetRun(sync_pb2.GetRunRequest(run_id=run_id))
    assert (seen.run_id, seen.system, seen.mapping) == (run_id, "police", "incidents_to_events")
    for role, asked in (("module:writer", run_id), ("module:stranger", run_id), ("module:reader", run_id[:-1] + "!")):
        with pytest.raises(IntertieError) as error:
            await rig.sync(role).GetRun(sync_pb2.GetRunRequest(run_id=asked))
        assert error.value.reason == "RUN_NOT_FOUND", role


async def test_runs_are_shown_listed_cancelled_and_resumed(rig: PullRig) -> None:
    """Nothing maps the records, so a run settles until it is cancelled; who asks meanwhile joins it."""
    first = await rig.sync().RunSync(_asked(no_wait=True))
    assert first.state == "running"
    same = await rig.sync().RunSync(_asked(mode="full", no_wait=True))
    assert same.run_id == first.run_id

    async def shown() -> Any:
        return await rig.sync("viewer").GetRun(sync_pb2.GetRunRequest(run_id=first.run_id))

    async def settles() -> Any:
        run = await shown()
        return run if run.state == "settling" and run.pending else None

    run = await eventually(settles)
    assert (run.read, run.pending, run.system, run.mapping) == (3, 3, "police", "incidents_to_events")
    with pytest.raises(IntertieError) as refused:
        await rig.sync().ResetCursor(sync_pb2.ResetCursorRequest(system="police", mapping="incidents_to_events"))
    assert refused.value.reason == "RUN_STATE"
    with pytest.raises(IntertieError) as refused:
        await rig.sync().ResumeRun(sync_pb2.ResumeRunRequest(run_id=first.run_id))
    assert refused.value.reason == "RUN_STATE"
    await rig.sync().CancelRun(sync_pb2.CancelRunRequest(run_id=first.run_id))

    async def cancelled() -> bool:
        return (await shown()).state == "cancelled"

    await eventually(cancelled)
    with pytest.raises(IntertieError) as refused:
        await rig.sync().CancelRun(sync_pb2.CancelRunRequest(run_id=first.run_id))
    assert refused.value.reason == "RUN_STATE"
    resumed = await rig.sync().ResumeRun(sync_pb2.ResumeRunRequest(run_id=first.run_id))
    assert resumed.state == "queued"
    await eventually(settles)
    await _sql(
        rig, "UPDATE {cache} SET sync_status = 'error', error_reason = 'no', attempts = 1 WHERE external_id = '2'"
    )
    await _sql(rig, "UPDATE {cache} SET sync_status = 'synced' WHERE external_id <> '2'")
    answer = await rig.sync().RunSync(_asked())
    assert (answer.run_id, answer.state) == (first.run_id, "succeeded")
    assert (answer.sync_result.synced, answer.sync_result.errors, answer.sync_result.total) == (2, 1, 3)
    found = await rig.sync("viewer").ListRunFailures(sync_pb2.ListRunFailuresRequest(run_id=first.run_id))
    assert [(one.external_id, one.reason) for one in found.failures] == [("2", "no")]
    failed = await rig.sync().RunSync(_asked("gone"))
    assert (failed.state, failed.run.error_reason) == ("failed", "NO_SOURCE")
    request = sync_pb2.ListRunsRequest(page_size=1)
    page = await rig.sync("viewer").ListRuns(request)
    assert [run.mapping for run in page.runs] == ["gone"]
    request.page_token = page.next_page_token
    page = await rig.sync("viewer").ListRuns(request)
    assert ([run.run_id for run in page.runs], page.next_page_token) == ([first.run_id], "")
    lists: list[tuple[dict[str, Any], int]] = [
        ({"state": "failed"}, 1),
        ({"system": "police"}, 2),
        ({"system": "closed"}, 0),
        ({"mapping": "gone"}, 1),
        ({"system": "police", "mapping": "former"}, 0),
    ]
    for values, count in lists:
        assert len((await rig.sync().ListRuns(sync_pb2.ListRunsRequest(**values))).runs) == count


async def test_what_is_not_there_is_not_found(rig: PullRig) -> None:
    """By reason; also for what can be no id."""
    sync, unknown = rig.sync(), ["01ARZ3NDEKTSV4RRFFQ69G5FAV", "", "é", "x" * 5000]
    calls = [
        *((sync.GetRun, sync_pb2.GetRunRequest(run_id=run_id), "RUN_NOT_FOUND") for run_id in unknown),
        *((sync.CancelRun, sync_pb2.CancelRunRequest(run_id=run_id), "RUN_NOT_FOUND") for run_id in unknown),
        *((sync.ResumeRun, sync_pb2.ResumeRunRequest(run_id=run_id), "RUN_NOT_FOUND") for run_id in unknown),
        *((sync.ListRunFailures, sync_pb2.ListRunFailuresRequest(run_id=one), "RUN_NOT_FOUND") for one in unknown),
        (sync.ListRuns, sync_pb2.ListRunsRequest(state="over"), "INVALID_REQUEST"),
        (sync.ListRuns, sync_pb2.ListRunsRequest(page_token="x"), "INVALID_PAGE_TOKEN"),
        (sync.ListRuns, sync_pb2.ListRunsRequest(system="nobody"), "SYSTEM_NOT_FOUND"),
        (sync.ListRuns, sync_pb2.ListRunsRequest(mapping="other"), "MAPPING_NOT_FOUND"),
        (sync.GetCursor, sync_pb2.GetCursorRequest(system="nobody", mapping="x"), "SYSTEM_NOT_FOUND"),
        (sync.ResetCursor, sync_pb2.ResetCursorRequest(system="police", mapping="other"), "MAPPING_NOT_FOUND"),
    ]
    reasons = []
    for method, request, _ in calls:
        with pytest.raises(IntertieError) as error:
            await method(request)
        reasons.append(error.value.reason)
    assert reasons == [reason for _, _, reason in calls]


@pytest.mark.usefixtures("mapper")
async def test_a_tick_that_is_due_is_synced_and_taken(rig: PullRig) -> None:
    """Its run says which tick it answers and how many were missed; registry hears that it was scheduled."""
    due = Timestamp()
    due.FromDatetime(datetime(2026, 1, 1, tzinfo=UTC))
    rig.registry.due = [feed_pb2.Tick(mapping_id=2, system_id=1, due_at=due, missed=2)]
    report = (await eventually(lambda: rig.registry.syncs))[0]
    assert (report.mapping_id, report.is_scheduled) == (2, True)
    await eventually(lambda: not rig.registry.due)
    (run,) = (await rig.sync().ListRuns(sync_pb2.ListRunsRequest())).runs
    assert (run.mode, run.trigger, run.tick_at, run.missed_ticks, run.new) == ("full", "schedule", due, 2, 3)
