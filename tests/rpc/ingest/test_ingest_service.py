"""IngestService over gRPC: batches, pushes, lists and replays, with the roles that may."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from google.rpc import error_details_pb2

from ingest_samples import INCIDENT, SECRET, mapping, system
from intertie.ingest.v1 import ingest_pb2, queue_pb2
from intertie_chassis import errors as chassis_errors
from intertie_chassis.clock import utc_now
from intertie_chassis.database import Database
from intertie_chassis.paging import encode_token
from intertie_ingest.retention import Retention
from intertie_ingest.retention_store import RetentionStore
from intertie_ingest.tables import Tables
from waiting import eventually


def webhook(
    body: object = INCIDENT, name: str = "law_enforcement", secret: str = SECRET, key: str = "", **more: Any
) -> ingest_pb2.RawDelivery:
    headers = [("content-type", b"application/json"), ("x-webhook-secret", secret.encode())]
    headers += [("idempotency-key", key.encode())] if key else []
    return ingest_pb2.RawDelivery(
        route=ingest_pb2.ROUTE_WEBHOOK,
        system=name,
        body=body if isinstance(body, bytes) else json.dumps(body).encode(),
        headers=[ingest_pb2.Header(name=header, value=value) for header, value in headers],
        peer="192.0.2.7",
        request_id="request-7",
        **more,
    )


def reason(result: Any) -> str:
    info = error_details_pb2.ErrorInfo()
    assert result.error.details[0].Unpack(info)
    return str(info.reason)


async def test_each_delivery_of_a_batch_has_its_own_result(rig: Any) -> None:
    """Good ones are committed between bad ones; every refusal has its reason and nothing of it is stored."""
    results = await rig.accept(
        webhook(),
        webhook(b"not json"),
        webhook(secret="wrong"),
        webhook({"id": 2}, key="k"),
        webhook({"id": 3}, key="k"),
        webhook({"id": 2}, key="k"),
        webhook(name="nobody"),
        webhook([{"id": 4}, {"id": 5}]),
    )
    assert [result.WhichOneof("outcome") for result in results] == [
        "acceptance", "error", "error", "acceptance", "error", "acceptance", "error", "acceptance",
    ]  # fmt: skip
    assert [reason(results[index]) for index in (1, 2, 4, 6)] == [
        "INVALID_JSON", "UNAUTHENTICATED", "DELIVERY_KEY_REUSED", "UNAUTHENTICATED",
    ]  # fmt: skip
    first = results[0].acceptance
    assert (first.system, list(first.external_ids), first.duplicate, first.is_array, first.record_count) == (
        "law_enforcement", ["12345"], False, False, 1,
    )  # fmt: skip
    assert (results[5].acceptance.duplicate, results[5].acceptance.delivery_id) == (
        True,
        results[3].acceptance.delivery_id,
    )
    assert (results[7].acceptance.is_array, results[7].acceptance.record_count) == (True, 2)
    listed = await rig.ingest("viewer").ListDeliveries(ingest_pb2.ListDeliveriesRequest())
    assert len(listed.deliveries) == 3


async def test_without_a_configuration_all_is_503(unconfigured: Any) -> None:
    """Nobody is told 401 because we do not know them yet; the health says so too."""
    with pytest.raises(chassis_errors.Unavailable) as caught:
        await unconfigured.accept(webhook())
    assert caught.value.reason == "NO_SNAPSHOT"
    assert caught.value.retry_after
    with pytest.raises(chassis_errors.Unavailable):
        await unconfigured.lease()


async def test_a_change_of_the_configuration_counts_at_once_and_without_a_restart(rig: Any) -> None:
    """A rotated secret, a system that is switched off, and a mapping's records that are held and released."""
    await rig.accept(webhook())
    rig.feed.say(system(mapping(is_active=False), webhook_secret="rotated"))

    async def is_rotated() -> bool:
        (result,) = await rig.accept(webhook({"id": "unrouted"}, secret="rotated"))
        return bool(result.WhichOneof("outcome") == "acceptance")

    await eventually(is_rotated)
    (old,) = await rig.accept(webhook())
    assert reason(old) == "UNAUTHENTICATED"
    assert not (await rig.lease()).records
    (record,) = (await rig.ingest().ListRecords(ingest_pb2.ListRecordsRequest())).records
    assert (record.sync_status, record.error_reason) == ("pending", "mapping_inactive")
    rig.feed.say(system(mapping()))
    lease = await rig.lease(wait_milliseconds=5000)
    assert [leased.external_id for leased in lease.records] == ["12345"]


