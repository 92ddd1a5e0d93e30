"""What ingest calls: registry's feed, for the configuration, and audit, for what its outbox holds."""

from collections.abc import AsyncGenerator

from intertie.audit.v1 import audit_pb2, audit_pb2_grpc
from intertie.registry.v1 import feed_pb2, feed_pb2_grpc
from intertie_chassis.clients import Channel
from intertie_ingest.configuration import StoredConnection, StoredGrant, StoredMapping, StoredSystem
from intertie_ingest.grants import NEVER
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
                yield Change(
                    tuple(_system(system) for system in answer.systems),
                    tuple(answer.removed_system_ids),
                    answer.snapshot,
                    answer.complete,
                )
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


def _system(system: feed_pb2.SystemConfiguration) -> StoredSystem:
    return StoredSystem(
        system.id,
        system.name,
        system.is_active,
        tuple(_connection(connection) for connection in system.connections),
        tuple(
            StoredMapping(
                one.id, one.name, one.is_active, one.sync_frequency, one.mapping_config, source_table=one.source_table
            )
            for one in system.mappings
        ),
        tuple(
            StoredGrant(
                one.module_name,
                one.access_type,
                one.is_active,
                one.query_permissions,
                one.expires_at.ToNanoseconds() / 1e9 if one.HasField("expires_at") else NEVER,
            )
            for one in system.grants
        ),
    )


def _connection(stored: feed_pb2.ConnectionConfiguration) -> StoredConnection:
    return StoredConnection(
        stored.id,
        stored.is_active,
        stored.config_json,
        stored.connection_type,
        stored.db_host,
        stored.db_port,
        stored.db_name,
        stored.db_username,
        stored.db_password,
        stored.db_driver,
        stored.api_base_url,
        stored.api_auth_type,
        stored.api_auth_token,
        stored.api_timeout,
        stored.problem,
    )
