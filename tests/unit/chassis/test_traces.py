"""Contexts of traces, what is traced and what is not, and what is loaded for it."""

import io
import subprocess
import sys
from collections.abc import Iterator

import orjson
import pytest
import structlog

from intertie_chassis import logs, traces
from intertie_chassis.errors import NotFound
from intertie_chassis.span_groups import SpanGroup
from intertie_chassis.traces import Kind, Span, TraceContext, Tracer

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = TraceContext(TRACE, PARENT, True)
UNSAMPLED = TraceContext(TRACE, PARENT, False)


@pytest.fixture
def kept() -> Iterator[list[Span]]:
    """The spans of this process's tracer, which traces all."""
    spans: list[Span] = []
    traces.TRACER.turn_on(spans.append, ratio=1)
    yield spans
    traces.TRACER.turn_off()


@pytest.mark.parametrize(
    ("text", "context"),
    [
        (f"00-{TRACE}-{PARENT}-01", SAMPLED),
        (f"00-{TRACE}-{PARENT}-00", UNSAMPLED),
        (f"00-{TRACE}-{PARENT}-03", SAMPLED),
        (f"00-{TRACE}-{PARENT}-02", UNSAMPLED),
        (f"01-{TRACE}-{PARENT}-01-what-comes-later", SAMPLED),
        (f"00-{TRACE}-{PARENT}-01-more", None),
        (f"ff-{TRACE}-{PARENT}-01", None),
        (f"00-{'0' * 32}-{PARENT}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{PARENT}-01", None),
        (f"00-{TRACE}-{PARENT}-1", None),
        (f"00-{TRACE}-{PARENT}-01\n", None),
        (f"00-{TRACE}-{PARENT}", None),
        (f"01-{TRACE}-{PARENT}-01-" + "x" * 1000, None),
        ("", None),
    ],
)
def test_a_context_is_read_as_w3c_says(text: str, context: TraceContext | None) -> None:
    assert traces.parse(text) == context


def test_a_context_is_written_as_it_was_read() -> None:
    for context in (SAMPLED, UNSAMPLED):
        assert traces.parse(context.traceparent) == context
    assert traces.sampled(SAMPLED.traceparent) == SAMPLED.traceparent
    assert traces.sampled(UNSAMPLED.traceparent) == traces.sampled("nonsense") == ""


def test_without_somebody_who_keeps_them_there_are_no_spans() -> None:
    tracer = Tracer()
    assert tracer.enter("x", SAMPLED) is tracer.follow("x", SAMPLED, Kind.SERVER) is None
    assert tracer.gather("x", Kind.INTERNAL, [SAMPLED]) is None


def test_the_ratio_decides_whatever_a_sender_says() -> None:
    """Neither its flag, nor a trace id of its choice, which other samplers go by, makes more of its requests traced."""
    tracer, kept = Tracer(), list[Span]()
    tracer.turn_on(kept.append, ratio=0)
    assert tracer.enter("x", SAMPLED) is tracer.enter("x", TraceContext("0" * 31 + "1", PARENT, True)) is None
    tracer.turn_on(kept.append, ratio=1)
    span = tracer.enter("x", UNSAMPLED)
    assert span is not None
    assert (span.context.trace_id, span.context.is_sampled, span.parent) == (TRACE, True, UNSAMPLED)
    assert span.context.span_id != PARENT
    tracer.turn_on(kept.append, ratio=0.5)
    chosen = sum(tracer.enter("x", SAMPLED) is not None for _ in range(2000))
    assert 800 < chosen < 1200


def test_a_trusted_senders_flag_decides() -> None:
    tracer, kept = Tracer(), list[Span]()
    tracer.turn_on(kept.append, ratio=0, trusts_senders=True)
    assert tracer.enter("x", SAMPLED) is not None
    assert tracer.enter("x") is None
    tracer.turn_on(kept.append, ratio=1, trusts_senders=True)
    assert tracer.enter("x", UNSAMPLED) is None
    assert tracer.enter("x") is not None


def test_what_is_not_sampled_is_not_followed(kept: list[Span]) -> None:
    assert traces.TRACER.follow("x", UNSAMPLED, Kind.SERVER) is traces.TRACER.follow("x", None, Kind.SERVER) is None
    assert SpanGroup.begin("work", "part", {0: UNSAMPLED.traceparent, 1: "nonsense"}) is None
    assert SpanGroup.begin("work", "part", {}) is None


def test_a_span_is_current_while_its_work_lasts_and_ends_once(kept: list[Span]) -> None:
    span = traces.TRACER.follow("x", SAMPLED, Kind.CLIENT)
    assert span is not None
    with traces.during(span):
        assert traces.current() == span.context
        assert kept == []
    assert traces.current() is None
    span.end("later")
    assert kept == [span]
    assert span.failure == ""


def test_a_failure_is_told_without_its_text(kept: list[Span]) -> None:
    span = traces.TRACER.follow("x", SAMPLED, Kind.CLIENT)
    assert span is not None
    with pytest.raises(NotFound), traces.during(span):
        raise NotFound("the secret is hunter2", reason="SYSTEM_NOT_FOUND")
    assert kept[0].failure == "NOT_FOUND SYSTEM_NOT_FOUND"
    other = traces.TRACER.follow("x", SAMPLED, Kind.CLIENT)
    assert other is not None
    with pytest.raises(ValueError, match="hunter2"), traces.during(other):
        raise ValueError("hunter2")
    assert kept[1].failure == "ValueError"


def test_work_for_several_traces_has_a_span_in_each_and_one_of_its_own(kept: list[Span]) -> None:
    other = TraceContext("1" * 32, "2" * 16, True)
    group = SpanGroup.begin("work", "part", {0: SAMPLED.traceparent, 1: UNSAMPLED.traceparent, 5: other.traceparent})
    assert group is not None
    assert sorted(group.spans) == [0, 5]
    assert [group.spans[n].parent for n in (0, 5)] == [SAMPLED, other]
    assert {group.spans[n].context.trace_id for n in (0, 5)} == {TRACE, "1" * 32}
    assert group.work.context.trace_id not in {TRACE, "1" * 32}
    assert group.work.links == (SAMPLED, other)
    assert all(span.links == (group.work.context,) for span in group.spans.values())
    group.spans[0].end()
    group.end("interrupted")
    assert [span.failure for span in kept] == ["", "interrupted", "interrupted"]


def test_log_lines_name_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nothing is traced, when a caller named one."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(written, write_through=True))
    logs.configure("tester", "json")
    traces.set_current(UNSAMPLED)
    try:
        structlog.get_logger().info("inside")
    finally:
        traces.set_current(None)
    structlog.get_logger().info("outside")
    inside, outside = [orjson.loads(line) for line in written.getvalue().splitlines()]
    assert (inside["trace_id"], inside["span_id"]) == (TRACE, PARENT)
    assert "trace_id" not in outside


@pytest.mark.parametrize("module", ["intertie_ingest.__main__", "intertie_mapper.__main__", "intertie_gateway.workers"])
def test_processes_that_do_not_export_load_nothing_for_it(module: str) -> None:
    code = f"import sys, {module}; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
