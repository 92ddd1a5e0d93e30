"""Receiving while something is away: the neighbours, the database, room on its disk."""

import json
from typing import Any

from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from ingest_samples import SECRET
from intertie.ingest.v1 import ingest_pb2
from waiting import eventually


def _webhook(number: int, more: str = "") -> ingest_pb2.RawDelivery:
    headers = {"content-type": b"application/json", "x-webhook-secret": SECRET.encode()}
    return ingest_pb2.RawDelivery(
        route=ingest_pb2.ROUTE_WEBHOOK,
        system="law_enforcement",
        body=json.dumps({"id": number, "more": more}).encode(),
        headers=[ingest_pb2.Header(name=name, value=value) for name, value in headers.items()],
        peer="192.0.2.7",
        request_id="request-7",
    )


def _reason(result: Any) -> str:
    """STORE_UNAVAILABLE with a time to come back, as its reason alone; empty for what was accepted."""
    if result.WhichOneof("outcome") == "acceptance":
        return ""
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert any(detail.Unpack(info) for detail in result.error.details)
    assert any(detail.Unpack(retry) for detail in result.error.details)
    assert retry.retry_delay.seconds >= 1
    return str(info.reason)


async def _is_accepted(rig: Any, number: int) -> bool:
    (result,) = await rig.accept(_webhook(number))
    return _reason(result) == ""


async def _is_serving(rig: Any) -> bool:
    stub = health_pb2_grpc.HealthStub(rig.as_("service:gateway"))
    answer = await stub.Check(health_pb2.HealthCheckRequest(service="intertie.ingest.v1.IngestService"))
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def test_without_registry_audit_and_mapper_receiving_goes_on(rig: Any) -> None:
    """Nobody leases, and the two others have gone: what comes is stored and acknowledged."""
    await rig.neighbours.stop()
    results = await rig.accept(*(_webhook(number) for number in range(20)))
    assert {_reason(result) for result in results} == {""}
    assert await _is_serving(rig)
    listed = await rig.ingest().ListDeliveries(ingest_pb2.ListDeliveriesRequest(system="law_enforcement"))
    assert len(listed.deliveries) == 20


async def test_a_database_that_hangs_is_503_for_all_and_heals(behind_passage: Any) -> None:
    """Each delivery has its answer, and health says it too; what was acknowledged is there afterwards."""
    rig, passage = behind_passage
    assert await _is_accepted(rig, 1)
    await eventually(lambda: _is_serving(rig))
    passage.narrow(0)
    results = await rig.accept(_webhook(2), _webhook(3))
    assert [_reason(result) for result in results] == ["STORE_UNAVAILABLE"] * 2
    for number in range(50):  # minutes, if each met the database by itself
        assert not await _is_accepted(rig, number)
    await eventually(lambda: _is_not_serving(rig))
    passage.widen()
    await eventually(lambda: _is_accepted(rig, 4), timeout=5)
    await eventually(lambda: _is_serving(rig))
    records = (await rig.ingest().ListRecords(ingest_pb2.ListRecordsRequest())).records
    assert {"1", "4"} <= {record.external_id for record in records}


async def _is_not_serving(rig: Any) -> bool:
    return not await _is_serving(rig)


async def test_a_full_disk_is_503_and_not_ready_until_there_is_room(embedded: Any) -> None:
    """SQLite says FULL at each write; three of them take the process out of service, without ending it."""

    async def most_pages(most: int | None) -> None:
        async def work(connection: AsyncConnection) -> None:
            pages = most or await connection.scalar(text("PRAGMA page_count"))
            await connection.execute(text(f"PRAGMA max_page_count = {pages}"))

        await embedded.database.transaction(work)

    assert await _is_accepted(embedded, 0)
    await eventually(lambda: _is_serving(embedded))
    await most_pages(None)
    long = "x" * 100_000
    for number in range(1, 5):
        (result,) = await embedded.accept(_webhook(number, long))
        assert _reason(result) == "STORE_UNAVAILABLE"
    await eventually(lambda: _is_not_serving(embedded))
    await most_pages(1_000_000)
    assert await _is_accepted(embedded, 5)
    await eventually(lambda: _is_serving(embedded))
    records = (await embedded.ingest().ListRecords(ingest_pb2.ListRecordsRequest())).records
    assert {record.external_id for record in records} == {"0", "5"}
    async with embedded.database.read() as connection:
        assert await connection.scalar(text("PRAGMA integrity_check")) == "ok"
