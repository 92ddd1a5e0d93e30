"""What a process counts and measures for Prometheus, and the page that shows it (`GET /metrics`), off by default.

Metrics are made here, once a process, and set where things happen. Labels are names of a fixed set, never what senders
choose.
"""

import asyncio
from wsgiref.simple_server import WSGIServer

import structlog
from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, start_http_server

from intertie_chassis.listening import is_loopback

_log = structlog.get_logger()

REGISTRY = CollectorRegistry()
"""All metrics of this process."""

ProcessCollector(registry=REGISTRY)

DURABILITY_DEGRADED = Gauge(
    "intertie_durability_degraded",
    "1 when settings of the database may cost acknowledged data in a power cut, else 0.",
    ["database"],
    registry=REGISTRY,
)
DATABASE_AVAILABLE = Gauge(
    "intertie_database_available",
    "0 while the database is away and callers are refused, else 1.",
    ["database"],
    registry=REGISTRY,
)
SPOOL_DELIVERIES = Gauge(
    "intertie_spool_deliveries",
    "Deliveries in the spool of ingest, by state: they are `waiting` for the database, or `refused` by it.",
    ["state"],
    registry=REGISTRY,
)


async def expose(listen: str) -> None:
    """Serves the metrics on `host:port` until cancelled. Raises OSError when the address cannot be listened on."""
    host, _, port = listen.rpartition(":")
    server, _thread = start_http_server(int(port), host.strip("[]"), REGISTRY)
    if not is_loopback(listen):
        _log.warning("metrics_in_the_open", address=listen, advice="anybody who reaches this address may read them")
    _log.info("metrics are shown", address=f"http://{host}:{server.server_port}/metrics")
    try:
        await asyncio.Event().wait()
    finally:
        # In a thread, since it waits for the one that serves to look up.
        await asyncio.get_running_loop().run_in_executor(None, _close, server)


def _close(server: WSGIServer) -> None:
    server.shutdown()
    server.server_close()