async def test_pushes_by_token(rig: Any) -> None:
    """A module with a grant to write and an operator; the contract keeps others out."""
    request = ingest_pb2.PushRequest(
        system="law_enforcement", mapping="incidents_to_events", data=b'{"id": 1, "n": 1.50}', idempotency_key="k"
    )
    first = (await rig.ingest("module:events").Push(request)).acceptance
    again = (await rig.ingest("module:events").Push(request)).acceptance
    by_operator = (await rig.ingest("operator").Push(request)).acceptance
    assert (first.mapping, list(first.external_ids), first.duplicate) == ("incidents_to_events", ["1"], False)
    assert (again.duplicate, again.delivery_id) == (True, first.delivery_id)
    assert not by_operator.duplicate
    for role in ("module:surveys", "module:unknown", "viewer", "service:mapper"):
        with pytest.raises(chassis_errors.PermissionDenied):
            await rig.ingest(role).Push(request)
    stored = await rig.ingest().GetDelivery(ingest_pb2.GetDeliveryRequest(delivery_id=first.delivery_id))
    assert stored.body == b'{"id": 1, "n": 1.50}'
    for changes, cause in (
        ({"mapping": "none"}, "MAPPING_NOT_FOUND"),
        ({"system": "none"}, "SYSTEM_NOT_FOUND"),
        ({"data": b"["}, "INVALID_JSON"),
        ({"data": b'{"a":1,"a":2}'}, "DUPLICATE_KEY"),
        ({"data": b'{"id":true}'}, "INVALID_REQUEST"),
        ({"data": b'{"id":2}'}, "DELIVERY_KEY_REUSED"),
        ({"idempotency_key": "x" * 300}, "INVALID_REQUEST"),
    ):
        changed = ingest_pb2.PushRequest()
        changed.CopyFrom(request)
        for name, value in changes.items():
            setattr(changed, name, value)
        with pytest.raises(chassis_errors.IntertieError) as caught:
            await rig.ingest("operator").Push(changed)
        assert caught.value.reason == cause


async def test_audit_hears_of_every_delivery_and_refusal(rig: Any) -> None:
    """Once each, with the delivery's id and digest, never its body or a secret."""
    results = await rig.accept(webhook(), webhook(), webhook(secret="wrong-canary"), webhook(b"canary-body"))

    def heard() -> bool:
        entries = list(rig.audit.entries.values())
        return (
            sum(1 for entry in entries if entry.status == "success") == 2
            and sum(json.loads(entry.request_payload)["count"] for entry in entries if entry.status == "error") == 2
        )

    await eventually(heard)
    entries = list(rig.audit.entries.values())
    accepted = sorted(
        (entry for entry in entries if entry.status == "success"), key=lambda entry: entry.response_payload
    )
    assert [json.loads(entry.response_payload) for entry in accepted] == [
        {"duplicate": False, "state": "pending"},
        {"duplicate": True},
    ]
    assert {entry.delivery_id for entry in accepted} == {results[0].acceptance.delivery_id}
    assert {(entry.actor, entry.request_id, entry.query_type) for entry in accepted} == {
        ("system:law_enforcement", "request-7", "webhook")
    }
    refused = {json.loads(entry.response_payload)["reason"] for entry in entries if entry.status == "error"}
    assert refused == {"UNAUTHENTICATED", "INVALID_JSON"}
    everything = b"".join(entry.SerializeToString() for entry in entries)
    assert not any(canary in everything for canary in (b"canary", SECRET.encode(), b"Traffic Accident"))
    rejections = await rig.ingest("viewer").ListRejections(ingest_pb2.ListRejectionsRequest(system="law_enforcement"))
    assert sorted((one.reason, one.count, one.source) for one in rejections.rejections) == [
        ("INVALID_JSON", 1, "192.0.2.7"),
        ("UNAUTHENTICATED", 1, "192.0.2.7"),
    ]


