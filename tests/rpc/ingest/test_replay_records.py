"""Counting and replaying what was set aside, over gRPC: choices, pages, the log, and who may."""

import asyncio
import json
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from ingest_samples import SECRET
from intertie.ingest.v1 import ingest_pb2, queue_pb2
from intertie_chassis import errors as chassis_errors
from waiting import eventually

Replay = ingest_pb2.ReplayRecordsRequest
Count = ingest_pb2.CountRecordsRequest


async def set_aside(rig: Any, *ids: int) -> list[Any]:
    """Records of these ids, set aside; as mapper had them."""
    deliveries = [
        ingest_pb2.RawDelivery(
            route=ingest_pb2.ROUTE_WEBHOOK,
            system="law_enforcement",
            body=json.dumps({"id": number}).encode(),
            headers=[
                ingest_pb2.Header(name="content-type", value=b"application/json"),
                ingest_pb2.Header(name="x-webhook-secret", value=SECRET.encode()),
            ],
        )
        for number in ids
    ]
    await rig.accept(*deliveries)
    lease = await rig.lease()
    outcome = queue_pb2.Settlement.OUTCOME_SET_ASIDE
    settlements = [
        queue_pb2.Settlement(id=record.id, revision=record.revision, outcome=outcome, reason="too_long")
        for record in lease.records
    ]
    await rig.queue().SettleRecords(
        queue_pb2.SettleRecordsRequest(lease_token=lease.lease_token, settlements=settlements)
    )
    return list(lease.records)


async def test_replay_needs_a_choice_and_is_audited(rig: Any) -> None:
    """Nothing named is refused; a dry run only counts; the replay goes to mapper and to audit."""
    records = await set_aside(rig, 12345, 2)
    operator = rig.ingest("operator")
    with pytest.raises(chassis_errors.InvalidArgument):
        await operator.ReplayRecords(Replay())
    with pytest.raises(chassis_errors.PermissionDenied):
        await rig.ingest("viewer").ReplayRecords(Replay(error_reason="too_long"))
    dry = await operator.ReplayRecords(Replay(error_reason="too_long", dry_run=True))
    assert (dry.replayed, list(dry.ids), dry.HasField("last_available_at")) == (2, [], False)
    (count,) = dry.counts
    assert (count.system, count.mapping, count.error_reason, count.count) == (
        "law_enforcement", "incidents_to_events", "too_long", 2,
    )  # fmt: skip
    assert 0 < count.first_changed_at.seconds <= count.last_changed_at.seconds
    waiting = asyncio.create_task(rig.lease(wait_milliseconds=10_000))
    answer = await operator.ReplayRecords(Replay(ids=[records[0].id], system="law_enforcement"))
    assert (answer.replayed, list(answer.ids), answer.next_page_token) == (1, [records[0].id], "")
    assert [record.external_id for record in (await waiting).records] == ["12345"]
    # Under its lease it is nobody's to replay.
    assert (await operator.ReplayRecords(Replay(ids=[records[0].id]))).replayed == 0

    def entries() -> list[Any]:
        return [entry for entry in rig.audit.entries.values() if entry.query_type == "replay"]

    (entry,) = await eventually(entries)
    assert json.loads(entry.request_payload) == {
        "ids": [records[0].id], "system": "law_enforcement", "mapping": "", "error_reason": "", "waiting": False,
    }  # fmt: skip
    assert json.loads(entry.response_payload) == {"replayed": 1, "ids": [str(records[0].id)]}
    assert entry.actor
    assert entry.request_id


async def test_a_range_of_times_and_one_delivery_are_choices(rig: Any) -> None:
    """Each alone says which records; what narrows it stands in the log."""
    records = await set_aside(rig, 1, 2, 3)
    operator = rig.ingest("operator")
    listed = (await operator.ListRecords(ingest_pb2.ListRecordsRequest(external_id="2"))).records[0]
    later, earlier = Timestamp(seconds=listed.updated_at.seconds + 60), Timestamp(seconds=1)
    for choice, found in (
        ({"changed_after": later}, 0),
        ({"changed_before": earlier}, 0),
        ({"changed_after": earlier, "changed_before": later}, 3),
        ({"delivery_id": listed.delivery_id}, 1),
        ({"external_id": "3"}, 1),
    ):
        assert (await operator.ReplayRecords(Replay(**choice, dry_run=True))).replayed == found
        assert (await operator.CountRecords(Count(**choice))).set_aside == found
        assert len((await operator.ListRecords(ingest_pb2.ListRecordsRequest(**choice))).records) == found
    answer = await operator.ReplayRecords(
        Replay(delivery_id=listed.delivery_id, changed_after=earlier, records_per_second=5)
    )
    assert list(answer.ids) == [record.id for record in records if record.external_id == "2"]

    def entries() -> list[Any]:
        return [entry for entry in rig.audit.entries.values() if entry.query_type == "replay"]

    (entry,) = await eventually(entries)
    logged = json.loads(entry.request_payload)
    assert (logged["delivery_id"], logged["changed_after"]) == (listed.delivery_id, "1970-01-01T00:00:01Z")
    assert logged["records_per_second"] == 5


