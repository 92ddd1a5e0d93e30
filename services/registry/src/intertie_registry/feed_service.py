"""RegistryFeed: sends the live configuration to the other services."""

from collections.abc import AsyncIterator
from typing import Any

from intertie.registry.v1 import feed_pb2, feed_pb2_grpc
from intertie_chassis.identity import current_principal
from intertie_registry import feed_convert
from intertie_registry.snapshot import LiveConfiguration

#: seconds without a change after which a watcher gets a sign of life
SIGN_OF_LIFE = 3.0
#: the services that verify deliveries or reach systems themselves
_TRUSTED_WITH_SECRETS = ("ingest", "pull")


class RegistryFeed(feed_pb2_grpc.RegistryFeedServicer):
    """Serves intertie.registry.v1.RegistryFeed."""

    def __init__(self, live: LiveConfiguration, *, sign_of_life: float = SIGN_OF_LIFE) -> None:
        self._live = live
        self._sign_of_life = sign_of_life

    async def WatchConfiguration(
        self, request: feed_pb2.WatchConfigurationRequest, context: Any
    ) -> AsyncIterator[feed_pb2.WatchConfigurationResponse]:
        """The snapshot in parts, then changes as they come."""
        principal = current_principal()
        with_secrets = principal.role == "service" and principal.name in _TRUSTED_WITH_SECRETS
        with self._live.watch() as watcher:
            for message in feed_convert.snapshot(watcher.images, with_secrets=with_secrets):
                yield message
            while True:
                changed = await watcher.changes(self._sign_of_life)
                for message in feed_convert.changes(changed, with_secrets=with_secrets):
                    yield message
