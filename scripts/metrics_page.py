"""docs/metrics.md: every metric of ours, as the code that makes it describes it."""

from collections.abc import Iterator

import intertie_audit.metrics
import intertie_gateway.request_telemetry
import intertie_ingest.metrics
import intertie_mapper.metrics
from intertie_chassis.metrics import REGISTRY

_MODULES = (
    intertie_audit.metrics,
    intertie_gateway.request_telemetry,
    intertie_ingest.metrics,
    intertie_mapper.metrics,
)
"""Those that make metrics; what all processes have comes with them."""

_ALL = "all but the gateway"
_OWNERS = "registry, ingest, pull, mapper, audit"
_OUTBOXES = "registry, ingest, mapper"
PLACES: dict[str, tuple[str, str]] = {
    "intertie_rpc_requests_total": ("service, method, code", _ALL),
    "intertie_rpc_duration_seconds": ("service, method", _ALL),
    "intertie_http_requests_total": ("route, method, status", "gateway"),
    "intertie_http_duration_seconds": ("route", "gateway"),
    "intertie_deliveries_total": ("outcome", "ingest"),
    "intertie_group_deliveries": ("", "ingest"),
    "intertie_pending_records": ("state", "ingest"),
    "intertie_oldest_pending_seconds": ("", "ingest"),
    "intertie_batch_records": ("", "mapper"),
    "intertie_records_total": ("outcome", "mapper"),
    "intertie_commit_seconds": ("owner", _OWNERS),
    "intertie_outbox_waiting_messages": ("owner", _OUTBOXES),
    "intertie_outbox_oldest_seconds": ("owner", _OUTBOXES),
    "intertie_unsealed_entries": ("", "audit"),
    "intertie_seal_lag_seconds": ("", "audit"),
    "intertie_snapshot_age_seconds": ("", "ingest, pull, mapper"),
    "intertie_durability_degraded": ("database", _OWNERS),
    "intertie_database_available": ("database", _OWNERS),
    "intertie_spool_deliveries": ("state", "ingest"),
    "intertie_spans_total": ("outcome", "all"),
}
"""Labels, and the processes that set it, of each metric."""

_HEAD = """# Metrics

Made from the code by `make generate`; do not edit. How to have them shown, and when to be told, says
[telemetry.md](telemetry.md). Beside these each page has the `process_…` metrics of Prometheus' client: CPU, memory,
open files, when it began. Times are in seconds. A histogram has `_bucket`, `_sum` and `_count`.

| metric | kind | labels | shown by | meaning |
|---|---|---|---|---|
"""


def render() -> str:
    """The page. Raises KeyError for a metric that PLACES does not know."""
    rows = {name: (kind, text) for name, kind, text in _metrics()}
    lines = [
        f"| `{name}` | {rows[name][0]} | {labels} | {processes} | {rows[name][1]} |"
        for name, (labels, processes) in PLACES.items()
    ]
    unknown = set(rows) - set(PLACES)
    if unknown:
        raise KeyError(f"metrics that the page does not know: {', '.join(sorted(unknown))}")
    return _HEAD + "\n".join(lines) + "\n"


def _metrics() -> Iterator[tuple[str, str, str]]:
    for family in REGISTRY.collect():
        if family.name.startswith("intertie_"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            yield name, family.type, family.documentation
