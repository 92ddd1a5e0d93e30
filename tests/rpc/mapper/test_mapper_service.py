"""MapperService as its callers meet it: validation, previews, schemas and checkpoints, on both databases."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from intertie.ingest.v1 import ingest_pb2
from intertie.mapper.v1 import mapper_pb2
from intertie_chassis.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from mapper_neighbours import PREFIX, Installation, installation
from waiting import eventually

SEED = {"field_mappings": {"title": "event_title", "date": "date"}}
Action = mapper_pb2.RecordPreview
EVENTS = f"{PREFIX}events"


@pytest.fixture
async def running(database_url: str, tmp_path: Path) -> AsyncIterator[Installation]:
    """Mapper with its neighbours, on both stores."""
    async with installation(database_url, tmp_path) as made:
        made.feed.change(made.system(("events", SEED), writers=("events",)))
        await eventually(lambda: made.mapper.configuration.mapping(1))
        yield made


async def problems(made: Installation, target: str, config: Any) -> dict[str, str]:
    """What registry is told of a mapping."""
    request = mapper_pb2.ValidateMappingRequest(
        target_table=PREFIX + target, mapping_config=json.dumps(config).encode()
    )
    answer = await made.stub("service:registry").ValidateMapping(request)
    return {problem.field: problem.message for problem in answer.problems}


async def test_the_seeds_mapping_is_valid(running: Installation) -> None:
    """On a new database it has no problems."""
    assert await problems(running, "events", SEED) == {}


async def test_validation_names_everything_at_once(running: Installation) -> None:
    """Unknown column with a hint, empty required column, unfit constant and transformation, unknown key."""
    found = await problems(
        running,
        "surveys",
        {
            "field_mappings": {"t": "titel", "when": "event_id"},
            "transformations": {"event_id": "date"},
            "constants": {"status": "open"},
            "defaults": {"description": {"a": 1}},
            "filters": "x",
        },
    )
    assert "did you mean title?" in found["field_mappings.t"]
    assert "needs a value" in found["title"]
    assert "needs a value" in found["campaign_id"]
    assert "draft, published, closed" in found["constants.status"]
    assert "never hold" in found["transformations.event_id"]
    assert "an object" in found["defaults.description"]
    assert "unknown" in found["filters"]
    assert len(found) == 7


async def test_validation_of_targets_that_cannot_be(running: Installation) -> None:
    """No such table, one of the suite's own, one without a key, a key without a value, a configuration that is none."""
    await _run(running, f"CREATE TABLE {PREFIX}keyless (a INT)")
    await _run(running, f"CREATE TABLE {PREFIX}tagged (tag VARCHAR(20) PRIMARY KEY NOT NULL, b INT)")
    assert "no table" in (await problems(running, "nowhere", SEED))["target_table"]
    assert "may not write" in (await problems(running, "external_record_links", SEED))["target_table"]
    assert "may not write" in (await problems(running, "users", SEED))["target_table"]
    assert "no primary key" in (await problems(running, "keyless", {"field_mappings": {"a": "a"}}))["target_table"]
    assert "neither made" in (await problems(running, "tagged", {"field_mappings": {"b": "b"}}))["tag"]
    assert "JSON object" in (await problems(running, "events", 5))[""]
    with pytest.raises(InvalidArgument) as missing:
        await running.stub("operator").ValidateMapping(mapper_pb2.ValidateMappingRequest())
    assert [field for field, _ in missing.value.violations] == ["target_table", "mapping_config"]


async def test_a_target_schema_is_described(running: Installation) -> None:
    """Columns in order with what a mapping's author must know."""
    schema = await running.stub("viewer").GetTargetSchema(mapper_pb2.GetTargetSchemaRequest(table=EVENTS))
    columns = {column.name: column for column in schema.columns}
    assert list(schema.primary_key) == ["id"]
    assert schema.checkpoint_table == f"{PREFIX}event_integration_checkpoints"
    assert list(columns["event_status"].allowed_values) == ["planned", "ongoing", "completed", "cancelled"]
    assert columns["id"].has_default
    assert columns["event_status"].has_default
    assert not columns["event_status"].nullable
    assert columns["event_title"].nullable
    assert not columns["event_title"].has_default
    with pytest.raises(NotFound) as absent:
        await running.stub("viewer").GetTargetSchema(mapper_pb2.GetTargetSchemaRequest(table="mysql.user"))
    assert absent.value.reason == "TARGET_NOT_FOUND"


