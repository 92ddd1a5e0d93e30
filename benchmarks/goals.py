"""What each figure has to reach at least, and what it aims at, on two cores with generator and MariaDB beside it."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["reached", "at least", "below"]
"""The aim is reached; only the least is; not even that."""


@dataclass(frozen=True, slots=True)
class Goal:
    """Both bounds, in the figure's unit. Where the aim is less than the least, less is better."""

    at_least: float
    aim: float

    def judge(self, value: float) -> Verdict:
        """How a value stands; a bound that is met exactly is met."""
        sign = 1 if self.aim >= self.at_least else -1
        if sign * value >= sign * self.aim:
            return "reached"
        return "at least" if sign * value >= sign * self.at_least else "below"


def _on_both(name: str, goal: Goal) -> dict[str, Goal]:
    return {f"{name}.{store}": goal for store in ("mariadb", "sqlite")}


GOALS: dict[str, Goal] = {
    **_on_both("accepted", Goal(5_000, 10_000)),
    **_on_both("accepted.p99", Goal(30, 15)),
    **_on_both("accepted.half.p99", Goal(10, 5)),
    **_on_both("sustained", Goal(2_500, 4_000)),
    **_on_both("delay.p50", Goal(20, 8)),
    **_on_both("delay.p99", Goal(80, 30)),
    "plan": Goal(300_000, 600_000),
    "sync": Goal(12_000, 30_000),
    **_on_both("verify", Goal(100_000, 250_000)),
    "memory": Goal(700, 450),
    "growth": Goal(0.8, 0.95),
}
"""By the name of the figure."""
