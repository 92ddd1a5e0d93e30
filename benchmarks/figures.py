"""What a run has measured, as values: figures with their rounds, grids of details, and what a part came to."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that a part measured, once a round."""

    name: str
    """As `goals` knows it: `accepted.mariadb`."""
    title: str
    unit: str
    """`/s`, `ms`, `µs`, `MiB`, or empty for a ratio."""
    rounds: tuple[float, ...]
    """In the order in which they were measured; never empty."""
    invalid: str = ""
    """Why it does not count; empty when it does."""

    @property
    def value(self) -> float:
        """The median of its rounds."""
        return median(self.rounds)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """What `Run.to_json` has written."""
        return cls(value["name"], value["title"], value["unit"], tuple(value["rounds"]), value["invalid"])


@dataclass(frozen=True, slots=True)
class Grid:
    """Details that have no goal: rows of texts below the names of the columns."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one part came to."""

    part: str
    figures: tuple[Figure, ...] = ()
    grids: tuple[Grid, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences on how it was measured and what happened, whole and with a full stop."""
    failed: str = ""
    """Why there are no figures; empty when there are."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Run:
    """One call of the benchmark."""

    command: str
    at: str
    """When it began, ISO 8601, UTC."""
    rounds: int
    is_quick: bool
    machine: dict[str, str]
    versions: dict[str, str]
    database: str
    """The options of the private MariaDB."""
    outcomes: tuple[Outcome, ...]

    def figures(self) -> dict[str, Figure]:
        """All figures by name."""
        return {figure.name: figure for outcome in self.outcomes for figure in outcome.figures}

    def to_json(self) -> dict[str, Any]:
        """As it is kept in a file; each figure with its median as `value`."""
        written = asdict(self)
        for outcome, kept in zip(self.outcomes, written["outcomes"], strict=True):
            for figure, line in zip(outcome.figures, kept["figures"], strict=True):
                line["value"] = figure.value
        return written

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """What `to_json` has made."""
        outcomes = tuple(
            Outcome(
                kept["part"],
                tuple(Figure.from_json(figure) for figure in kept["figures"]),
                tuple(
                    Grid(grid["title"], tuple(grid["columns"]), tuple(tuple(row) for row in grid["rows"]))
                    for grid in kept["grids"]
                ),
                tuple(kept["notes"]),
                kept["failed"],
                kept["seconds"],
            )
            for kept in value["outcomes"]
        )
        return cls(**{**value, "outcomes": outcomes})


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: the least value that so large a share (0 to 1) of all does not exceed.

    Raises ValueError when there are no values.
    """
    if not values:
        raise ValueError("nothing was measured")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