async def test_a_preview_says_what_would_happen_and_does_nothing(running: Installation) -> None:
    """Insert, change with old and new values, unchanged, refused and filtered, in the order of the records."""
    number = await running.queue.put("1", {"id": "1", "title": "Flood", "date": "2026-11-30"})
    await eventually(lambda: number in running.queue.settled)
    before = await _everything(running)
    config = {**SEED, "filter": "title != 'noise'"}
    records: list[dict[str, Any]] = [
        {"id": "2", "title": "New", "date": "2026-12-01"},
        {"id": "1", "title": "Storm", "date": "2026-11-30"},
        {"id": "1", "title": "Flood", "date": "2026-11-30"},
        {"id": "3", "title": "Bad", "date": "never"},
        {"id": "4", "title": "noise"},
    ]
    answer = await running.stub("operator").PreviewMapping(
        mapper_pb2.PreviewMappingRequest(
            mapping_id=1,
            mapping_config=json.dumps(config).encode(),
            records=[json.dumps(one).encode() for one in records],
        )
    )
    assert not answer.problems
    assert [one.action for one in answer.previews] == [
        Action.ACTION_INSERT,
        Action.ACTION_CHANGE,
        Action.ACTION_UNCHANGED,
        Action.ACTION_REFUSED,
        Action.ACTION_FILTERED,
    ]
    insert, change, _, refused, _ = answer.previews
    assert {one.column: (json.loads(one.old_value), json.loads(one.new_value)) for one in insert.columns} == {
        "event_title": (None, "New"),
        "date": (None, "2026-12-01"),
    }
    assert [(one.column, json.loads(one.old_value), json.loads(one.new_value)) for one in change.columns] == [
        ("event_title", "Flood", "Storm")
    ]
    assert json.loads(change.target_key) == {"id": 1}
    assert (refused.reason, refused.field) == ("bad_datetime", "date")
    assert await _everything(running) == before


async def test_a_preview_of_cached_records_of_drafts_and_of_clashes(running: Installation) -> None:
    """Without records the cache's newest are tried; a draft needs records; another row's unique key is foreseen."""
    running.cache.records.append(ingest_pb2.Record(id=5, data_json=b'{"id": 9, "title": "cached"}'))
    answer = await running.stub("operator").PreviewMapping(mapper_pb2.PreviewMappingRequest(mapping_id=1))
    assert [(one.external_id, one.action) for one in answer.previews] == [("9", Action.ACTION_INSERT)]

    await _run(running, f"CREATE TABLE {PREFIX}tags (tag VARCHAR(20) PRIMARY KEY NOT NULL, b INT)")
    await _run(running, f"INSERT INTO {PREFIX}tags VALUES ('a', 1)")
    draft = mapper_pb2.PreviewMappingRequest(
        system="law_enforcement",
        target_table=f"{PREFIX}tags",
        mapping_config=b'{"field_mappings": {"t": "tag"}}',
        records=[b'{"t": "a"}', b'{"t": "b"}'],
    )
    answer = await running.stub("operator").PreviewMapping(draft)
    assert [(one.action, one.reason) for one in answer.previews] == [
        (Action.ACTION_REFUSED, "target_conflict"),
        (Action.ACTION_INSERT, ""),
    ]
    draft.ClearField("records")
    with pytest.raises(InvalidArgument):
        await running.stub("operator").PreviewMapping(draft)
    with pytest.raises(NotFound) as absent:
        await running.stub("operator").PreviewMapping(mapper_pb2.PreviewMappingRequest(mapping_id=99))
    assert absent.value.reason == "MAPPING_NOT_FOUND"


