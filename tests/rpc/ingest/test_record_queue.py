"""RecordQueue over gRPC: waiting, waking, settling and extending, and what is refused."""

import asyncio
import json
from typing import Any

import pytest

from ingest_samples import SECRET
from intertie.ingest.v1 import ingest_pb2, queue_pb2, queue_pb2_grpc
from intertie_chassis import errors as chassis_errors
from intertie_ingest.queue_service import QueueService
from intertie_ingest.wakeup import Wakeup


async def deliver(rig: Any, *numbers: int) -> None:
    await rig.accept(
        *(
            ingest_pb2.RawDelivery(
                route=ingest_pb2.ROUTE_WEBHOOK,
                system="law_enforcement",
                body=json.dumps({"id": number}).encode(),
                headers=[
                    ingest_pb2.Header(name="content-type", value=b"application/json"),
                    ingest_pb2.Header(name="x-webhook-secret", value=SECRET.encode()),
                ],
            )
            for number in numbers
        )
    )


async def test_a_waiting_lease_is_woken_by_a_delivery(rig: Any) -> None:
    """Each of two waiters gets something of its own."""
    waiting = [asyncio.create_task(rig.lease(max_records=1, wait_milliseconds=20_000)) for _ in range(2)]
    await deliver(rig, 1, 2)
    leases = await asyncio.gather(*waiting)
    assert sorted(record.external_id for lease in leases for record in lease.records) == ["1", "2"]
    assert len({lease.lease_token for lease in leases}) == 2


async def test_an_announcement_rings_the_bell() -> None:
    """As pull makes it for records that it wrote itself; how many they are counts for leases that wait to fill."""
    wakeup = Wakeup()
    rung = wakeup.listen()
    await QueueService(None, wakeup).AnnounceRecords(queue_pb2.AnnounceRecordsRequest(records=3), None)  # type: ignore[arg-type]
    assert (rung.is_set(), wakeup.released) == (True, 3)


async def test_only_pull_announces(rig: Any) -> None:
    """Nobody else, and no negative number."""
    pull = queue_pb2_grpc.RecordQueueStub(rig.as_("service:pull"))
    await pull.AnnounceRecords(queue_pb2.AnnounceRecordsRequest(records=1))
    with pytest.raises(chassis_errors.PermissionDenied):
        await rig.queue().AnnounceRecords(queue_pb2.AnnounceRecordsRequest(records=1))
    with pytest.raises(chassis_errors.InvalidArgument):
        await pull.AnnounceRecords(queue_pb2.AnnounceRecordsRequest(records=-1))


async def test_an_empty_queue_answers_when_the_wait_is_over(rig: Any) -> None:
    """No token, no records; also without a wait."""
    for wait in (0, 50):
        lease = await rig.lease(wait_milliseconds=wait)
        assert (lease.lease_token, list(lease.records)) == ("", [])


async def test_settle_and_extend(rig: Any) -> None:
    """What held and what is lost is said."""
    await deliver(rig, 1)
    lease = await rig.lease(lease_seconds=30)
    assert lease.HasField("expires_at")
    queue = rig.queue()
    extended = await queue.ExtendLeases(
        queue_pb2.ExtendLeasesRequest(lease_tokens=[lease.lease_token, "lost"], lease_seconds=60)
    )
    assert list(extended.lost_tokens) == ["lost"]
    settlement = queue_pb2.Settlement(
        id=lease.records[0].id, revision=1, outcome=queue_pb2.Settlement.OUTCOME_SYNCED, local_key=b'{"id":1}'
    )
    settle = queue_pb2.SettleRecordsRequest(lease_token=lease.lease_token, settlements=[settlement])
    assert list((await queue.SettleRecords(settle)).stale_ids) == []
    assert list((await queue.SettleRecords(settle)).stale_ids) == [lease.records[0].id]
    assert list((await queue.ExtendLeases(queue_pb2.ExtendLeasesRequest(lease_tokens=[lease.lease_token]))).lost_tokens)


async def test_a_lease_that_tried_nothing_is_no_attempt(rig: Any) -> None:
    """Said so, the next lease has the same count; left out, as an older mapper does, it has one more."""
    await deliver(rig, 1)
    counts = []
    for untried in (True, True, False, False):
        lease = await rig.lease(wait_milliseconds=5000)
        counts.append(lease.records[0].attempts)
        settlement = queue_pb2.Settlement(
            id=lease.records[0].id, revision=1, outcome=queue_pb2.Settlement.OUTCOME_RETRY, untried=untried
        )
        await rig.queue().SettleRecords(
            queue_pb2.SettleRecordsRequest(lease_token=lease.lease_token, settlements=[settlement])
        )
    assert counts == [1, 1, 1, 2]


async def test_what_is_no_request(rig: Any) -> None:
    """Negative numbers, nothing to settle, no outcome, a row in the table by a lease that tried nothing."""
    queue = rig.queue()
    for call, request in (
        (queue.LeaseRecords, queue_pb2.LeaseRecordsRequest(max_records=-1)),
        (queue.LeaseRecords, queue_pb2.LeaseRecordsRequest(lease_seconds=-1)),
        (queue.SettleRecords, queue_pb2.SettleRecordsRequest(lease_token="x")),
        (queue.SettleRecords, queue_pb2.SettleRecordsRequest(settlements=[queue_pb2.Settlement(id=1)])),
        (
            queue.SettleRecords,
            queue_pb2.SettleRecordsRequest(lease_token="x", settlements=[queue_pb2.Settlement(id=1)]),
        ),
        (
            queue.SettleRecords,
            queue_pb2.SettleRecordsRequest(
                lease_token="x",
                settlements=[queue_pb2.Settlement(id=1, outcome=queue_pb2.Settlement.OUTCOME_SYNCED, untried=True)],
            ),
        ),
        (queue.ExtendLeases, queue_pb2.ExtendLeasesRequest()),
    ):
        with pytest.raises(chassis_errors.InvalidArgument):
            await call(request)


async def test_the_queue_is_mappers(rig: Any) -> None:
    """No other role, and no other service."""
    for role in ("admin", "viewer", "module:events", "service:gateway"):
        with pytest.raises(chassis_errors.PermissionDenied):
            await queue_pb2_grpc.RecordQueueStub(rig.as_(role)).LeaseRecords(queue_pb2.LeaseRecordsRequest())


async def test_a_stopping_server_lets_waiters_go(rig: Any) -> None:
    """They are answered, not cut off: nothing is leased to nobody."""
    waiting = asyncio.create_task(rig.lease(wait_milliseconds=30_000))
    await rig.lease()  # the waiter's call is at the server by now
    await rig.server.stop()
    answer = (await asyncio.gather(waiting, return_exceptions=True))[0]
    assert isinstance(answer, chassis_errors.Unavailable) or not answer.records
