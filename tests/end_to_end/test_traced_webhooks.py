"""One webhook is one trace: through gateway, ingest, mapper and audit, and through the cache between them."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

import processes
from collector import Collector, Kept, collecting
from suite import Suite
from waiting import eventually

SENDER = "0af7651916cd43dd8448eb211c80319c"
SENDERS_SPAN = "b7ad6b7169203331"
FIELDS = {"field_mappings": {"title": "event_name", "date": "event_date"}, "constants": {"event_type": "drill"}}


def body(number: int) -> dict[str, object]:
    return {"id": f"record-{number}", "title": f"Drill {number}", "date": "2026-03-01"}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture(scope="module")
def metrics_port() -> int:
    """The first of as many ports as there are processes."""
    ports = [processes.free_port() for _ in range(6)]
    return ports[0]


@pytest.fixture(scope="module")
def traced(collector: Collector, metrics_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A suite that traces everything, and shows its metrics."""
    env = {
        "INTERTIE_TRACES_ENDPOINT": collector.endpoint,
        "INTERTIE_TRACES_RATIO": "1",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    running = Suite(tmp_path_factory.mktemp("traced"), env=env).start("--metrics-port", str(metrics_port))
    running.add_system("tracer")
    running.add_mapping("tracer", "drills", FIELDS)
    yield running
    assert running.stop() == 0


def place(span: Kept) -> tuple[str, str]:
    return span.trace_id, span.span_id


async def whole(collector: Collector, trace_id: str, spans: int = 5) -> list[Kept]:
    """The spans of a trace once there are so many."""

    def found() -> list[Kept]:
        kept = collector.of(trace_id)
        assert len(kept) >= spans, [(span.service, span.name) for span in kept]
        return kept

    return await eventually(found, timeout=20)


def require_one_way(kept: list[Kept]) -> None:
    """Each is the child of the one before it: gateway, ingest, mapper, and audit's as those that wrote the entries."""
    gateway, accept = next(s for s in kept if s.service == "gateway"), next(s for s in kept if s.service == "ingest")
    assert gateway.name == "POST /api/v1/integrations/webhook/{system}"
    assert gateway.attributes["http.response.status_code"] == 202
    assert (accept.name, accept.parent_id) == ("accept delivery", gateway.span_id)
    mapped = [span for span in kept if span.service == "mapper"]
    assert {(span.name, span.parent_id) for span in mapped} == {("map record", accept.span_id)}
    appended = [span for span in kept if span.service == "audit"]
    assert {span.name for span in appended} == {"append entry"}
    assert {span.parent_id for span in appended} == {accept.span_id, mapped[-1].span_id}


async def test_one_webhook_is_one_trace(traced: Suite, collector: Collector) -> None:
    """It begins at the gateway and ends with the entries in the log; the batches in which it went are linked."""
    assert traced.webhook("tracer", body(1)).status_code == 202

    def began() -> Kept | None:
        found = collector.named("accept delivery")
        return found[0] if found else None

    accept = await eventually(began)
    kept = await whole(collector, accept.trace_id)
    require_one_way(kept)
    assert kept[0].parent_id == ""
    mapped = next(span for span in kept if span.service == "mapper")
    assert mapped.attributes["intertie.outcome"] == "synced"
    assert mapped.attributes["intertie.action"] == "insert"
    (accepting,) = [span for span in collector.named("accept deliveries") if place(span) in accept.links]
    (mapping,) = [span for span in collector.named("map batch") if place(span) in mapped.links]
    assert place(kept[0]) in accepting.links
    assert place(accept) in mapping.links
    # What is settled is settled for the batch.
    settled = await eventually(lambda: collector.named("intertie.ingest.v1.RecordQueue/SettleRecords"))
    assert mapping.trace_id in {span.trace_id for span in settled}


async def test_a_senders_trace_goes_on(traced: Suite, collector: Collector) -> None:
    """Its id is that of all spans and log lines, its span the parent of the gateway's."""
    answer = traced.webhook("tracer", body(2), traceparent=f"00-{SENDER}-{SENDERS_SPAN}-01")
    assert answer.status_code == 202
    kept = await whole(collector, SENDER)
    require_one_way(kept)
    assert kept[0].parent_id == SENDERS_SPAN

    def lines() -> list[dict[str, object]]:
        return [json.loads(line) for line in traced.log.read_text().splitlines() if SENDER in line]

    (line,) = await eventually(lines)
    assert (line["event"], line["span_id"]) == ("request", kept[0].span_id)


async def test_what_is_set_aside_and_replayed_goes_on_in_its_trace(traced: Suite, collector: Collector) -> None:
    """Through the cache: however much later a record is leased, and whichever try it is."""
    trace = SENDER.replace("0af7", "0af8")
    bad = body(3) | {"date": "no date"}
    assert traced.webhook("tracer", bad, traceparent=f"00-{trace}-{SENDERS_SPAN}-00").status_code == 202
    kept = await whole(collector, trace)
    (tried,) = [span for span in kept if span.service == "mapper"]
    assert tried.attributes["intertie.outcome"] == "set_aside"
    assert tried.failure

    traced.cli("records", "replay", "--system", "tracer", "--yes")
    again = [span for span in await whole(collector, trace, 7) if span.service == "mapper"]
    assert [span.parent_id for span in again] == [tried.parent_id] * 2
    assert again[1].links != tried.links


async def test_a_call_of_a_person_is_a_trace_too(traced: Suite, collector: Collector) -> None:
    """Over HTTP: the gateway's span, the service's below it, and below that what the service asked of another."""
    trace = SENDER.replace("0af7", "0af9")
    answer = traced.request(
        "POST",
        "/mappings",
        json={
            "system": "tracer",
            "mapping_name": "other",
            "target_table": "campaign_department_events",
            "mapping_config": FIELDS,
            "sync_frequency": "manual",
        },
        headers={"traceparent": f"00-{trace}-{SENDERS_SPAN}-01"},
    )
    assert answer.status_code == 200, answer.text
    gateway, registry, asks, mapper = kept = (await whole(collector, trace, 4))[:4]
    assert [span.service for span in kept] == ["gateway", "registry", "registry", "mapper"]
    assert gateway.name == "POST /api/v1/integrations/mappings"
    assert registry.name == "intertie.registry.v1.RegistryService/CreateMapping"
    assert (registry.parent_id, asks.parent_id, mapper.parent_id) == (gateway.span_id, registry.span_id, asks.span_id)


async def test_every_process_shows_its_metrics(traced: Suite, metrics_port: int) -> None:
    """One switch gives each a page; what one webhook sets in motion shows on all of them."""
    assert traced.webhook("tracer", body(4)).status_code == 202

    def page(number: int) -> str:
        with urlopen(f"http://127.0.0.1:{metrics_port + number}/metrics") as answer:
            return str(answer.read().decode())

    wanted = {
        0: ['intertie_rpc_requests_total{code="OK",method="CreateMapping"', 'waiting_messages{owner="registry"}'],
        1: [
            'method="AppendEntries"',
            "intertie_unsealed_entries",
            "intertie_seal_lag_seconds",
            'intertie_commit_seconds_count{owner="audit"}',
        ],
        2: [
            'intertie_deliveries_total{outcome="accepted"}',
            "intertie_group_deliveries_count",
            'intertie_pending_records{state="ready"} 0.0',
            "intertie_oldest_pending_seconds 0.0",
            'intertie_outbox_oldest_seconds{owner="ingest"}',
            'intertie_commit_seconds_count{owner="ingest"}',
            "intertie_snapshot_age_seconds ",
        ],
        3: ["intertie_snapshot_age_seconds "],
        4: [
            'intertie_records_total{outcome="synced"}',
            "intertie_batch_records_count",
            'intertie_outbox_waiting_messages{owner="mapper"}',
            "intertie_snapshot_age_seconds ",
        ],
        5: [
            'intertie_http_requests_total{method="POST",route="/api/v1/integrations/webhook/{system}",status="202"}',
            'intertie_http_duration_seconds_bucket{le="0.01",route="/api/v1/integrations/webhook/{system}"}',
        ],
    }

    for number, texts in wanted.items():

        def shown(number: int = number, texts: list[str] = texts) -> bool:
            found = page(number)
            missing = [text for text in texts if text not in found]
            assert not missing, (number, missing, found[-3000:])
            return True

        await eventually(shown, timeout=20)


async def test_a_collector_that_hangs_costs_spans_and_nothing_else(tmp_path: Path) -> None:
    """Deliveries are accepted and mapped as ever, and the stop takes no longer than the drain."""
    with collecting() as collector:
        collector.goes_on.clear()
        env = {
            "INTERTIE_TRACES_ENDPOINT": collector.endpoint,
            "INTERTIE_TRACES_RATIO": "1",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "OTEL_BSP_MAX_QUEUE_SIZE": "64",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "16",
        }
        suite = Suite(tmp_path / "hangs", env=env).start()
        try:
            suite.add_system("tracer")
            suite.add_mapping("tracer", "drills", FIELDS)
            answers = [suite.webhook("tracer", body(number)).status_code for number in range(100)]
            assert answers == [202] * 100
            await eventually(lambda: len(suite.rows("events")) == 100, timeout=20)
        finally:
            status = suite.stop()
        assert status == 0
        assert collector.spans == []
        assert "ERROR" not in suite.log.read_text()
