"""The configuration as the feed sends it, in messages of a bounded size."""

from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum

from intertie.registry.v1 import feed_pb2
from intertie_registry import secrets
from intertie_registry.credential_places import is_sent, shown
from intertie_registry.credentials import usable
from intertie_registry.model import Connection, SystemImage
from intertie_registry.moment_convert import timestamp

MOST_SYSTEMS = 500
MOST_BYTES = 1024 * 1024


class Trust(IntEnum):
    """What a watcher is told of a connection."""

    #: that it is there, and its config_json without secrets
    NONE = 0
    #: the config_json as it is
    SECRETS = 1
    #: that, and where it leads with which credentials
    CREDENTIALS = 2


def snapshot(images: Mapping[int, SystemImage], trust: Trust) -> Iterator[feed_pb2.WatchConfigurationResponse]:
    """Everything, by id; the last part is marked complete."""
    parts = _parts((images[number] for number in sorted(images)), trust)
    part = next(parts, ())
    while True:
        following = next(parts, None)
        yield feed_pb2.WatchConfigurationResponse(systems=part, snapshot=True, complete=following is None)
        if following is None:
            return
        part = following


def changes(changed: Mapping[int, SystemImage | None], trust: Trust) -> Iterator[feed_pb2.WatchConfigurationResponse]:
    """Systems that are as given now, or gone (None). Without any, the sign of life."""
    removed = sorted(number for number, image in changed.items() if image is None)
    parts = _parts((changed[number] for number in sorted(changed)), trust)
    yield feed_pb2.WatchConfigurationResponse(systems=next(parts, ()), removed_system_ids=removed, complete=True)
    for part in parts:
        yield feed_pb2.WatchConfigurationResponse(systems=part, complete=True)


def _parts(images: Iterable[SystemImage | None], trust: Trust) -> Iterator[list[feed_pb2.SystemConfiguration]]:
    part: list[feed_pb2.SystemConfiguration] = []
    size = 0
    for image in images:
        if image is None:
            continue
        message = _system(image, trust)
        bytes_more = message.ByteSize()
        if part and (len(part) == MOST_SYSTEMS or size + bytes_more > MOST_BYTES):
            yield part
            part, size = [], 0
        part.append(message)
        size += bytes_more
    if part:
        yield part


def _system(image: SystemImage, trust: Trust) -> feed_pb2.SystemConfiguration:
    system = image.system
    return feed_pb2.SystemConfiguration(
        id=system.id,
        name=system.system_name,
        is_active=system.is_active,
        connections=[_connection(connection, trust) for connection in image.connections],
        mappings=[
            feed_pb2.MappingConfiguration(
                id=mapping.id,
                name=mapping.mapping_name,
                target_table=mapping.target_table,
                mapping_config=mapping.mapping_config.encode(),
                sync_frequency=mapping.sync_frequency,
                is_active=mapping.is_active,
                source_table=mapping.source_table,
            )
            for mapping in image.mappings
        ],
        grants=[
            feed_pb2.GrantConfiguration(
                id=grant.id,
                module_name=grant.module_name,
                access_type=grant.access_type,
                query_permissions=grant.query_permissions.encode(),
                is_active=grant.is_active,
                expires_at=timestamp(grant.expires_at),
            )
            for grant in image.grants
        ],
    )


def _connection(connection: Connection, trust: Trust) -> feed_pb2.ConnectionConfiguration:
    lost = [each for each in connection.unreadable if is_sent(each.path)]
    connection = usable(connection)
    config = connection.config_json
    message = feed_pb2.ConnectionConfiguration(
        id=connection.id,
        connection_type=connection.connection_type,
        is_active=connection.is_active,
        config_json=(config if trust >= Trust.SECRETS else secrets.redacted_text(config)).encode(),
    )
    if trust >= Trust.CREDENTIALS:
        message.db_host = connection.db_host
        message.db_port = connection.db_port
        message.db_name = connection.db_name
        message.db_username = connection.db_username
        message.db_password = connection.db_password
        message.db_driver = connection.db_driver
        message.api_base_url = connection.api_base_url
        message.api_auth_type = connection.api_auth_type
        message.api_auth_token = connection.api_auth_token
        message.api_timeout = connection.api_timeout
        if lost:
            # To ask without it would ask somebody, perhaps another one than was meant, for something else.
            message.problem = f"{shown(lost[0].path)} is sealed and cannot be opened; set it anew"
    return message
