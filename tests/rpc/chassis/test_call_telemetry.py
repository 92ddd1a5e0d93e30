"""What is measured of calls: number, outcome and time by method, spans of those that are traced, traces in the log."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue as Text
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from intertie_chassis import errors, metrics, traces
from intertie_chassis.traces import Span, TraceContext

SERVICE = "intertie.chassis_test.v1.EchoService"
SENDER = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", True)
METADATA = ((traces.TRACEPARENT, SENDER.traceparent),)


@pytest.fixture(autouse=True)
def _measured() -> Iterator[None]:
    metrics.PAGE.is_shown = True
    yield
    metrics.PAGE.is_shown = False


@pytest.fixture
def kept() -> Iterator[list[Span]]:
    """The spans of this process, where what comes from outside is not traced by itself."""
    spans: list[Span] = []
    traces.TRACER.turn_on(spans.append, ratio=0)
    yield spans
    traces.TRACER.turn_off()


def number(*labels: str) -> float:
    name, *values = labels
    names = ("service", "method", "code")
    return metrics.REGISTRY.get_sample_value(name, dict(zip(names, values, strict=False))) or 0.0


async def test_calls_are_counted_and_timed_by_method(echo: Any) -> None:
    async def fail(_request: Any, _context: Any) -> Any:
        raise errors.NotFound("no")

    before = number("intertie_rpc_requests_total", SERVICE, "Say", "OK")
    timed = number("intertie_rpc_duration_seconds_count", SERVICE, "Say")
    say = echo.method("Say")
    await say(Text(value="a"))
    echo.servicer.answer = fail
    with pytest.raises(errors.NotFound):
        await say(Text(value="a"))
    assert number("intertie_rpc_requests_total", SERVICE, "Say", "OK") == before + 1
    assert number("intertie_rpc_requests_total", SERVICE, "Say", "NOT_FOUND") >= 1
    assert number("intertie_rpc_duration_seconds_count", SERVICE, "Say") == timed + 2


async def test_a_stream_is_counted_when_it_ends_and_not_timed(echo: Any) -> None:
    async for _ in echo.method("Count")(Text(value="a")):
        pass
    assert number("intertie_rpc_requests_total", SERVICE, "Count", "OK") >= 1
    assert number("intertie_rpc_duration_seconds_count", SERVICE, "Count") == 0


async def test_what_callers_make_up_is_one_label(echo: Any) -> None:
    """However many methods they ask for, with a token or without one."""
    for channel in (echo.channel(), echo.raw_channel()):
        for made_up in range(50):
            call = channel.unary_unary(f"/made.up.v{made_up}.Service/Method{made_up}")
            with pytest.raises(Exception):  # noqa: B017, PT011 - ours on one channel, grpc's own on the other
                await call(b"")
    page = generate_latest(metrics.REGISTRY).decode()
    assert "made.up" not in page
    assert number("intertie_rpc_requests_total", "unknown", "unknown", "UNIMPLEMENTED") >= 50
    assert number("intertie_rpc_requests_total", "unknown", "unknown", "UNAUTHENTICATED") >= 50


async def test_a_call_goes_on_in_its_callers_trace(echo: Any, kept: list[Span]) -> None:
    """The server's span below the client's, whose header says so; and what the handler does below that."""
    inside: list[TraceContext | None] = []

    async def note(request: Any, _context: Any) -> Any:
        inside.append(traces.current())
        return request

    echo.servicer.answer = note
    traces.set_current(SENDER)
    try:
        await echo.method("Say")(Text(value="a"))
    finally:
        traces.set_current(None)
    server, client = sorted(kept, key=lambda span: span.kind.value, reverse=True)
    assert (client.parent, server.parent) == (SENDER, client.context)
    assert {span.context.trace_id for span in kept} == {SENDER.trace_id}
    assert inside == [server.context]
    assert server.name == f"{SERVICE}/Say"
    assert server.attributes["rpc.method"] == "Say"


async def test_a_failed_call_says_so_in_its_span(echo: Any, kept: list[Span]) -> None:
    async def fail(_request: Any, _context: Any) -> Any:
        raise errors.NotFound("text that stays here", reason="RECORD_NOT_FOUND")

    echo.servicer.answer = fail
    with pytest.raises(errors.NotFound):
        await echo.method("Say")(Text(value="a"), metadata=METADATA)
    assert [span.failure for span in kept] == ["NOT_FOUND RECORD_NOT_FOUND"]


async def test_who_may_not_call_has_no_span(echo: Any, kept: list[Span]) -> None:
    with pytest.raises(errors.PermissionDenied):
        await echo.method("Manage")(Text(value="a"), metadata=METADATA)
    assert kept == []


async def test_services_begin_no_traces_and_others_by_the_ratio(echo: Any) -> None:
    spans: list[Span] = []
    traces.TRACER.turn_on(spans.append, ratio=1)
    try:
        await echo.method("Say", echo.channel("service:gateway"))(Text(value="a"))
        assert spans == []
        await echo.method("Say", echo.channel("viewer"))(Text(value="a"))
        assert [span.parent for span in spans] == [None]
    finally:
        traces.TRACER.turn_off()


@pytest.mark.parametrize("traceparent", [SENDER.traceparent, "00-nonsense", "x" * 5000])
async def test_the_line_of_a_call_names_its_trace(echo: Any, traceparent: str) -> None:
    """Where nothing is traced too; what is no context is as if it were not there."""
    seen: list[TraceContext | None] = []

    async def note(request: Any, _context: Any) -> Any:
        seen.append(traces.current())
        return request

    echo.servicer.answer = note
    with capture_logs() as lines:
        await echo.method("Say")(Text(value="a"), metadata=((traces.TRACEPARENT, traceparent),))
    assert any(line["event"] == "call" for line in lines)
    assert seen == [SENDER if traceparent == SENDER.traceparent else None]
