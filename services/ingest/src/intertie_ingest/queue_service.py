"""RecordQueue: hands pending records to mapper under leases."""

from typing import Any

from intertie.ingest.v1 import queue_pb2, queue_pb2_grpc
from intertie_chassis.calls import time_remaining
from intertie_ingest import queue_convert
from intertie_ingest.leases import Leases
from intertie_ingest.wakeup import Wakeup

_ANSWER_SECONDS = 0.5
DESCRIPTOR = queue_pb2.DESCRIPTOR.services_by_name["RecordQueue"]
add_to_server = queue_pb2_grpc.add_RecordQueueServicer_to_server


class QueueService(queue_pb2_grpc.RecordQueueServicer):
    """The queue's methods."""

    def __init__(self, leases: Leases, wakeup: Wakeup) -> None:
        self._leases = leases
        self._wakeup = wakeup

    async def LeaseRecords(
        self, request: queue_pb2.LeaseRecordsRequest, context: Any
    ) -> queue_pb2.LeaseRecordsResponse:
        """Leases pending records; waits for some when there are none."""
        remaining = time_remaining()
        wait = queue_convert.wait_seconds(request)
        if remaining is not None:
            # Records leased for a caller that no longer listens would lie until their lease ends.
            wait = min(wait, max(0.0, remaining - _ANSWER_SECONDS))
        lease = await self._leases.lease(
            queue_convert.most_records(request),
            queue_convert.lease_seconds(request),
            wait,
            may_be_short=request.may_be_short,
        )
        return queue_convert.lease_response(lease)

    async def SettleRecords(
        self, request: queue_pb2.SettleRecordsRequest, context: Any
    ) -> queue_pb2.SettleRecordsResponse:
        """Says what became of leased records."""
        stale = await self._leases.settle(queue_convert.lease_token(request), queue_convert.settlements(request))
        return queue_pb2.SettleRecordsResponse(stale_ids=stale)

    async def AnnounceRecords(
        self, request: queue_pb2.AnnounceRecordsRequest, context: Any
    ) -> queue_pb2.AnnounceRecordsResponse:
        """Says that records have been made available."""
        self._wakeup.ring(queue_convert.announced_records(request))
        return queue_pb2.AnnounceRecordsResponse()

    async def ExtendLeases(
        self, request: queue_pb2.ExtendLeasesRequest, context: Any
    ) -> queue_pb2.ExtendLeasesResponse:
        """Keeps leases from expiring."""
        lost = await self._leases.extend(queue_convert.lease_tokens(request), queue_convert.lease_seconds(request))
        return queue_pb2.ExtendLeasesResponse(lost_tokens=lost)