async def test_lists_page_and_filter(rig: Any) -> None:
    """Tokens continue their own request only; unknown names and states are refused."""
    await rig.accept(*(webhook({"id": number}) for number in range(5)))
    viewer = rig.ingest("viewer")
    request = ingest_pb2.ListDeliveriesRequest(system="law_enforcement", page_size=2)
    seen: list[str] = []
    while True:
        page = await viewer.ListDeliveries(request)
        seen += [one.delivery_id for one in page.deliveries]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert len(seen) == len(set(seen)) == 5
    records = await viewer.ListRecords(ingest_pb2.ListRecordsRequest(page_size=3))
    rest = await viewer.ListRecords(ingest_pb2.ListRecordsRequest(page_size=3, page_token=records.next_page_token))
    assert sorted(one.external_id for one in [*records.records, *rest.records]) == ["0", "1", "2", "3", "4"]
    forged = encode_token(["é"], ingest_pb2.ListDeliveriesRequest())
    one = await viewer.GetRecord(ingest_pb2.GetRecordRequest(id=records.records[0].id))
    assert one == records.records[0]
    stolen = records.next_page_token
    for call, bad, cause in (
        (viewer.ListRecords, ingest_pb2.ListRecordsRequest(page_token=stolen, system="x"), "SYSTEM_NOT_FOUND"),
        (viewer.ListRecords, ingest_pb2.ListRecordsRequest(page_token=stolen, external_id="0"), "INVALID_PAGE_TOKEN"),
        (viewer.ListDeliveries, ingest_pb2.ListDeliveriesRequest(page_token=stolen), "INVALID_PAGE_TOKEN"),
        (viewer.ListDeliveries, ingest_pb2.ListDeliveriesRequest(page_token=forged), "INVALID_PAGE_TOKEN"),
        (viewer.ListRecords, ingest_pb2.ListRecordsRequest(page_size=-1), "INVALID_REQUEST"),
        (viewer.ListRecords, ingest_pb2.ListRecordsRequest(sync_status="done"), "INVALID_REQUEST"),
        (viewer.ListRecords, ingest_pb2.ListRecordsRequest(system="none"), "SYSTEM_NOT_FOUND"),
        (viewer.ListRecords, ingest_pb2.ListRecordsRequest(mapping="none"), "MAPPING_NOT_FOUND"),
        (viewer.ListDeliveries, ingest_pb2.ListDeliveriesRequest(state=99), "INVALID_REQUEST"),
        (viewer.GetRecord, ingest_pb2.GetRecordRequest(id=10**9), "RECORD_NOT_FOUND"),
        (viewer.GetRecord, ingest_pb2.GetRecordRequest(id=-(2**63)), "RECORD_NOT_FOUND"),
        (viewer.GetDelivery, ingest_pb2.GetDeliveryRequest(delivery_id="é" * 500), "DELIVERY_NOT_FOUND"),
    ):  # fmt: skip
        with pytest.raises(chassis_errors.IntertieError) as caught:
            await call(bad)
        assert caught.value.reason == cause


async def test_a_delivery_whose_body_has_expired_says_so(rig: Any, database_url: str) -> None:
    """Digest, size and key are told as before; its repetition is a duplicate."""
    (accepted,) = await rig.accept(webhook(key="k"))
    lease = await rig.lease()
    (record,) = lease.records
    settled = queue_pb2.Settlement(id=record.id, revision=record.revision, outcome=queue_pb2.Settlement.OUTCOME_SYNCED)
    await rig.queue().SettleRecords(
        queue_pb2.SettleRecordsRequest(lease_token=lease.lease_token, settlements=[settled])
    )
    request = ingest_pb2.GetDeliveryRequest(delivery_id=accepted.acceptance.delivery_id)
    before = await rig.ingest("viewer").GetDelivery(request)
    assert not before.is_body_expired
    database = await Database.open(database_url, table_prefix=rig.settings.table_prefix)
    store = RetentionStore(database, Tables.named(rig.settings.table_prefix))
    await Retention(store, 30, 400, clock=lambda: utc_now() + timedelta(days=31)).round()
    await database.close()
    after = await rig.ingest("viewer").GetDelivery(request)
    assert (after.body, after.is_body_expired) == (b"", True)
    (listed,) = (await rig.ingest().ListDeliveries(ingest_pb2.ListDeliveriesRequest())).deliveries
    assert listed.is_body_expired
    before.ClearField("body")
    after.ClearField("is_body_expired")
    assert after == before
    (again,) = await rig.accept(webhook(key="k"))
    assert again.acceptance.duplicate
    (other,) = await rig.accept(webhook({"id": 2}, key="k"))
    assert reason(other) == "DELIVERY_KEY_REUSED"


