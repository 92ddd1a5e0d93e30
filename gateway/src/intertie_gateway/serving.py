"""The HTTP server: uvicorn on a socket of ours, with a sweep over its connections, and a stop that exits with 0."""

import asyncio
import contextlib
import resource
import signal
import socket
from collections.abc import Iterator

import uvicorn

from intertie_chassis.errors import StartupError
from intertie_gateway.addresses import Connections
from intertie_gateway.app import Gateway
from intertie_gateway.limits import Patience
from intertie_gateway.protocol import BoundedProtocol
from intertie_gateway.settings import GatewaySettings

_BACKLOG = 2048
_SWEEP_SECONDS = 0.5


class HttpServer:
    """Serves the application on one socket until it is told to stop."""

    def __init__(self, app: Gateway, settings: GatewaySettings, listener: socket.socket) -> None:
        """Args:
        listener: bound, from `listen`.
        """
        self._listener = listener
        trusted = [part.strip() for part in settings.gateway_trusted_proxies.split(",") if part.strip()]

        class Protocol(BoundedProtocol):
            """This server's connections."""

        Protocol.patience = Patience(
            headers=settings.gateway_headers_seconds,
            body=settings.gateway_body_seconds,
            idle=settings.gateway_idle_seconds,
        )
        Protocol.most_connections = settings.gateway_max_connections
        Protocol.of_address = Connections.from_settings(settings, trusted)
        self._server = _Server(
            uvicorn.Config(
                app,
                http=Protocol,
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=bool(trusted),
                forwarded_allow_ips=trusted,
                backlog=_BACKLOG,
                timeout_keep_alive=int(settings.gateway_idle_seconds),
                timeout_graceful_shutdown=max(1, int(settings.drain_seconds)),
            )
        )

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that it listens on."""
        host, port = self._listener.getsockname()[:2]
        return str(host), int(port)

    def stop(self) -> None:
        """Stops accepting, lets what is in flight be answered, then `run` returns."""
        self._server.should_exit = True

    async def run(self) -> None:
        """Serves until `stop`, or SIGTERM or SIGINT when this is the main thread's loop."""
        loop = asyncio.get_running_loop()
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(RuntimeError, ValueError):  # not in the main thread: its owner calls `stop`
                loop.add_signal_handler(signal_number, self.stop)
        sweep = loop.create_task(self._sweep())
        try:
            await self._server.serve(sockets=[self._listener])
        finally:
            sweep.cancel()

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = loop.time()
            for connection in list(self._server.server_state.connections):
                if isinstance(connection, BoundedProtocol):
                    connection.look_at_the_clock(now)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals alone: uvicorn raises them again at its end, so that a stop would not exit with 0."""
        yield


def listen(address: str, *, shared: bool = False) -> socket.socket:
    """A bound socket for ``host:port`` (IPv6 hosts in brackets).

    Args:
        shared: whether other processes bind the same port (SO_REUSEPORT).

    Raises StartupError when the address is not one, or is taken.
    """
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise StartupError(f"INTERTIE_GATEWAY_LISTEN: {address} is not host:port")
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, int(port)))
    except OSError as error:
        listener.close()
        raise StartupError(f"INTERTIE_GATEWAY_LISTEN: cannot listen on {address} ({error.strerror})") from None
    listener.setblocking(False)
    return listener


def allow_many_files(wanted: int) -> None:
    """Raises the soft limit of open files towards `wanted`: the usual 1024 is less than our connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if most > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
