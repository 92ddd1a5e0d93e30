"""The services that mapper calls: ingest for records, registry for the configuration, audit for its entries."""

from collections.abc import AsyncGenerator, Callable, Sequence

from intertie.audit.v1 import audit_pb2, audit_pb2_grpc
from intertie.ingest.v1 import ingest_pb2, ingest_pb2_grpc, queue_pb2, queue_pb2_grpc
from intertie.registry.v1 import feed_pb2, feed_pb2_grpc
from intertie_chassis.clients import Channel
from intertie_chassis.following import follow
from intertie_mapper import convert
from intertie_mapper.configuration import Configuration
from intertie_mapper.model import Ending, Lease

_SILENCE_SECONDS = 10.0
_SETTLE_SECONDS = 15.0


class IngestQueue:
    """Ingest's RecordQueue."""

    def __init__(self, channel: Channel) -> None:
        self._stub = queue_pb2_grpc.RecordQueueStub(channel)

    async def lease(self, most: int, lease_seconds: int, wait_milliseconds: int) -> Lease | None:
        """Records under a lease; None when there were none for so long. Raises Unavailable."""
        request = queue_pb2.LeaseRecordsRequest(
            max_records=most,
            lease_seconds=lease_seconds,
            wait_milliseconds=wait_milliseconds,
            may_be_short=True,
        )
        return convert.lease(await self._stub.LeaseRecords(request, timeout=wait_milliseconds / 1000 + 10))

    async def settle(self, token: str, endings: Sequence[Ending]) -> Sequence[int]:
        """Say how records ended; gives the numbers of those whose settlement did not hold. Raises Unavailable."""
        answer = await self._stub.SettleRecords(convert.settlements(token, endings), timeout=_SETTLE_SECONDS)
        return tuple(answer.stale_ids)

    async def extend(self, tokens: Sequence[str], lease_seconds: int) -> Sequence[str]:
        """Keep leases from expiring; gives those that are lost. Raises Unavailable."""
        request = queue_pb2.ExtendLeasesRequest(lease_tokens=tokens, lease_seconds=lease_seconds)
        return tuple((await self._stub.ExtendLeases(request)).lost_tokens)


class CachedRecords:
    """Ingest's cache, read."""

    def __init__(self, channel: Channel) -> None:
        self._stub = ingest_pb2_grpc.IngestServiceStub(channel)

    async def newest(self, system: str, mapping: str, most: int) -> list[bytes]:
        """The newest records of a mapping. Raises Unavailable."""
        request = ingest_pb2.ListRecordsRequest(system=system, mapping=mapping, page_size=most)
        return [record.data_json for record in (await self._stub.ListRecords(request)).records]

    async def failed(self, system: str, most: int, page_token: str) -> ingest_pb2.ListRecordsResponse:
        """A page of records that were set aside. Raises Unavailable."""
        request = ingest_pb2.ListRecordsRequest(
            system=system, sync_status="error", page_size=most, page_token=page_token
        )
        answer: ingest_pb2.ListRecordsResponse = await self._stub.ListRecords(request)
        return answer


class Audit:
    """The audit log."""

    def __init__(self, channel: Channel) -> None:
        self._stub = audit_pb2_grpc.AuditServiceStub(channel)

    async def append(self, payload: bytes) -> None:
        """Hand over a batch of entries, as the outbox keeps it. Raises Unavailable."""
        await self._stub.AppendEntries(audit_pb2.AppendEntriesRequest.FromString(payload))


class ConfigurationFeed:
    """Registry's feed, from which the configuration is kept up to date."""

    def __init__(self, channel: Channel, configuration: Configuration) -> None:
        self._stub = feed_pb2_grpc.RegistryFeedStub(channel)
        self._configuration = configuration

    async def watch(self) -> None:
        """Watch until cancelled, through every outage of registry; what was known stays."""
        await follow(self._answers, self._begin, what="registry's feed", silence=_SILENCE_SECONDS)

    async def _answers(self) -> AsyncGenerator[feed_pb2.WatchConfigurationResponse, None]:
        answers = self._stub.WatchConfiguration(feed_pb2.WatchConfigurationRequest())
        try:
            async for answer in answers:
                yield answer
        finally:
            answers.cancel()

    def _begin(self) -> Callable[[feed_pb2.WatchConfigurationResponse], None]:
        snapshot: list[feed_pb2.SystemConfiguration] = []

        def take(part: feed_pb2.WatchConfigurationResponse) -> None:
            if part.snapshot:
                snapshot.extend(part.systems)
                if part.complete:
                    self._configuration.replace(convert.systems(snapshot))
            elif part.systems or part.removed_system_ids:
                self._configuration.change(convert.systems(part.systems), part.removed_system_ids)
            self._configuration.hear()

        return take
