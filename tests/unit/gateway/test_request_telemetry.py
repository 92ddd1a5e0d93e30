"""Labels of HTTP requests are bounded, and a sender's trace goes on as far as it may."""

from collections.abc import Iterator
from typing import Any

import pytest

from intertie_chassis import metrics, traces
from intertie_chassis.traces import Span
from intertie_gateway.backends import Backends
from intertie_gateway.head import Head
from intertie_gateway.limits import Held
from intertie_gateway.request_telemetry import REQUESTS, RequestTelemetry, begin_span
from intertie_gateway.transcoder import Transcoder

PREFIX = "/api/v1/integrations"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
async def telemetry() -> Any:
    """For all routes; nobody is called."""
    backends = Backends(dict.fromkeys(("registry", "ingest", "mapper", "audit", "pull"), "127.0.0.1:1"))
    transcoder = Transcoder(backends, deadline=1, most_bytes=1000, held=Held(1000))
    yield RequestTelemetry(transcoder, {b"/healthz", b"/readyz"})
    await backends.close()


@pytest.fixture
def kept() -> Iterator[list[Span]]:
    spans: list[Span] = []
    traces.TRACER.turn_on(spans.append, ratio=0)
    yield spans
    traces.TRACER.turn_off()


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("POST", f"{PREFIX}/webhook/law_enforcement", f"{PREFIX}/webhook/{{system}}"),
        ("POST", f"{PREFIX}/webhook/made-up-by-a-sender", f"{PREFIX}/webhook/{{system}}"),
        ("BREW", f"{PREFIX}/webhook/x", f"{PREFIX}/webhook/{{system}}"),
        ("POST", f"{PREFIX}/push", f"{PREFIX}/push"),
        ("GET", "/healthz", "/healthz"),
        ("GET", f"{PREFIX}/systems", f"{PREFIX}/systems"),
        ("HEAD", f"{PREFIX}/systems", f"{PREFIX}/systems"),
        ("TRACE", f"{PREFIX}/systems", "unknown"),
        ("GET", f"{PREFIX}/made/up", "unknown"),
        ("GET", f"{PREFIX}/webhook/a/b", "unknown"),
        ("GET", "/" + "a" * 5000, "unknown"),
        ("GET", f"{PREFIX}/%ff%00", "unknown"),
    ],
)
async def test_routes_are_patterns(telemetry: RequestTelemetry, method: str, path: str, route: str) -> None:
    assert telemetry.route(method, path.encode()) == route


async def test_whatever_is_sent_labels_are_few(telemetry: RequestTelemetry) -> None:
    metrics.PAGE.is_shown = True
    try:
        for number in range(300):
            scope = {"method": f"METHOD{number}", "raw_path": f"/made/up/{number}".encode()}
            telemetry.note(scope, 404, 0.001, "id", None)
    finally:
        metrics.PAGE.is_shown = False
    found = [sample for family in REQUESTS.collect() for sample in family.samples if "made" in str(sample.labels)]
    assert found == []
    labels = {"route": "unknown", "method": "other", "status": "404"}
    assert (metrics.REGISTRY.get_sample_value("intertie_http_requests_total", labels) or 0) >= 300


def test_a_senders_flag_does_not_make_it_traced(kept: list[Span]) -> None:
    """Its trace goes on in the log and to the services, as one that is not sampled."""
    head = Head([(b"traceparent", f"00-{TRACE}-{PARENT}-01".encode())])
    assert begin_span(head) is None
    assert head.trace is not None
    assert head.trace.traceparent == f"00-{TRACE}-{PARENT}-00"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"traceparent", b"nonsense")],
        [(b"traceparent", b"\xff\x00")],
        [(b"traceparent", f"00-{TRACE}-{PARENT}-01".encode())] * 2,
    ],
)
def test_what_is_no_context_is_none(headers: list[tuple[bytes, bytes]], kept: list[Span]) -> None:
    head = Head(headers)
    assert begin_span(head) is None
    assert head.trace is None
    assert head.fault is None


async def test_a_traced_request_says_what_it_was(telemetry: RequestTelemetry, kept: list[Span]) -> None:
    """By its route, not by its path; a query, a header or a body is never in it. Pages that probes ask for are not."""
    traces.TRACER.turn_on(kept.append, ratio=1)
    head = Head([(b"traceparent", f"00-{TRACE}-{PARENT}-00".encode()), (b"x-webhook-secret", b"hunter2")])
    span = begin_span(head)
    assert span is not None
    scope = {"method": "POST", "raw_path": f"{PREFIX}/webhook/a".encode(), "query_string": b"secret=hunter2"}
    telemetry.note(scope, 503, 0.1, "request-1", span)
    assert kept == [span]
    assert (span.name, span.failure) == (f"POST {PREFIX}/webhook/{{system}}", "503")
    assert "hunter2" not in str(span.attributes)
    assert span.context.trace_id == TRACE
    telemetry.note({"method": "GET", "raw_path": b"/healthz"}, 200, 0.1, "request-2", begin_span(Head([])))
    assert kept == [span]
