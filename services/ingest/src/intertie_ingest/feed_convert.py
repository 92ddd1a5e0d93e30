"""Systems between registry's contract and the model: as its feed sends them, and as a file of our own keeps them."""

from collections.abc import Iterable

from google.protobuf.message import DecodeError

from intertie.registry.v1 import feed_pb2
from intertie_ingest.configuration import StoredConnection, StoredGrant, StoredMapping, StoredSystem
from intertie_ingest.grants import NEVER
from intertie_ingest.snapshot import Change


def change(message: feed_pb2.WatchConfigurationResponse) -> Change:
    """What a message of the feed says."""
    return Change(
        tuple(_system(system) for system in message.systems),
        tuple(message.removed_system_ids),
        message.snapshot,
        message.complete,
    )


def packed(systems: Iterable[StoredSystem]) -> bytes:
    """Systems as bytes for a file: a complete snapshot, as the feed would send it to ingest."""
    return feed_pb2.WatchConfigurationResponse(
        systems=(_message(system) for system in systems), snapshot=True, complete=True
    ).SerializeToString()


def unpacked(data: bytes) -> tuple[StoredSystem, ...]:
    """The systems that were packed. Raises ValueError for bytes that are none."""
    try:
        message = feed_pb2.WatchConfigurationResponse.FromString(data)
    except DecodeError as error:
        raise ValueError("not a snapshot of the configuration") from error
    return change(message).systems


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


def _message(system: StoredSystem) -> feed_pb2.SystemConfiguration:
    """What accepting needs of a system; credentials that are pull's never come to it, and are not kept."""
    message = feed_pb2.SystemConfiguration(id=system.id, name=system.name, is_active=system.is_active)
    for connection in system.connections:
        message.connections.add(
            id=connection.id,
            connection_type=connection.connection_type,
            is_active=connection.is_active,
            config_json=connection.config_json,
        )
    for mapping in system.mappings:
        message.mappings.add(
            id=mapping.id,
            name=mapping.name,
            mapping_config=mapping.mapping_config,
            sync_frequency=mapping.sync_frequency,
            is_active=mapping.is_active,
            source_table=mapping.source_table,
        )
    for grant in system.grants:
        kept = message.grants.add(
            module_name=grant.module,
            access_type=grant.access_type,
            query_permissions=grant.query_permissions,
            is_active=grant.is_active,
        )
        if grant.ends_at != NEVER:
            kept.expires_at.FromMicroseconds(round(grant.ends_at * 1e6))
    return message
