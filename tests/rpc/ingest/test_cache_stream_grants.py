"""A stream of the cache that is under way when its grant is withdrawn or ends goes no further."""

import json
from typing import Any

import pytest

from ingest_samples import SECRET, mapping, system
from intertie.ingest.v1 import ingest_pb2, queue_pb2
from intertie_chassis.errors import IntertieError
from intertie_ingest.configuration import StoredGrant
from waiting import eventually

RECORDS = 60
LARGE = "x" * 150_000
"""Sixty of these are far more than lies on the way while the reader waits."""
EVERYTHING = ingest_pb2.ListCachedRecordsRequest(system="law_enforcement")


def _delivery(number: int) -> ingest_pb2.RawDelivery:
    headers = (("content-type", b"application/json"), ("x-webhook-secret", SECRET.encode()))
    return ingest_pb2.RawDelivery(
        route=ingest_pb2.ROUTE_WEBHOOK,
        system="law_enforcement",
        body=json.dumps({"id": f"{number:03}", "title": LARGE, "date": "2026-01-01"}).encode(),
        headers=[ingest_pb2.Header(name=name, value=value) for name, value in headers],
        peer="192.0.2.7",
    )


async def _drain(stream: Any, count: list[int]) -> None:
    async for answer in stream:
        count[0] += len(answer.records)


async def _fill(rig: Any) -> None:
    """Records that modules see."""
    for first in range(0, RECORDS, 20):
        await rig.accept(*(_delivery(number) for number in range(first, first + 20)))
    settled = 0
    while settled < RECORDS:
        lease = await rig.lease(max_records=20)
        settlements = [
            queue_pb2.Settlement(
                id=record.id,
                revision=record.revision,
                outcome=queue_pb2.Settlement.OUTCOME_SYNCED,
                local_id=record.id,
                local_key=b'{"id":%d}' % record.id,
            )
            for record in lease.records
        ]
        await rig.queue().SettleRecords(
            queue_pb2.SettleRecordsRequest(lease_token=lease.lease_token, settlements=settlements)
        )
        settled += len(settlements)


async def test_a_stream_ends_with_its_grant(rig: Any) -> None:
    """Behind what was on its way already; each of two streams with the reason of its own module."""
    await _fill(rig)
    streams = {
        name: aiter(rig.ingest(f"module:{name}").ListCachedRecords(EVERYTHING)) for name in ("events", "surveys")
    }
    read = {name: [len((await anext(stream)).records)] for name, stream in streams.items()}
    rig.feed.say(system(mapping(), grants=(StoredGrant("surveys", "read", True, ends_at=1_600_000_000.0),)))

    async def is_known() -> bool:
        try:
            await rig.ingest("module:events").ReadCache(ingest_pb2.ReadCacheRequest(system="law_enforcement"))
        except IntertieError:
            return True
        return False

    await eventually(is_known)  # type: ignore[arg-type]
    for name, reason in (("events", "PERMISSION_DENIED"), ("surveys", "GRANT_EXPIRED")):
        with pytest.raises(IntertieError) as ended:
            await _drain(streams[name], read[name])
        assert ended.value.reason == reason
        assert read[name][0] < RECORDS