async def test_checkpoints_are_listed_newest_first_in_pages(running: Installation) -> None:
    """Every row once over the pages, then records that failed before they had a row."""
    for n in range(7):
        await running.queue.put(str(n), {"title": f"t{n}"})
    await eventually(lambda: len(running.queue.settled) == 7)
    running.cache.records += [
        ingest_pb2.Record(
            id=n,
            system="law_enforcement",
            mapping="mapping_1",
            external_id=f"x{n}",
            sync_status="error",
            sync_error="bad",
        )
        for n in range(3)
    ]
    running.cache.records.append(ingest_pb2.Record(id=9, sync_status="error", local_id=1))
    seen: list[mapper_pb2.Checkpoint] = []
    request = mapper_pb2.ListCheckpointsRequest(page_size=3)
    while True:
        answer = await running.stub("viewer").ListCheckpoints(request)
        seen += answer.checkpoints
        assert len(answer.checkpoints) <= 3
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    rows = [one for one in seen if one.id]
    assert sorted(one.target_id for one in rows) == list(range(1, 8))
    assert {one.integration_status for one in rows} == {"confirmed"}
    assert seen[: len(rows)] == rows
    assert [(one.external_id, one.integration_status, one.target_table) for one in seen[7:]] == [
        (f"x{n}", "failed", EVENTS) for n in range(3)
    ]
    only = await running.stub("viewer").ListCheckpoints(
        mapper_pb2.ListCheckpointsRequest(target_table="events", system="law_enforcement", target_id=4)
    )
    assert [one.target_id for one in only.checkpoints] == [4]
    with pytest.raises(InvalidArgument):
        await running.stub("viewer").ListCheckpoints(mapper_pb2.ListCheckpointsRequest(integration_status="maybe"))


async def test_a_module_with_a_grant_records_states(running: Installation) -> None:
    """`sent` is kept with what was sent; what came before stays; the log hears of it."""
    number = await running.queue.put("1", {"title": "Flood"})
    await eventually(lambda: number in running.queue.settled)
    stub = running.stub("module:events")
    answer = await stub.RecordCheckpoint(
        mapper_pb2.RecordCheckpointRequest(
            target_table="events",
            target_id=1,
            system="law_enforcement",
            integration_status="sent",
            sent_data=b'{"a": 1}',
        )
    )
    assert (answer.integration_status, json.loads(answer.sent_data), answer.sync_attempts) == ("sent", {"a": 1}, 2)
    assert json.loads(answer.received_data) == {"title": "Flood"}
    got = await running.stub("viewer").GetCheckpoint(
        mapper_pb2.GetCheckpointRequest(target_table=EVENTS, target_id=1, system="law_enforcement")
    )
    assert got == answer
    await eventually(
        lambda: (
            [one.module_name for one in running.log.entries.values() if one.query_type == "checkpoint"] == ["events"]
        )
    )


async def test_what_may_not_be_recorded(running: Installation) -> None:
    """No grant, no such system, row, table or state; and a module learns nothing of systems it has no grant on."""
    row = {"target_table": "events", "target_id": 1, "system": "law_enforcement", "integration_status": "sent"}

    async def record(role: str, **changes: Any) -> None:
        await running.stub(role).RecordCheckpoint(mapper_pb2.RecordCheckpointRequest(**{**row, **changes}))

    with pytest.raises(PermissionDenied):
        await record("module:surveys")
    with pytest.raises(PermissionDenied):
        await record("module:events", system="unknown")
    with pytest.raises(PermissionDenied):
        await record("viewer")
    with pytest.raises(NotFound) as system:
        await record("operator", system="unknown")
    assert system.value.reason == "SYSTEM_NOT_FOUND"
    with pytest.raises(NotFound, match="no row 1"):
        await record("module:events")
    with pytest.raises(FailedPrecondition):
        await record("operator", target_table="campaigns")
    with pytest.raises(InvalidArgument):
        await record("operator", integration_status="lost")
    with pytest.raises(InvalidArgument):
        await record("operator", sent_data=b"{")
    with pytest.raises(NotFound) as absent:
        await running.stub("viewer").GetCheckpoint(
            mapper_pb2.GetCheckpointRequest(target_table="events", target_id=1, system="law_enforcement")
        )
    assert absent.value.reason == "CHECKPOINT_NOT_FOUND"


async def _run(made: Installation, statement: str) -> None:
    await made.database.transaction(lambda connection: connection.execute(text(statement)))


async def _everything(made: Installation) -> list[list[Any]]:
    async with made.database.read() as connection:
        return [
            [tuple(row) for row in await connection.execute(text(f"SELECT * FROM {PREFIX}{table}"))]
            for table in ("events", "external_record_links", "event_integration_checkpoints")
        ]
