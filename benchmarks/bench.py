"""How fast Intertie is, beside the machine's ceilings and the same work done one by one: `make bench`.

Everything runs on this machine: a private MariaDB with durable commits, wrk, and Intertie through `intertie up`, on
ports of the loopback of their own. Rounds of what is compared take turns; figures are medians of rounds.

    make bench                                   all parts; prints the table, writes bench-results.json
    make bench ARGS="--only accepted,delay --rounds 1 --quick"
    make bench ARGS=--publish                    and writes the table and the plot into docs/
    make bench ARGS="--from bench-results.json --publish"
"""

import argparse
import json
import shlex
import sys
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import machine
import plot
import report
from figures import Outcome, Run
from parts import accepted, delay, growth, plan, replicas, sustained, sync, verify
from stage import MARIADB_OPTIONS, Options, Stage

ROOT = Path(__file__).resolve().parent.parent
PARTS: dict[str, Callable[[Stage], Outcome]] = {
    "accepted": accepted.measure,
    "sustained": sustained.measure,
    "delay": delay.measure,
    "plan": plan.measure,
    "sync": sync.measure,
    "verify": verify.measure,
    "growth": growth.measure,
    "replicas": replicas.measure,
}
"""By name, in the order in which they run."""


def main() -> int:
    """Measures what it is asked for; 1 when a part has failed or something is missing."""
    asked = _arguments().parse_args()
    if asked.list:
        print("\n".join(f"{name:10} {_first_line(measure)}" for name, measure in PARTS.items()))
        return 0
    if asked.earlier is not None:
        run = Run.from_json(json.loads(asked.earlier.read_text(encoding="utf-8")))
    else:
        if lacking := machine.missing():
            print("\n".join(lacking), file=sys.stderr)
            return 1
        run = _run(asked.only or list(PARTS), Options(asked.rounds, asked.quick, asked.deliveries))
        asked.results.write_text(json.dumps(run.to_json(), indent=1) + "\n", encoding="utf-8")
        print(f"\nwritten to {asked.results}\n")
    print(report.render(run))
    if asked.publish:
        return _publish(run)
    return 1 if any(outcome.failed for outcome in run.outcomes) else 0


def _run(names: list[str], options: Options) -> Run:
    began = datetime.now(UTC).isoformat(timespec="seconds")
    described, versions = machine.describe(), machine.versions()
    for text in (*(f"{name}: {value}" for name, value in {**described, **versions}.items()), *MARIADB_OPTIONS):
        print(text)
    outcomes: list[Outcome] = []
    with Stage(options) as stage:
        for name in names:
            print(f"{name}: {_first_line(PARTS[name])}", flush=True)
            outcomes.append(_outcome(name, stage))
    return Run(
        command=f"make bench ARGS={shlex.quote(' '.join(sys.argv[1:]))}" if sys.argv[1:] else "make bench",
        at=began,
        rounds=options.rounds,
        is_quick=options.is_quick,
        machine=described,
        versions=versions,
        database=" ".join(MARIADB_OPTIONS),
        outcomes=tuple(outcomes),
    )


def _outcome(name: str, stage: Stage) -> Outcome:
    """What the part came to; one that fails does not take the figures of the others along."""
    began = time.monotonic()
    try:
        done = PARTS[name](stage)
    except Exception as error:
        traceback.print_exc()
        done = Outcome(name, failed=f"{type(error).__name__}: {error}")
    return Outcome(name, done.figures, done.grids, done.notes, done.failed, time.monotonic() - began)


def _publish(run: Run) -> int:
    if run.is_quick or {outcome.part for outcome in run.outcomes if not outcome.failed} != set(PARTS):
        print("not published: only a whole run, neither quick nor of some parts, is quoted", file=sys.stderr)
        return 1
    page = ROOT / "docs" / "performance.md"
    page.write_text(report.published(page.read_text(encoding="utf-8"), run), encoding="utf-8")
    (page.parent / report.PLOT).write_text(plot.render(run), encoding="utf-8")
    print(f"published in {page.relative_to(ROOT)} and docs/{report.PLOT}")
    return 0


def _first_line(measure: Callable[[Stage], Outcome]) -> str:
    return (sys.modules[measure.__module__].__doc__ or "").partition("\n")[0]


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make bench ARGS=…", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="name the parts, measure nothing")
    parser.add_argument("--only", type=_names, metavar="PART,…", help="measure these parts")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds of each part (3)")
    parser.add_argument("--quick", action="store_true", help="everything short: for trying, not for quoting")
    parser.add_argument("--deliveries", type=int, metavar="N", help="of the part on growth (1,000,000)")
    parser.add_argument(
        "--results", type=Path, default=ROOT / "bench-results.json", metavar="FILE", help="for the JSON"
    )
    parser.add_argument("--publish", action="store_true", help="write the table and the plot into docs/")
    parser.add_argument("--from", dest="earlier", type=Path, metavar="FILE", help="show or publish an earlier run's")
    return parser


def _names(text: str) -> list[str]:
    names = [name for name in PARTS if name in text.split(",")]
    if unknown := sorted(set(text.split(",")) - set(names)):
        raise argparse.ArgumentTypeError(f"there is no part {', '.join(unknown)}: {', '.join(PARTS)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
