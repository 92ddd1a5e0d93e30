"""Requests are counted and timed as Prometheus has it."""

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from intertie_chassis.request_metrics import RequestMetrics


def samples(registry: CollectorRegistry) -> dict[tuple[str, ...], float]:
    """Each sample's value, by its name and the values of its labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


def test_requests_are_counted_by_outcome_and_timed_by_route() -> None:
    registry = CollectorRegistry()
    requests = RequestMetrics(registry, "acme_http", "requests", counted=("route", "status"), timed=("route",))
    for status, seconds in (("200", 0.0005), ("200", 0.001), ("500", 0.3), ("500", 99.0)):
        requests.note(("/a", status), ("/a",), seconds)
    requests.note(("/b", "101"), None, 99.0)
    seen = samples(registry)
    assert seen["acme_http_requests_total", "/a", "200"] == 2
    assert seen["acme_http_requests_total", "/a", "500"] == 2
    assert seen["acme_http_requests_total", "/b", "101"] == 1
    buckets = {name[1]: value for name, value in seen.items() if name[0] == "acme_http_duration_seconds_bucket"}
    assert (buckets["0.001"], buckets["0.25"], buckets["0.5"], buckets["30.0"], buckets["+Inf"]) == (2, 2, 3, 3, 4)
    assert seen["acme_http_duration_seconds_count", "/a"] == 4
    assert abs(seen["acme_http_duration_seconds_sum", "/a"] - 99.3015) < 1e-6
    assert ("acme_http_duration_seconds_count", "/b") not in seen


def test_without_requests_the_names_are_there() -> None:
    registry = CollectorRegistry()
    RequestMetrics(registry, "acme_rpc", "calls", counted=("code",), timed=("method",))
    assert b"# TYPE acme_rpc_requests_total counter" in generate_latest(registry)
    assert b"# TYPE acme_rpc_duration_seconds histogram" in generate_latest(registry)
