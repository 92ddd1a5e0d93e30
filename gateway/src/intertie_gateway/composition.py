"""The gateway put together from its settings: what each part is handed, and in which order all is closed."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator

import structlog

from intertie_chassis import metrics, traces
from intertie_chassis.background import keep_running
from intertie_chassis.tls import token_for
from intertie_chassis.tls_files import TlsFiles
from intertie_chassis.tokens import TokenSource
from intertie_gateway import browser, openapi
from intertie_gateway.access_log import AccessLog
from intertie_gateway.addresses import Requests
from intertie_gateway.app import Gateway
from intertie_gateway.backends import Backends
from intertie_gateway.coalescer import Bounds, Coalescer
from intertie_gateway.deliveries import Deliveries
from intertie_gateway.denial_log import DenialLog
from intertie_gateway.health import Health
from intertie_gateway.limits import Held
from intertie_gateway.receive import Receiver
from intertie_gateway.request_telemetry import RequestTelemetry
from intertie_gateway.serving import HttpServer, allow_many_files, listen
from intertie_gateway.settings import GatewaySettings
from intertie_gateway.transcoder import Transcoder

_HELD_BODIES = 64
"""How many bodies of the largest size may be on their way in at once."""
_HELD_MOST = 256 * 1024 * 1024
_SHARE_OF_DEADLINE = 0.9


@contextlib.asynccontextmanager
async def application(
    settings: GatewaySettings, token: TokenSource | None, tls: TlsFiles | None = None
) -> AsyncIterator[Gateway]:
    """The application, with its channels open; closes them when the block ends."""
    backends = Backends.from_settings(settings, tls)
    bounds = Bounds(
        group_items=settings.gateway_group_deliveries,
        calls=settings.gateway_group_calls,
        waiting_items=settings.gateway_waiting_deliveries,
    )
    # A sender waits for both, and some hang up at exactly ten seconds: the answer must be on its way by then.
    left = max(1.0, _SHARE_OF_DEADLINE * settings.gateway_deadline_seconds - bounds.waiting_seconds)
    deliveries = Deliveries(backends.channels["ingest"], token, deadline=left)
    coalescer = Coalescer(deliveries.send, bounds)
    most_bytes = settings.gateway_max_body_bytes
    held = Held(min(_HELD_BODIES * most_bytes, _HELD_MOST))
    console = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    access_log = AccessLog(settings.gateway_access_log, console=console)
    health = Health(backends)
    denials = DenialLog(backends.channels["audit"], token)
    transcoder = Transcoder(backends, deadline=settings.gateway_deadline_seconds, most_bytes=most_bytes, held=held)
    pages = {
        b"/healthz": health.alive,
        b"/readyz": health.ready,
        b"/openapi.json": openapi.page,
        b"/docs": browser.page,
    }
    gateway = Gateway(
        Receiver(
            coalescer,
            most_bytes=most_bytes,
            held=held,
            believes_proxies="*" not in settings.gateway_trusted_proxies,
        ),
        transcoder,
        pages,
        access_log,
        most_calls=settings.gateway_max_concurrent_calls,
        denials=denials,
        requests=Requests.from_settings(settings),
        telemetry=RequestTelemetry(transcoder, pages) if metrics.PAGE.is_shown or traces.TRACER.is_on else None,
    )
    access_log.start()
    denials.start()
    try:
        yield gateway
    finally:
        await coalescer.close()
        await denials.stop()
        await backends.close()
        await access_log.stop()


@contextlib.asynccontextmanager
async def _telemetry(settings: GatewaySettings) -> AsyncIterator[None]:
    """Shows the metrics and exports traces while the block runs, where there are addresses for them."""
    listen = settings.gateway_metrics_listen
    metrics.PAGE.is_shown = bool(listen)
    end_traces = traces.begin("gateway", settings)
    task = asyncio.create_task(keep_running("metrics", lambda: metrics.expose(listen))) if listen else None
    try:
        yield
    finally:
        if end_traces is not None:
            await end_traces()
        if task is not None:
            task.cancel()
            await asyncio.wait({task})


async def serve(settings: GatewaySettings, listener: socket.socket | None = None) -> None:
    """Serves until SIGTERM or SIGINT.

    Args:
        listener: a bound socket; default: the address of the settings.

    Raises StartupError when the settings do not allow it.
    """
    allow_many_files(settings.gateway_max_connections + 256)
    tls = TlsFiles.of(settings, "gateway")
    token = token_for(settings, "gateway", tls)
    listener = listener or listen(settings.gateway_listen, shared=settings.gateway_workers > 1)
    async with _telemetry(settings), application(settings, token, tls) as app:
        server = HttpServer(app, settings, listener)
        host, port = server.address
        structlog.get_logger().info("listening", host=host, port=port)
        await server.run()
    structlog.get_logger().info("stopped")
