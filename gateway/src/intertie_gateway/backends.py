"""The services behind the gateway: one channel to each, and how a failed call is told to the client."""

import asyncio
from collections.abc import Mapping

import grpc

from intertie_chassis.errors import IntertieError, InvalidArgument, from_rpc_error
from intertie_chassis.tls import channel_to
from intertie_chassis.tls_files import TlsFiles
from intertie_gateway.settings import GatewaySettings

_LARGEST_MESSAGE = 32 * 1024 * 1024
_OPTIONS = (
    ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
    ("grpc.max_send_message_length", _LARGEST_MESSAGE),
    # The soft limit alone refuses at random between itself and the hard one.
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.absolute_max_metadata_size", 16 * 1024),
    # A service that comes back is found again within a second, not after gRPC's two minutes of back-off.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Servers bear no more than a ping a minute.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Each worker process has connections of its own.
    ("grpc.use_local_subchannel_pool", 1),
)


class Backends:
    """A channel to each service, by its name; made inside the running event loop."""

    def __init__(self, addresses: Mapping[str, str], tls: TlsFiles | None = None) -> None:
        """Args:
        addresses: ``host:port`` by the service's name.
        tls: the gateway's certificate; without it the channels are in clear text.
        """
        self.channels = {name: channel_to(address, name, tls, _OPTIONS) for name, address in addresses.items()}

    @classmethod
    def from_settings(cls, settings: GatewaySettings, tls: TlsFiles | None = None) -> "Backends":
        """Channels to the addresses that the settings give."""
        return cls(
            {
                "registry": settings.registry_address,
                "ingest": settings.ingest_address,
                "mapper": settings.mapper_address,
                "audit": settings.audit_address,
                "pull": settings.pull_address,
            },
            tls,
        )

    async def close(self) -> None:
        """Closes all channels; calls in flight are cancelled."""
        await asyncio.gather(*(channel.close() for channel in self.channels.values()))


def error_of(error: grpc.aio.AioRpcError) -> IntertieError:
    """What a failed call means for the client."""
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in (error.details() or ""):
        # gRPC's own words for a message over the limit. As 429 it would be asked again for ever.
        return InvalidArgument("the answer is larger than 32 MiB; ask for less, with a smaller page_size say")
    return from_rpc_error(error)
