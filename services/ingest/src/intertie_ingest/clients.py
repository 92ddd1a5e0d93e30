"""What ingest calls: registry's feed, for the configuration, and audit, for what its outbox holds."""

from collections.abc import AsyncGenerator

from intertie.audit.v1 import audit_pb2, audit_pb2_grpc
from intertie.registry.v1 import feed_pb2, feed_pb2_grpc
from intertie_chassis.clients import Channel
from intertie_ingest import feed_convert
from intertie_ingest.snapshot import Change

AUDIT_SECONDS = 10.0


class FeedClient:
    """Registry's feed."""

    def __init__(self, channel: Channel) -> None:
        self._feed = feed_pb2_grpc.RegistryFeedStub(channel)

    async def watch(self) -> AsyncGenerator[Change, None]:
        """The snapshot and then each change, until the stream ends. Raises what the call raises."""
        answers = self._feed.WatchConfiguration(feed_pb2.WatchConfigurationRequest())
        try:
            async for answer in answers:
                yield feed_convert.change(answer)
        finally:
            answers.cancel()


class AuditClient:
    """The log of what happened."""

    def __init__(self, channel: Channel) -> None:
        self._audit = audit_pb2_grpc.AuditServiceStub(channel)

    async def append(self, message: bytes) -> None:
        """Appends the entries of one of the outbox's messages; returns when audit has them.

        Raises what the call raises.
        """
        await self._audit.AppendEntries(audit_pb2.AppendEntriesRequest.FromString(message), timeout=AUDIT_SECONDS)
