"""What telemetry costs: CPU for a delivery, from the wire to the row and the log, with more and more of it switched on.

`PYTHONPATH=tests .venv/bin/python benchmarks/telemetry_cost.py` measures each setting once: a fresh installation, one
after the other, each with the same burst. Runs are gathered with `--keep FILE`; medians count. `--other CHECKOUT`
measures another version of the sources beside them. Spans go to a collector that takes bytes and looks at none.
"""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc

import machine
import processes
from process_costs import SUITE
from stage import Options, Stage

_ROOT = Path(__file__).parents[1]
_PACKAGES = ("protos", "chassis", "mapping", "services/registry", "services/ingest", "services/mapper")
_SOURCES = (*_PACKAGES, "services/audit", "gateway", "cli")
_PROCESSES = ("gateway", "registry", "ingest", "pull", "mapper", "audit")
Spent = dict[str, float]


@contextmanager
def taking() -> Iterator[str]:
    """The endpoint of a collector that takes everything."""

    class Handler(grpc.GenericRpcHandler):
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
            return grpc.unary_unary_rpc_method_handler(lambda request, context: b"")

    server = grpc.server(ThreadPoolExecutor(4), handlers=[Handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def settings(endpoint: str) -> dict[str, dict[str, str]]:
    """What is measured, by name: the settings of each."""
    metrics = {
        f"INTERTIE_{process.upper()}_METRICS_LISTEN": f"127.0.0.1:{processes.free_port()}" for process in _PROCESSES
    }
    traces = {"INTERTIE_TRACES_ENDPOINT": endpoint}
    return {
        "off": {},
        "metrics": metrics,
        "metrics, traces 1 %": {**metrics, **traces, "INTERTIE_TRACES_RATIO": "0.01"},
        "metrics, traces 100 %": {**metrics, **traces, "INTERTIE_TRACES_RATIO": "1"},
    }


def other(checkout: Path) -> dict[str, str]:
    """The settings with which processes run another checkout's code."""
    return {"PYTHONPATH": os.pathsep.join(str(checkout / source / "src") for source in _SOURCES)}


def measured(stage: Stage, store: str, env: Mapping[str, str], seconds: int) -> Spent:
    """Microseconds of CPU for a delivery by process, and of all."""
    with stage.installation(store, env) as installation:
        installation.burst(1)
        installation.drain()
        meter = installation.meter()
        burst = installation.burst(seconds)
        if burst.fault:
            raise RuntimeError(burst.fault)
        drained = installation.drain()
        spent = {name: used / drained.deliveries * 1e6 for name, used in meter.spent().items()}
    return {**spent, "all": sum(spent.values()), "accepted a second": burst.rate}


def table(found: Mapping[str, list[Spent]]) -> str:
    """The medians, in Markdown, and from where to where the sums reach."""
    columns = ["gateway", "ingest", "mapper", "audit", "mariadbd", "all", "accepted a second"]
    columns = [column for column in columns if column in next(iter(found.values()))[0]]
    lines = ["| | runs | " + " | ".join(columns) + " |", "|---|---|" + "---|" * len(columns)]
    for name, runs in found.items():
        cells = [f"{statistics.median(one[column] for one in runs):,.0f}" for column in columns]
        sums = [one["all"] for one in runs]
        cells[columns.index("all")] += f" ({min(sums):.0f} to {max(sums):.0f})"
        lines.append(f"| {name} | {len(runs)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Measures each setting once."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--store", choices=("mariadb", "sqlite"), default="mariadb")
    parser.add_argument("--seconds", type=int, default=4, help="how long a burst lasts")
    parser.add_argument("--only", action="append", help="a setting by its name; again for more of them")
    parser.add_argument("--keep", type=Path, help="file of earlier runs, to which these are added")
    parser.add_argument("--other", type=Path, help="another checkout, whose code is measured as well")
    options = parser.parse_args()
    if missing := machine.missing():
        print("\n".join(missing), file=sys.stderr)
        return 2
    kept: Path | None = options.keep
    found: dict[str, list[Spent]] = json.loads(kept.read_text()) if kept is not None and kept.exists() else {}
    with taking() as endpoint, Stage(Options(rounds=1)) as stage:
        wanted = settings(endpoint)
        if options.other is not None:
            wanted = {"before": other(options.other.absolute()), **wanted}
        for name in options.only or wanted:
            found.setdefault(name, []).append(measured(stage, options.store, wanted[name], options.seconds))
    if kept is not None:
        kept.write_text(json.dumps(found))
    print(f"microseconds of CPU for a delivery, {options.store}; processes: {', '.join(SUITE)}")
    print(table(found))
    print(machine.describe(), machine.versions())
    return 0


if __name__ == "__main__":
    sys.exit(main())
