"""What a server process is put together from: who it is, whom it believes, how it listens and how it reaches others.

A service's ``__main__`` makes one, adds its services to `server`, opens channels with `connect`, and runs it.
"""

from intertie_chassis import clients, metrics, traces
from intertie_chassis.callers import Callers
from intertie_chassis.identity import Verifier, told_path
from intertie_chassis.identity_following import IdentityFollower
from intertie_chassis.server import Server
from intertie_chassis.settings import Settings
from intertie_chassis.tls import token_for
from intertie_chassis.tls_files import TlsFiles


class Process:
    """One server process of the suite, not yet started."""

    def __init__(self, name: str, settings: Settings, listen: str) -> None:
        """Args:
        name: registry, ingest, pull, mapper or audit: who it is to the others, and in the logs.
        listen: ``host:port``; port 0 lets the system choose one.

        Raises StartupError when the settings do not say whom to believe, or give neither a certificate nor a token to
        call with.
        """
        self.name = name
        self.verifier = Verifier.from_settings(settings)
        self.tls = TlsFiles.of(settings, name)
        self.token = token_for(settings, name, self.tls)
        self._settings = settings
        self.server = Server(
            name,
            listen,
            self.verifier,
            drain_seconds=settings.drain_seconds,
            max_concurrent_calls=settings.max_concurrent_calls,
            tls=self.tls,
            callers=Callers.parse(settings.tls_callers),
        )
        end_traces = traces.begin(name, settings)
        if end_traces is not None:
            self.server.resources.push_async_callback(end_traces)
        if metrics_listen := getattr(settings, f"{name}_metrics_listen"):
            metrics.PAGE.is_shown = True
            self.server.run_in_background("metrics", lambda: metrics.expose(metrics_listen))
        if name != "registry":
            follower = IdentityFollower(self.connect("registry"), self.verifier, told_path(settings))
            self.server.run_in_background("identities", follower.run)

    def connect(self, service: str) -> clients.Channel:
        """A channel to the service of this name, with this one's identity; closed when the server has stopped."""
        address: str = getattr(self._settings, f"{service}_address")
        channel = clients.connect(address, self.token, service=service, tls=self.tls)
        self.server.resources.push_async_callback(channel.close)
        return channel

    async def run(self) -> None:
        """Serves until told to stop."""
        await self.server.run()