async def test_the_cache_is_for_those_with_a_grant(rig: Any) -> None:
    """Only what is synced; a module without a grant cannot tell whether the system exists."""
    await rig.accept(webhook(), webhook({"id": "pending"}))
    lease = await rig.lease(max_records=1)
    await rig.queue().SettleRecords(
        queue_pb2.SettleRecordsRequest(
            lease_token=lease.lease_token,
            settlements=[
                queue_pb2.Settlement(
                    id=lease.records[0].id,
                    revision=lease.records[0].revision,
                    outcome=queue_pb2.Settlement.OUTCOME_SYNCED,
                    local_id=3,
                    local_key=b'{"id":3}',
                )
            ],
        )
    )
    request = ingest_pb2.ReadCacheRequest(system="law_enforcement", mapping="incidents_to_events")
    for role in ("module:events", "module:surveys", "viewer", "admin"):
        answer = await rig.ingest(role).ReadCache(request)
        assert (answer.count, answer.data[0].external_id, answer.data[0].local_id) == (1, "12345", 3)
    everything = ingest_pb2.ListCachedRecordsRequest(system="law_enforcement")
    for role in ("module:surveys", "viewer"):
        streamed = [one async for answer in rig.ingest(role).ListCachedRecords(everything) for one in answer.records]
        assert [record.external_id for record in streamed] == ["12345"]
    for role in ("module:unknown", "service:mapper"):
        with pytest.raises(chassis_errors.PermissionDenied):
            await anext(aiter(rig.ingest(role).ListCachedRecords(everything)))
    with pytest.raises(chassis_errors.PermissionDenied):
        await rig.ingest("module:unknown").ReadCache(request)
    with pytest.raises(chassis_errors.PermissionDenied):
        await rig.ingest("module:events").ReadCache(ingest_pb2.ReadCacheRequest(system="none"))
    for bad, cause in (
        (ingest_pb2.ReadCacheRequest(system="none"), "SYSTEM_NOT_FOUND"),
        (ingest_pb2.ReadCacheRequest(), "INVALID_REQUEST"),
    ):
        with pytest.raises(chassis_errors.IntertieError) as caught:
            await rig.ingest("viewer").ReadCache(bad)
        assert caught.value.reason == cause


async def test_only_the_gateway_hands_in_deliveries(rig: Any) -> None:
    """Whoever may call could claim any peer address."""
    request = ingest_pb2.AcceptDeliveriesRequest(deliveries=[webhook()])
    for role in ("admin", "operator", "module:events", "service:mapper"):
        with pytest.raises(chassis_errors.PermissionDenied):
            await rig.ingest(role).AcceptDeliveries(request)


async def test_many_batches_at_once_keep_every_delivery(rig: Any) -> None:
    """Twenty batches over the same records: each delivery is committed or a duplicate, none is lost."""
    batches = await asyncio.gather(
        *(rig.accept(*(webhook({"id": number, "batch": batch}) for number in range(10))) for batch in range(20))
    )
    results = [result for batch in batches for result in batch]
    assert all(result.WhichOneof("outcome") == "acceptance" for result in results)
    ids = {result.acceptance.delivery_id for result in results}
    assert len(ids) == 200
    records = (await rig.ingest().ListRecords(ingest_pb2.ListRecordsRequest())).records
    assert [record.revision for record in records] == [20] * 10
