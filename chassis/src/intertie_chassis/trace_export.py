"""Hands spans to a collector by OTLP over gRPC, with OpenTelemetry's SDK: in a thread of its own, in batches, bounded.

A collector that is away or hangs keeps nobody waiting: spans wait in a bounded queue, beyond it they are lost, and so
are those that a stop finds unsent after two seconds. Loaded by processes that export only (`traces.begin`).
"""

import asyncio
import contextlib
import logging
import os
import socket
import threading
from collections.abc import Sequence
from importlib.metadata import version

import structlog
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from intertie_chassis import metrics
from intertie_chassis.errors import StartupError
from intertie_chassis.traces import Kind, Span, TraceContext

_log = structlog.get_logger()
_LAST_SECONDS = 2.0
"""What a stop leaves the last spans to be sent; it is taken from the drain."""
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_KINDS = {kind: SpanKind[kind.value] for kind in Kind}
_FINE = Status(StatusCode.UNSET)


class Exporting:
    """Exports what this process keeps."""

    def __init__(self, process: str, endpoint: str) -> None:
        """Connects in the background; a collector that is away is no fault.

        Headers, certificates, time-outs and the queue are as the environment says (`OTEL_EXPORTER_OTLP_…`,
        `OTEL_BSP_…`), and `OTEL_RESOURCE_ATTRIBUTES` adds to what is said of the process. Raises StartupError when
        that cannot be used.
        """
        # What the SDK says of each failed batch: of an outage one line is enough, and it is ours.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        try:
            self._exporter = _Told(OTLPSpanExporter(endpoint=endpoint))
            self._processor = BatchSpanProcessor(self._exporter)
        except (ValueError, RuntimeError, OSError) as error:
            raise StartupError(f"traces cannot be exported to {endpoint}: {error}") from error
        self._resource = Resource.create(
            {
                "service.namespace": "intertie",
                "service.name": process,
                "service.version": version("intertie-chassis"),
                "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
            }
        )
        self._scope = InstrumentationScope("intertie", version("intertie-chassis"))
        _log.info("traces are exported", endpoint=endpoint)

    def keep(self, span: Span) -> None:
        """Puts a span that has ended into the queue."""
        self._processor.on_end(
            ReadableSpan(
                span.name,
                context=_context(span.context, is_remote=False),
                parent=None if span.parent is None else _context(span.parent),
                resource=self._resource,
                attributes=span.attributes,
                links=[Link(_context(link)) for link in span.links],
                kind=_KINDS[span.kind],
                status=Status(StatusCode.ERROR, span.failure) if span.failure else _FINE,
                start_time=span.started,
                end_time=span.ended,
                instrumentation_scope=self._scope,
            )
        )

    async def end(self) -> None:
        """Sends what is left, for two seconds at most."""
        # Threads that the interpreter does not wait for: a collector that hangs must not keep the process.
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()

        def end() -> None:
            self._processor.shutdown()  # type: ignore[no-untyped-call]
            with contextlib.suppress(RuntimeError):  # nobody waits any more, and the loop is closed
                loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=end, name="last spans", daemon=True).start()
        try:
            async with asyncio.timeout(_LAST_SECONDS):
                await ended.wait()
        except TimeoutError:
            _log.warning("the collector of traces does not answer; the last spans are lost")


class _Told(SpanExporter):
    """Counts what is sent and lost, and says of an outage that it began and that it is over."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._is_away = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Sends a batch; called by the processor's thread."""
        result = self._exporter.export(spans)
        is_sent = result is SpanExportResult.SUCCESS
        metrics.SPANS.labels("exported" if is_sent else "lost").inc(len(spans))
        if is_sent is self._is_away:
            self._is_away = not is_sent
            if is_sent:
                _log.info("the collector of traces takes spans again")
            else:
                _log.warning("the collector of traces takes no spans; they are lost until it does")
        return result

    def shutdown(self) -> None:
        """Ends it."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Waits for nothing: a batch is sent within `export`."""
        return self._exporter.force_flush(timeout_millis)


def _context(context: TraceContext, *, is_remote: bool = True) -> SpanContext:
    return SpanContext(int(context.trace_id, 16), int(context.span_id, 16), is_remote, _SAMPLED)