async def test_a_replay_goes_on_call_by_call_at_a_rate(rig: Any) -> None:
    """Each call as many as are asked for, each record by its time; then they are counted by how they stand."""
    records = await set_aside(rig, *range(5))
    operator = rig.ingest("operator")
    request = Replay(system="law_enforcement", records_per_second=0.001, max_records=2)
    taken: list[int] = []
    for size in (2, 2, 1):
        answer = await operator.ReplayRecords(request)
        taken += answer.ids
        assert len(answer.ids) == size
        request.page_token = answer.next_page_token
    assert (taken, request.page_token) == ([record.id for record in records], "")
    # The first of each call is available at once, the second after a thousand seconds.
    lease = await rig.lease()
    assert [record.external_id for record in lease.records] == ["0", "2", "4"]
    synced = queue_pb2.Settlement(
        id=lease.records[0].id, revision=1, outcome=queue_pb2.Settlement.OUTCOME_SYNCED, local_id=1
    )
    await rig.queue().SettleRecords(queue_pb2.SettleRecordsRequest(lease_token=lease.lease_token, settlements=[synced]))
    counted = await rig.ingest("viewer").CountRecords(Count(ids=taken))
    assert (counted.total, counted.pending, counted.synced, counted.set_aside, counted.outdated) == (5, 4, 1, 0, 0)
    assert [(one.sync_status, one.count) for one in counted.counts] == [("pending", 4), ("synced", 1)]


async def test_what_makes_no_sense_is_refused(rig: Any) -> None:
    """Rates, numbers, times, ids, tokens of other requests, and callers without the role."""
    await set_aside(rig, 1, 2)
    operator = rig.ingest("operator")
    token = (await operator.ReplayRecords(Replay(system="law_enforcement", max_records=1))).next_page_token
    for call, bad, cause in (
        (operator.ReplayRecords, Replay(external_id="1", records_per_second=-1), "INVALID_REQUEST"),
        (operator.ReplayRecords, Replay(external_id="1", records_per_second=float("nan")), "INVALID_REQUEST"),
        (operator.ReplayRecords, Replay(external_id="1", records_per_second=float("inf")), "INVALID_REQUEST"),
        (operator.ReplayRecords, Replay(external_id="1", max_records=-1), "INVALID_REQUEST"),
        (operator.ReplayRecords, Replay(ids=range(1001)), "INVALID_REQUEST"),
        (operator.ReplayRecords, Replay(delivery_id="é"), "INVALID_REQUEST"),
        (operator.ReplayRecords, Replay(changed_after=Timestamp(seconds=2**60)), "INVALID_REQUEST"),
        (operator.ReplayRecords, Replay(system="none"), "SYSTEM_NOT_FOUND"),
        (operator.ReplayRecords, Replay(external_id="1", page_token=token), "INVALID_PAGE_TOKEN"),
        (operator.ReplayRecords, Replay(external_id="1", page_token="x"), "INVALID_PAGE_TOKEN"),
        (operator.CountRecords, Count(ids=range(10_001)), "INVALID_REQUEST"),
        (operator.CountRecords, Count(sync_status="done"), "INVALID_REQUEST"),
        (operator.CountRecords, Count(mapping="none"), "MAPPING_NOT_FOUND"),
        (rig.ingest("module:events").CountRecords, Count(), "PERMISSION_DENIED"),
        (rig.ingest("service:mapper").CountRecords, Count(), "PERMISSION_DENIED"),
    ):
        with pytest.raises(chassis_errors.IntertieError) as caught:
            await call(bad)
        assert caught.value.reason == cause
