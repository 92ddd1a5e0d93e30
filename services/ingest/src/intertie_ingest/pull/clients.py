"""What pull calls beside the feed and audit: registry's schedule, and ingest, whose cache syncs write to."""

from collections.abc import Sequence
from datetime import datetime

from intertie.ingest.v1 import queue_pb2, queue_pb2_grpc
from intertie.registry.v1 import feed_pb2, feed_pb2_grpc
from intertie_chassis.clients import Channel
from intertie_ingest.field_convert import fill_time, moment
from intertie_ingest.pull.questions import Trial
from intertie_ingest.syncs.schedule import Tick


class RegistryClient:
    """Registry, as far as it keeps the time and what is known of connections."""

    def __init__(self, channel: Channel) -> None:
        self._feed = feed_pb2_grpc.RegistryFeedStub(channel)

    async def claim_ticks(self, taken: Sequence[Tick], most: int) -> list[Tick]:
        """Tells which ticks have their run; gives up to `most` that are due. Raises what the call raises."""
        request = feed_pb2.ClaimTicksRequest(max_ticks=most)
        for tick in taken:
            message = request.taken.add(mapping_id=tick.mapping_id, system_id=tick.system_id, passed_over=tick.missed)
            fill_time(message.due_at, tick.due_at)
        answer = await self._feed.ClaimTicks(request)
        return [Tick(one.mapping_id, one.system_id, moment(one.due_at), one.missed) for one in answer.ticks]

    async def report_sync(self, mapping_id: int, finished_at: datetime, is_scheduled: bool) -> None:
        """Says that a mapping has synced, and whether a tick brought it. Raises what the call raises."""
        request = feed_pb2.ReportSyncRequest(mapping_id=mapping_id, is_scheduled=is_scheduled)
        fill_time(request.finished_at, finished_at)
        await self._feed.ReportSync(request)

    async def report_trial(self, trial: Trial) -> None:
        """Says what came of trying a connection. Raises what the call raises."""
        request = feed_pb2.ReportConnectionTestRequest(
            connection_id=trial.connection_id, connection_status=trial.status, connection_error=trial.error
        )
        fill_time(request.tested_at, trial.tried_at)
        await self._feed.ReportConnectionTest(request)


class QueueClient:
    """Ingest's queue of records for mapper."""

    def __init__(self, channel: Channel) -> None:
        self._queue = queue_pb2_grpc.RecordQueueStub(channel)

    async def announce(self, records: int) -> None:
        """Says that so many records have been made available. Raises what the call raises."""
        await self._queue.AnnounceRecords(queue_pb2.AnnounceRecordsRequest(records=records))
