"""How throughput grows with replicas, as far as the machine has cores for them. On MariaDB.

Of each variant: what is accepted while wrk sends, and that divided by the time until all of it has landed.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from figures import Figure, Outcome
from stage import Stage


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run the suite."""

    name: str
    title: str
    env: Mapping[str, str] = field(default_factory=dict)
    """Settings beside the defaults."""
    beside: Sequence[str] = ()
    """Services of which a second process runs."""


_TWO_WORKERS = {"INTERTIE_GATEWAY_WORKERS": "2"}
VARIANTS = (
    Variant("one", "one process each"),
    Variant("workers", "two gateway workers", _TWO_WORKERS),
    Variant("mappers", "two mappers", beside=("mapper",)),
    Variant("both", "two gateway workers and two mappers", _TWO_WORKERS, ("mapper",)),
)


def measure(stage: Stage) -> Outcome:
    """Runs the part; each round starts every variant anew."""
    accepted: dict[str, list[float]] = {variant.name: [] for variant in VARIANTS}
    landed: dict[str, list[float]] = {variant.name: [] for variant in VARIANTS}
    faults: dict[str, list[str]] = {variant.name: [] for variant in VARIANTS}
    for number in range(1, stage.options.rounds + 1):
        stage.say(f"round {number} of {stage.options.rounds}")
        for variant in VARIANTS:
            with stage.installation("mariadb", variant.env, variant.beside) as installation:
                installation.burst(1)  # the first plans, statements and connections are made once
                installation.drain()
                began = time.monotonic()
                done = installation.burst(stage.options.either(3, 6))
                drained = installation.drain()
            accepted[variant.name].append(done.rate)
            landed[variant.name].append(drained.deliveries / (drained.at - began))
            faults[variant.name] += [done.fault] if done.fault else []
    figures = []
    for variant in VARIANTS:
        name, fault = variant.name, "; ".join(faults[variant.name])
        figures += [
            Figure(f"replicas.{name}", f"accepted, {variant.title}", "/s", tuple(accepted[name]), fault),
            Figure(f"replicas.landed.{name}", f"end to end, {variant.title}", "/s", tuple(landed[name]), fault),
        ]
    return Outcome("replicas", tuple(figures))
