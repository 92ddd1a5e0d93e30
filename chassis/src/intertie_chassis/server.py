"""The one way to build a gRPC server: guard, health, reflection and graceful stop come with it.

A server starts NOT_SERVING, serves while its ready checks are content, and stops in this order: health NOT_SERVING, end
the streams, accept no more, let calls end, stop background work, close resources in reverse.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import grpc
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc

from intertie_chassis import access, reflection
from intertie_chassis.background import keep_running
from intertie_chassis.callers import Callers
from intertie_chassis.denials import Hand, tell, tell_last
from intertie_chassis.errors import StartupError
from intertie_chassis.guard import Guard
from intertie_chassis.health import Check, Health
from intertie_chassis.identity import Verifier
from intertie_chassis.listening import is_loopback
from intertie_chassis.tls import server_credentials
from intertie_chassis.tls_files import TlsFiles

_log = structlog.get_logger()

MAX_MESSAGE_BYTES = 32 * 1024 * 1024
MAX_METADATA_BYTES = 16 * 1024

_REST_SECONDS = 5.0
"""What is kept of the drain for all that ends after the calls: background work, and what it and they used."""

_LEAST_REST_SECONDS = 2.0
"""What these get of a drain that is shorter."""

_GRACE_SECONDS = 1.0
"""How long after the drain a process that was told to stop is still there at most."""

_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # One limit instead of a soft and a hard one: between the two grpc refuses at random.
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
    # Clients ping every 60 s; the default of 5 min would answer that with ENHANCE_YOUR_CALM. Far below, because on a
    # busy machine pings are held up and then come close together. (The constant is called MIN_RECV_PING_INTERVAL….)
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Connections end now and then so that callers spread over new replicas.
    ("grpc.max_connection_age_ms", 30 * 60_000),
    ("grpc.max_connection_age_grace_ms", 30_000),
]


class Server:
    """A server of any number of services on one address."""

    def __init__(
        self,
        name: str,
        listen: str,
        verifier: Verifier,
        *,
        drain_seconds: float = 20.0,
        max_concurrent_calls: int = 512,
        reuse_port: bool = False,
        tls: TlsFiles | None = None,
        callers: Callers | None = None,
    ) -> None:
        """Args:
        name: for the logs.
        listen: ``host:port``; port 0 lets the system choose one.
        verifier: tells whom a token speaks for.
        drain_seconds: how long a stop takes at most. Calls that have begun get all of it but the last five seconds.
        max_concurrent_calls: more than so many at once are refused as OVERLOADED.
        reuse_port: whether several processes may listen on the port.
        tls: with them the server speaks TLS, and every caller needs a certificate.
        callers: whose certificates are let in; default: Intertie's own services, and all modules.
        """
        self.name = name
        self.resources = AsyncExitStack()
        """What to close after the last call, in reverse: ``server.resources.push_async_callback(database.close)``."""
        self.stopping = asyncio.Event()
        """Set when the server begins to stop: handlers that wait for something to happen should answer at once."""
        self._listen = listen
        self._drain_seconds = drain_seconds
        self._tls = tls
        self._guard = Guard(
            verifier, callers=(callers or Callers()) if tls is not None else None, max_calls=max_concurrent_calls
        )
        self._health = Health(name)
        self._service_names: list[str] = []
        self._background: dict[str, Callable[[], Awaitable[None]]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._server = grpc.aio.server(
            interceptors=[self._guard], options=[*_OPTIONS, ("grpc.so_reuseport", int(reuse_port))]
        )
        self._is_stopped = False
        self.port = 0
        """The port that the server listens on, once started."""

    def add(self, add_servicer: Callable[[Any, Any], None], servicer: Any, descriptor: ServiceDescriptor) -> None:
        """Serves a service.

        Args:
            add_servicer: the generated ``add_…Servicer_to_server``.
            descriptor: the service's, ``…_pb2.DESCRIPTOR.services_by_name["…"]``; its methods say who may call them.
        """
        if descriptor.full_name in self._service_names:
            raise ValueError(f"{descriptor.full_name} is served already")
        self._service_names.append(descriptor.full_name)
        self._guard.allow(access.rules_of(descriptor))
        self._health.add_service(descriptor.full_name)
        add_servicer(servicer, self._server)

    def ready_when(self, name: str, check: Check) -> None:
        """Adds a check: None when fine, else why not, in words for an operator. Polled each second; drives health."""
        self._health.ready_when(name, check)

    def run_in_background(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Runs `work` beside the calls from the start on; begins it again, with a back-off, when it ends or raises."""
        if name in self._background:
            raise ValueError(f"there is background work named {name}")
        self._background[name] = work
        if self.port:
            self._begin(name, work)

    def tell_denials(self, hand: Hand) -> None:
        """Hands refused calls to the audit log, soon after they happened and at the end.

        Say it when what `hand` needs has been opened: what was opened later is closed before the last ones are told of.
        """
        self.run_in_background("denials", lambda: tell(self._guard.denials, hand))
        self.resources.push_async_callback(tell_last, self._guard.denials, hand)

    async def start(self) -> int:
        """Listens and answers; gives the port. Health is NOT_SERVING until the first round of checks is content.

        Raises StartupError when the address cannot be listened on.
        """
        await self._health.begin()
        self._guard.allow(
            dict.fromkeys(access.rules_of(health_pb2.DESCRIPTOR.services_by_name["Health"]), access.OPEN_AND_QUIET)
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health.servicer, self._server)
        self._guard.allow(dict.fromkeys(reflection.PATHS, access.ANY_TOKEN))
        reflection.add([*self._service_names, "grpc.health.v1.Health"], self._server)
        try:
            self.port = self._open_port()
        except RuntimeError as error:
            raise StartupError(f"{self.name} cannot listen on {self._listen}: is the port taken?") from error
        await self._server.start()
        self._begin("health", self._health.run)
        if self._tls is not None:
            self._begin("certificate", self._tls.watch)
        for name, work in self._background.items():
            self._begin(name, work)
        host = self._listen.rpartition(":")[0]
        _log.info("listening", address=f"{host}:{self.port}", services=self._service_names)
        return self.port

    async def stop(self) -> None:
        """Stops gracefully, within the drain; calls that take longer are cut. Does nothing the second time."""
        if self._is_stopped:
            return
        self._is_stopped = True
        loop = asyncio.get_running_loop()
        until = loop.time() + self._drain_seconds
        self.stopping.set()
        await self._health.end()
        self._guard.end_streams()
        if self.port:
            await self._server.stop(max(self._drain_seconds - _REST_SECONDS, self._drain_seconds / 2))
        # After the calls, since background work may be what they wait for or feed.
        until = max(until, loop.time() + _LEAST_REST_SECONDS)
        await _end(self._tasks, until - (until - loop.time()) / 2)
        await self._close(until)
        _log.info("stopped")

    async def _close(self, until: float) -> None:
        """Closes the resources. What they wait for may be a database that hangs: what is committed is safe without."""
        closing = asyncio.ensure_future(self.resources.aclose())
        await asyncio.wait({closing}, timeout=until - asyncio.get_running_loop().time())
        if not closing.done():
            _log.warning("not all could be closed in time; ending all the same")
            closing.cancel()
            return
        closing.result()

    async def run(self) -> None:
        """Starts, waits for SIGTERM or SIGINT, and stops; further signals change nothing."""
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, asked.set)
        try:
            await self.start()
            await asked.wait()
            _log.info("stopping")
        finally:
            rest = max(self._drain_seconds, self._drain_seconds / 2 + _LEAST_REST_SECONDS)
            _exit_after(rest + _GRACE_SECONDS, 0 if asked.is_set() else 1)
            await self.stop()

    def _open_port(self) -> int:
        if self._tls is not None:
            return self._server.add_secure_port(self._listen, server_credentials(self._tls))
        if not is_loopback(self._listen):
            # Not refused: behind it there may be a network of containers, or a mesh that encrypts by itself.
            _log.warning(
                "clear_text_listener",
                address=self._listen,
                advice="tokens cross this network in clear text; set INTERTIE_TLS_DIR (`intertie certs init`)",
            )
        return self._server.add_insecure_port(self._listen)

    def _begin(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        self._tasks.append(asyncio.create_task(keep_running(name, work), name=f"{self.name}: {name}"))


def _exit_after(seconds: float, code: int) -> None:
    """Ends the process, should it still be there: a driver that swallows cancellations may keep its loop."""
    timer = threading.Timer(seconds, os._exit, (code,))
    timer.daemon = True
    timer.start()


async def _end(tasks: list[asyncio.Task[None]], until: float) -> None:
    """Cancels the tasks until they have ended, or the loop's clock says so.

    Once is not enough: before Python 3.12 asyncio.wait_for, which the MySQL driver uses, loses a cancellation that
    comes at the moment of its answer.
    """
    pending = set(tasks)
    while pending and asyncio.get_running_loop().time() < until:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.2)
