"""Prometheus, its alerts and Grafana's dashboard ask for what processes show, by the labels that they show it with."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import promql
from compose_file import PROCESSES, mounts, services
from source_tree import ROOT

HOME = ROOT / "deploy"
#: what the processes show, and its labels
METRICS: dict[str, set[str]] = {
    "intertie_rpc_requests_total": {"service", "method", "code"},
    "intertie_rpc_duration_seconds_bucket": {"service", "method", "le"},
    "intertie_http_requests_total": {"route", "method", "status"},
    "intertie_http_duration_seconds_bucket": {"route", "le"},
    "intertie_pending_records": {"state"},
    "intertie_oldest_pending_seconds": set(),
    "intertie_group_deliveries_bucket": {"le"},
    "intertie_deliveries_total": {"outcome"},
    "intertie_batch_records_bucket": {"le"},
    "intertie_records_total": {"outcome"},
    "intertie_commit_seconds_bucket": {"owner", "le"},
    "intertie_outbox_waiting_messages": {"owner"},
    "intertie_outbox_oldest_seconds": {"owner"},
    "intertie_unsealed_entries": set(),
    "intertie_seal_lag_seconds": set(),
    "intertie_snapshot_age_seconds": set(),
    "intertie_durability_degraded": {"database"},
    "intertie_database_available": {"database"},
    "intertie_spool_deliveries": {"state"},
    # Prometheus' own, and those of its client for Python.
    "up": set(),
    "process_cpu_seconds_total": set(),
    "process_resident_memory_bytes": set(),
    "process_start_time_seconds": set(),
    "process_open_fds": set(),
}
#: what Prometheus adds to everything that it asks for
ADDED = {"job", "instance", "process"}
ROWS = ("Edge", "Ingest", "Mapper", "Audit", "Databases", "Processes")


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _rules() -> list[dict[str, Any]]:
    return [rule for group in _yaml(HOME / "prometheus" / "alerts.yml")["groups"] for rule in group["rules"]]


def _dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((HOME / "grafana" / "dashboards" / "intertie.json").read_text(encoding="utf-8"))
    return loaded


def _panels() -> list[dict[str, Any]]:
    return [panel for panel in _dashboard()["panels"] if panel["type"] != "row"]


def _expressions() -> Iterator[tuple[str, str]]:
    for rule in _rules():
        yield rule["alert"], rule["expr"]
    for panel in _panels():
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", target["expr"]


@pytest.mark.parametrize(("where", "expression"), list(_expressions()))
def test_asks_for_what_is_shown(where: str, expression: str) -> None:
    query = promql.read(expression)
    assert query.metrics
    assert query.metrics <= METRICS.keys(), where
    assert query.labels <= ADDED.union(*(METRICS[metric] for metric in query.metrics)), where
    # A counter says something by its growth alone.
    counters = [metric for metric in query.metrics if metric.endswith(("_total", "_bucket"))]
    assert not counters or "rate" in query.functions, where


@pytest.mark.parametrize(
    "wrong",
    ["sum(rate(up[5m])", "up{job=\"x}", "rate(up[5])", "median(up)", "sum by (a (up)", "up]"],
)  # fmt: skip
def test_what_does_not_close_or_exist_is_found(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"clos|end|window|function"):
        promql.read(wrong)


def test_an_expression_is_taken_apart() -> None:
    query = promql.read('histogram_quantile(0.9, sum by (le, owner) (rate(x_bucket{a=~"5..",b!="c"}[5m]))) > 1e3 and y')
    assert query.metrics == {"x_bucket", "y"}
    assert query.labels == {"le", "owner", "a", "b"}
    assert query.functions == {"histogram_quantile", "sum", "rate"}


def test_prometheus_asks_every_process_where_it_shows_its_metrics() -> None:
    configuration = _yaml(HOME / "prometheus" / "prometheus.yml")
    jobs = {job["job_name"]: job for job in configuration["scrape_configs"]}
    asked = {each["labels"]["process"]: each["targets"] for each in jobs["intertie"]["static_configs"]}
    assert asked == {process: [f"{process}:9464"] for process in PROCESSES}
    for process in PROCESSES:
        shown = services()[process]["environment"][f"INTERTIE_{process.upper()}_METRICS_LISTEN"]
        assert shown == "0.0.0.0:9464"
    mounted = {target: source for source, target, _ in mounts(services()["prometheus"])}
    for file in configuration["rule_files"]:
        assert (ROOT / mounted[str(Path(file).parent)] / Path(file).name).is_file()
    assert "--config.file=/etc/prometheus/prometheus.yml" in services()["prometheus"]["command"]


def test_each_alert_has_a_name_a_severity_and_a_sentence() -> None:
    names = [rule["alert"] for rule in _rules()]
    assert len(names) == len(set(names))
    for rule in _rules():
        assert rule["alert"].startswith("Intertie")
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("page", "warn")
        assert rule["annotations"]["summary"].endswith(".")
        by = promql.read(rule["expr"]).labels | ADDED
        assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) <= by


def test_each_alert_is_explained() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    assert [rule["alert"] for rule in _rules() if f"`{rule['alert']}`" not in page] == []


def test_grafana_finds_its_source_and_its_dashboard() -> None:
    """What is provisioned is mounted, and the panels ask the source that is provisioned."""
    mounted = {target: source for source, target, _ in mounts(services()["grafana"])}
    provisioned = ROOT / mounted["/etc/grafana/provisioning"]
    [source] = _yaml(provisioned / "datasources" / "prometheus.yaml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    [provider] = _yaml(provisioned / "dashboards" / "intertie.yaml")["providers"]
    assert (ROOT / mounted[provider["options"]["path"]] / "intertie.json").is_file()
    uids = {each["datasource"]["uid"] for panel in _panels() for each in (panel, *panel["targets"])}
    assert uids == {source["uid"]}


def test_the_dashboard_is_laid_out() -> None:
    """Every row is there, panels have numbers of their own, do not cover each other, and say in what they measure."""
    panels = _dashboard()["panels"]
    assert tuple(panel["title"] for panel in panels if panel["type"] == "row") == ROWS
    assert len({panel["id"] for panel in panels}) == len(panels)
    covered: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        columns = range(place["x"], place["x"] + place["w"])
        cells = {(x, y) for x in columns for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & covered, panel["title"]
        assert place["x"] + place["w"] <= 24
        covered |= cells
    assert all(panel["fieldConfig"]["defaults"]["unit"] for panel in _panels())
    shown = {metric for _, expression in _expressions() for metric in promql.read(expression).metrics}
    assert shown == METRICS.keys()
