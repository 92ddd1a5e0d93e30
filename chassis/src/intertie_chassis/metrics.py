"""What a process counts and measures for Prometheus, and the page that shows it (`GET /metrics`), off by default.

Metrics of all processes are made here, those of one service in its own `metrics`, once a process, and set where things
happen. Labels are names of a fixed set, never what senders choose. Nothing is measured while no page shows it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from wsgiref.simple_server import WSGIServer

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, start_http_server

from intertie_chassis.errors import Unavailable
from intertie_chassis.listening import is_loopback
from intertie_chassis.request_metrics import SECONDS, RequestMetrics

_log = structlog.get_logger()

_PORT_SECONDS = 2.0
LOOK_SECONDS = 5.0
"""How often what only the database knows is looked for, however often somebody looks at the page."""
MOST_COUNTED = 100_000
"""Up to where rows are counted, which keeps a look cheap: so many stands for that many or more."""

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


COMMIT_SECONDS = Histogram(
    "intertie_commit_seconds",
    "How long a transaction that changed rows took, from its begin until it was committed, in seconds.",
    ["owner"],
    buckets=SECONDS,
    registry=REGISTRY,
)
OUTBOX_WAITING = Gauge(
    "intertie_outbox_waiting_messages",
    f"Messages that the audit log has not got yet; {MOST_COUNTED} stands for that many or more.",
    ["owner"],
    registry=REGISTRY,
)
OUTBOX_OLDEST = Gauge(
    "intertie_outbox_oldest_seconds",
    "How long the oldest message has waited that the audit log has not got yet, in seconds; 0 when none waits.",
    ["owner"],
    registry=REGISTRY,
)
SNAPSHOT_AGE = Gauge(
    "intertie_snapshot_age_seconds",
    "Seconds since registry last said that the configuration of this process is the present one; NaN before it has.",
    registry=REGISTRY,
)
SPANS = Counter(
    "intertie_spans_total",
    "Spans of traces that were `exported`, and those that were `lost` because the collector did not take them.",
    ["outcome"],
    registry=REGISTRY,
)
RPCS = RequestMetrics(
    REGISTRY, "intertie_rpc", "gRPC calls", counted=("service", "method", "code"), timed=("service", "method")
)


def owner_of(database: str) -> str:
    """The owner of the tables in a database of this name: the target's are mapper's."""
    return "mapper" if database == "target" else database


class Page:
    """The page of this process."""

    def __init__(self) -> None:
        self.is_shown = False
        """Whether there is one. Set before anything begins that measures."""


PAGE = Page()


async def keep_looking(look: Callable[[], Awaitable[None]]) -> None:
    """Looks now, and again every few seconds; for `run_in_background`, where a page shows what is seen.

    While the database is away what was seen last stays.
    """
    while True:
        try:
            await look()
        except Unavailable as error:
            _log.debug("metrics cannot be read now", cause=error.message)
        await asyncio.sleep(LOOK_SECONDS)


async def expose(listen: str) -> None:
    """Serves the metrics on `host:port` until cancelled; waits for an address that cannot be listened on, since the
    process does its work without them too.
    """
    host, _, port = listen.rpartition(":")
    while True:
        try:
            server, _thread = start_http_server(int(port), host.strip("[]"), REGISTRY)
            break
        except OSError as error:
            _log.error("metrics cannot be shown; is the port taken?", address=listen, cause=error.strerror)
            await asyncio.sleep(_PORT_SECONDS)
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
