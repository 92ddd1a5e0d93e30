"""What a million deliveries leave: the memory of the suite's processes, and the rate at which webhooks are accepted.

On MariaDB. One installation takes a million deliveries, all of which land; then its rate is measured by turns with that
of a second one, which has ten thousand and what the measuring itself adds.
"""

from contextlib import ExitStack

from figures import Figure, Grid, Outcome
from installation import Installation
from process_costs import SUITE, Process, added_up
from stage import Stage

_FEW = 10_000
_FEW_A_SECOND = 500
_BURST_SECONDS = 10

_Memory = dict[str, tuple[float, float]]
"""By process MiB as RSS and as PSS."""


def measure(stage: Stage) -> Outcome:
    """Runs the part."""
    many = stage.options.deliveries or stage.options.either(50_000, 1_000_000)
    seconds = stage.options.either(2, 6)
    rates: dict[str, list[float]] = {"few": [], "many": []}
    faults: list[str] = []
    with ExitStack() as running:
        large = running.enter_context(stage.installation("mariadb"))
        _few(large)
        early = _memory(large)
        _fill(stage, large, many)
        late = _memory(large)
        small = running.enter_context(stage.installation("mariadb"))
        _few(small)
        for number in range(1, stage.options.rounds + 1):
            stage.say(f"round {number} of {stage.options.rounds}")
            for name, installation in (("many", large), ("few", small)):
                done = installation.burst(seconds)
                installation.drain()
                rates[name].append(done.rate)
                faults += [done.fault] if done.fault else []
    ratios = tuple(one / other for one, other in zip(rates["many"], rates["few"], strict=True))
    fault = "; ".join(faults)
    return Outcome(
        "growth",
        (
            # What they hold together. The sum of RSS has each page that they share as often as they share it.
            Figure("memory", f"memory of all processes (PSS) after {many:,} deliveries", "MiB", (_sum(late, 1),)),
            Figure(
                "memory.rss",
                "the same as the sum of RSS, pages that they share counted in each",
                "MiB",
                (_sum(late, 0),),
            ),
            Figure("growth", f"accepted with {many:,} rows, against {_FEW:,}", "", ratios, fault),
            Figure("growth.many", f"accepted with {many:,} rows, MariaDB", "/s", tuple(rates["many"]), fault),
            Figure("growth.few", f"accepted with {_FEW:,} rows, MariaDB", "/s", tuple(rates["few"]), fault),
        ),
        (_grid(early, late, many),),
    )


def _few(installation: Installation) -> None:
    done = installation.end_pacing(installation.begin_pacing(_FEW_A_SECOND, _FEW / _FEW_A_SECOND))
    if done.fault:
        raise RuntimeError(done.fault)
    installation.drain()


def _fill(stage: Stage, installation: Installation, many: int) -> None:
    """Sends until so many are stored; a burst waits until the one before has landed, as in any day's work."""
    told = 0
    while installation.acknowledged < many:
        installation.burst(_BURST_SECONDS)
        installation.wait_until_quiet()
        if installation.acknowledged - told >= many // 10:
            told = installation.acknowledged
            stage.say(f"{told:,} of {many:,}")
    installation.drain()


def _memory(installation: Installation) -> _Memory:
    processes = installation.processes()
    resident, proportional = added_up(processes, Process.rss), added_up(processes, Process.pss)
    return {name: (resident[name], proportional[name]) for name in SUITE if name in resident}


def _sum(memory: _Memory, measure: int) -> float:
    return sum(sizes[measure] for sizes in memory.values())


def _grid(early: _Memory, late: _Memory, many: int) -> Grid:
    return Grid(
        "MiB of memory",
        ("process", f"RSS after {_FEW:,}", f"RSS after {many:,}", f"PSS after {many:,}"),
        tuple((name, f"{early[name][0]:.0f}", f"{late[name][0]:.0f}", f"{late[name][1]:.0f}") for name in late),
    )
