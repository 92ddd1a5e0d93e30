"""Accepted webhooks a second, beside the ceilings and the same work done one by one.

Accepted is what was answered 202: verified and durably committed, each a record of its own. 64 connections of wrk,
while mapping and audit run and may fall behind; then half of that rate, evenly, for the delays of a machine that is
busy and not full. Between two measurements all that was accepted lands.
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median

import references
from figures import Figure, Grid, Outcome
from installation import Installation
from process_costs import SUITE
from stage import STORES, TITLES, Stage
from wrk import CONNECTIONS, Burst, burst

_COSTS = (*SUITE, "mariadbd")


@dataclass
class _Measured:
    """What one store came to, a round each."""

    bursts: list[Burst] = field(default_factory=list)
    halves: list[Burst] = field(default_factory=list)
    during: list[dict[str, float]] = field(default_factory=list)
    """Microseconds of CPU by process for an accepted delivery, while wrk sent."""
    in_all: list[dict[str, float]] = field(default_factory=list)
    """The same until all had landed."""
    drains: list[float] = field(default_factory=list)
    """Seconds from wrk's end until all had landed."""


def measure(stage: Stage) -> Outcome:
    """Runs the part."""
    short, long = stage.options.either(2, 5), stage.options.either(3, 10)
    measured: dict[str, _Measured] = defaultdict(_Measured)
    bare: list[Burst] = []
    unary: list[Burst] = []
    inserted: list[float] = []
    with ExitStack() as running:
        bare_port, bare_request = running.enter_context(references.bare(stage))
        unary_port, unary_request = running.enter_context(references.unary(stage))
        installations = {store: running.enter_context(stage.installation(store)) for store in STORES}
        # The first plans, statements and connections are made once.
        burst(unary_port, unary_request, stage.numbers.first(), 1)
        for installation in installations.values():
            installation.burst(1)
            installation.drain()
        for number in range(1, stage.options.rounds + 1):
            stage.say(f"round {number} of {stage.options.rounds}")
            bare.append(burst(bare_port, bare_request, stage.numbers.first(), short))
            inserted.append(references.rows_inserted(stage.server, short))
            unary.append(burst(unary_port, unary_request, stage.numbers.first(), long))
            for store, installation in installations.items():
                _round(installation, measured[store], long)
    figures = [
        Figure("ceiling.http", "bare uvicorn, an empty answer", "/s", _rates(bare), _faults(bare)),
        Figure("ceiling.insert", "rows inserted, 200 a statement and commit", "/s", tuple(inserted)),
        Figure("one_by_one", "one by one: an RPC and a transaction each", "/s", _rates(unary), _faults(unary)),
        Figure("one_by_one.p99", "one by one: p99", "ms", tuple(one.p99 for one in unary), _faults(unary)),
    ]
    for store in STORES:
        figures += _figures(store, measured[store])
    return Outcome("accepted", tuple(figures), (_costs(measured),), _notes(measured))


def _round(installation: Installation, measured: _Measured, seconds: int) -> None:
    meter = installation.meter()
    done = installation.burst(seconds)
    ended, during = time.monotonic(), meter.spent()
    drained = installation.drain()
    accepted = done.answers - done.refused
    measured.bursts.append(done)
    measured.during.append(_each({**during, "wrk": done.cpu}, accepted))
    measured.in_all.append(_each({**meter.spent(), "wrk": done.cpu}, drained.deliveries))
    measured.drains.append(drained.at - ended)
    measured.halves.append(installation.burst(seconds, done.rate / 2))
    installation.drain()


def _figures(store: str, measured: _Measured) -> list[Figure]:
    def milliseconds(name: str, title: str, rounds: Sequence[float], invalid: str) -> Figure:
        return Figure(f"accepted.{name}.{store}", f"{title}, {TITLES[store]}", "ms", tuple(rounds), invalid)

    bursts, halves = measured.bursts, measured.halves
    fault, half_fault = _faults(bursts), _faults(halves)
    return [
        Figure(f"accepted.{store}", f"accepted, {TITLES[store]}", "/s", _rates(bursts), fault),
        milliseconds("p50", "accepted: p50 at 64 connections", [one.p50 for one in bursts], fault),
        milliseconds("p99", "accepted: p99 at 64 connections", [one.p99 for one in bursts], fault),
        milliseconds("half.p50", "accepted: p50 at half load", [one.p50 for one in halves], half_fault),
        milliseconds("half.p99", "accepted: p99 at half load", [one.p99 for one in halves], half_fault),
    ]


def _each(seconds: Mapping[str, float], deliveries: int) -> dict[str, float]:
    return {name: spent / max(1, deliveries) * 1e6 for name, spent in seconds.items()}


def _rates(bursts: Sequence[Burst]) -> tuple[float, ...]:
    return tuple(one.rate for one in bursts)


def _faults(measured: Sequence[Burst]) -> str:
    return "; ".join(one.fault for one in measured if one.fault)


def _costs(measured: Mapping[str, _Measured]) -> Grid:
    def cell(rounds: Sequence[dict[str, float]], name: str) -> str:
        return f"{median(one[name] for one in rounds):.0f}" if all(name in one for one in rounds) else ""

    columns = [(TITLES[store], kept) for store, kept in measured.items()]
    return Grid(
        "Microseconds of CPU for an accepted delivery: while wrk sends, and until all has landed",
        ("process", *(f"{title}, {when}" for title, _ in columns for when in ("sending", "in all"))),
        tuple(
            (name, *(cell(rounds, name) for _, kept in columns for rounds in (kept.during, kept.in_all)))
            for name in (*_COSTS, "wrk")
        ),
    )


def _notes(measured: Mapping[str, _Measured]) -> tuple[str, ...]:
    drains = ", ".join(
        f"{median(kept.drains):.1f} s after {median(burst.answers for burst in kept.bursts):.0f} on {TITLES[store]}"
        for store, kept in measured.items()
    )
    return (
        f"{CONNECTIONS} connections; every answer was counted, and one that is no 2xx makes its figure invalid.",
        "Half load is half of the round's rate, sent evenly by wrk over as many connections.",
        f"Until all that was accepted had landed, was settled and in the log: {drains}.",
    )
