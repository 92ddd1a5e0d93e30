"""A collector of traces on the loopback, as much of one as tests need: it keeps the spans that are exported to it."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

Link = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Kept:
    """A span as it was exported; ids in hexadecimal digits, the parent's empty when it has none."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    #: trace and span of each
    links: tuple[Link, ...]
    attributes: dict[str, str | int]
    failure: str
    started: int
    ended: int


@dataclass
class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Takes spans; while it is told to hang it answers nothing."""

    endpoint: str = ""
    spans: list[Kept] = field(default_factory=list)
    goes_on: threading.Event = field(default_factory=threading.Event)

    def Export(  # noqa: N802 - named by the contract
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        """Keeps the spans of a request."""
        while not self.goes_on.wait(0.1):
            if not context.is_active():
                return trace_service_pb2.ExportTraceServiceResponse()
        for resource in request.resource_spans:
            service = next(one.value.string_value for one in resource.resource.attributes if one.key == "service.name")
            for scope in resource.scope_spans:
                self.spans += [
                    Kept(
                        service,
                        span.name,
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
                        {one.key: one.value.string_value or one.value.int_value for one in span.attributes},
                        span.status.message,
                        span.start_time_unix_nano,
                        span.end_time_unix_nano,
                    )
                    for span in scope.spans
                ]
        return trace_service_pb2.ExportTraceServiceResponse()

    def of(self, trace_id: str) -> list[Kept]:
        """The spans of a trace, in the order in which they began."""
        return sorted((span for span in self.spans if span.trace_id == trace_id), key=lambda span: span.started)

    def named(self, name: str) -> list[Kept]:
        """The spans of this name, of whatever trace."""
        return [span for span in self.spans if span.name == name]


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that runs for as long as the block."""
    collector = Collector()
    collector.goes_on.set()
    server = grpc.server(ThreadPoolExecutor(4))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        collector.goes_on.set()
        server.stop(None).wait()
