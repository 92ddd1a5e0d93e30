"""What a server process is put together from: who it is, whom it believes, how it listens and how it reaches others.

A service's ``__main__`` makes one, adds its services to `server`, opens channels with `connect`, and runs it.
"""

from intertie_chassis import clients
from intertie_chassis.identity import Verifier
from intertie_chassis.server import Server
from intertie_chassis.settings import Settings
from intertie_chassis.tokens import TokenSource


class Process:
    """One server process of the suite, not yet started."""

    def __init__(self, name: str, settings: Settings, listen: str) -> None:
        """Args:
        name: registry, ingest, pull, mapper or audit: who it is to the others, and in the logs.
        listen: ``host:port``; port 0 lets the system choose one.

        Raises StartupError when the settings do not say whom to believe, or give no token to call with.
        """
        self.name = name
        self.verifier = Verifier.from_settings(settings)
        self.token = TokenSource.for_service(settings, name)
        self.server = Server(
            name,
            listen,
            self.verifier,
            drain_seconds=settings.drain_seconds,
            max_concurrent_calls=settings.max_concurrent_calls,
        )

    def connect(self, address: str) -> clients.Channel:
        """A channel to another service, with this one's identity; closed when the server has stopped."""
        channel = clients.connect(address, self.token)
        self.server.resources.push_async_callback(channel.close)
        return channel

    async def run(self) -> None:
        """Serves until told to stop."""
        await self.server.run()
