"""RegistryFeed: sends the live configuration to the other services, gives pull its ticks, and takes its reports."""

from collections.abc import AsyncIterator
from typing import Any

from intertie.registry.v1 import feed_pb2, feed_pb2_grpc
from intertie_chassis.calls import current_request_id
from intertie_chassis.clock import utc_now
from intertie_chassis.identity import current_principal
from intertie_registry import feed_convert, tick_convert
from intertie_registry.feed_convert import Trust
from intertie_registry.model import Actor
from intertie_registry.stores import Stores

DESCRIPTOR = feed_pb2.DESCRIPTOR.services_by_name["RegistryFeed"]
add_to_server = feed_pb2_grpc.add_RegistryFeedServicer_to_server


#: seconds without a change after which a watcher gets a sign of life
SIGN_OF_LIFE = 3.0
#: ingest verifies deliveries by what config_json holds; pull reaches the systems
_TRUSTED = {"ingest": Trust.SECRETS, "pull": Trust.CREDENTIALS}


class RegistryFeed(feed_pb2_grpc.RegistryFeedServicer):
    """Serves intertie.registry.v1.RegistryFeed."""

    def __init__(self, stores: Stores, *, sign_of_life: float = SIGN_OF_LIFE) -> None:
        self._live = stores.live
        self._ticks = stores.ticks
        self._reports = stores.reports
        self._sign_of_life = sign_of_life

    async def WatchConfiguration(
        self, request: feed_pb2.WatchConfigurationRequest, context: Any
    ) -> AsyncIterator[feed_pb2.WatchConfigurationResponse]:
        """The snapshot in parts, then changes as they come."""
        principal = current_principal()
        trust = _TRUSTED.get(principal.name, Trust.NONE) if principal.role == "service" else Trust.NONE
        with self._live.watch() as watcher:
            for message in feed_convert.snapshot(watcher.images, trust):
                yield message
            while True:
                changed = await watcher.changes(self._sign_of_life)
                for message in feed_convert.changes(changed, trust):
                    yield message

    async def ClaimTicks(self, request: feed_pb2.ClaimTicksRequest, context: Any) -> feed_pb2.ClaimTicksResponse:
        """Take note of the ticks that have been taken up, then give those that are due."""
        taken, now = tick_convert.taken_ticks(request), utc_now()
        await self._ticks.take(taken, now, Actor(current_principal().subject, current_request_id() or ""))
        return tick_convert.ticks_response(await self._ticks.due(tick_convert.most_ticks(request), now))

    async def ReportSync(self, request: feed_pb2.ReportSyncRequest, context: Any) -> feed_pb2.ReportSyncResponse:
        """Keep when a mapping synced."""
        report = tick_convert.sync_report(request)
        actor = Actor(current_principal().subject, current_request_id() or "")
        await self._reports.synced(
            report.mapping_id, report.finished_at, utc_now(), actor, is_scheduled=report.is_scheduled
        )
        return feed_pb2.ReportSyncResponse()

    async def ReportConnectionTest(
        self, request: feed_pb2.ReportConnectionTestRequest, context: Any
    ) -> feed_pb2.ReportConnectionTestResponse:
        """Keep what a trial of a connection came to."""
        report = tick_convert.trial_report(request)
        await self._reports.tested(report.connection_id, report.status, report.error, report.tested_at)
        return feed_pb2.ReportConnectionTestResponse()
