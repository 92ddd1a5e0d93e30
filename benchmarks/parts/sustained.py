"""Deliveries a second end to end: accepted, mapped, with row, link and checkpoint, settled, audited; no backlog grows.

Each round first sends a burst and divides what was accepted by the time until all of it had landed: what the
installation gets done, whatever waits. From there it looks, paced, for the highest rate that leaves nothing behind:
within a second of a run's end all of it must have landed. The figure divides that run's deliveries by the time from its
beginning until all had landed, so that what was left to do counts against it.
"""

import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field

from figures import Figure, Grid, Outcome
from installation import Installation
from stage import STORES, TITLES, Stage

_LEFT_SECONDS = 1.0
_STEP = 1.08
_MOST_TRIES = 5


class Search:
    """For the highest rate that is kept, in steps of 8 % up or down from a first guess."""

    def __init__(self, guess: float) -> None:
        self.next: float | None = guess
        """What is to be tried; None: it is found."""
        self._kept: float | None = None
        self._missed: float | None = None

    def tried(self, *, is_kept: bool) -> None:
        """Says what came of `next`."""
        if self.next is None:
            return
        if is_kept:
            self._kept = self.next
            self.next = self.next * _STEP if self._missed is None else None
        else:
            self._missed = self.next
            self.next = self.next / _STEP if self._kept is None else None


@dataclass
class _Measured:
    """What one store came to."""

    drained: list[float] = field(default_factory=list)
    """Deliveries a second of bursts, until all had landed."""
    kept: list[float] = field(default_factory=list)
    """Deliveries a second that left nothing behind; 0 where no rate did."""
    tries: list[tuple[str, ...]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def measure(stage: Stage) -> Outcome:
    """Runs the part."""
    measured: dict[str, _Measured] = defaultdict(_Measured)
    with ExitStack() as running:
        installations = {store: running.enter_context(stage.installation(store)) for store in STORES}
        for number in range(1, stage.options.rounds + 1):
            stage.say(f"round {number} of {stage.options.rounds}")
            for store, installation in installations.items():
                if number == 1:
                    _burst(installation, _Measured(), 1)  # the first plans, statements and connections are made once
                rate = _burst(installation, measured[store], stage.options.either(3, 8))
                guess = max([rate, *measured[store].kept[-1:]])
                _keep(installation, measured[store], Search(guess), stage.options.either(4, 12))
    figures = []
    for store, kept in measured.items():
        title, drained = TITLES[store], tuple(kept.drained)
        fault = "; ".join(kept.faults)
        figures += [
            Figure(f"sustained.{store}", f"end to end, nothing left behind, {title}", "/s", tuple(kept.kept), fault),
            Figure(f"sustained.burst.{store}", f"end to end, a burst until all has landed, {title}", "/s", drained),
        ]
    columns = ("store", "offered /s", "deliveries", "left when it ended", "until all had landed", "end to end /s", "")
    tries = Grid("Rates that were tried", columns, tuple(line for kept in measured.values() for line in kept.tries))
    note = (
        "After each run as many rows, links, confirmed checkpoints, settled records and entries of either kind in the "
        "log were counted as deliveries, and no fewer than were acknowledged."
    )
    return Outcome("sustained", tuple(figures), (tries,), (note,))


def _burst(installation: Installation, measured: _Measured, seconds: int) -> float:
    began = time.monotonic()
    done = installation.burst(seconds)
    drained = installation.drain()
    measured.drained.append(drained.deliveries / (drained.at - began))
    if done.fault:
        measured.faults.append(done.fault)
    return measured.drained[-1]


def _keep(installation: Installation, measured: _Measured, search: Search, seconds: float) -> None:
    best = 0.0
    for _ in range(_MOST_TRIES):
        if (offered := search.next) is None:
            break
        done = installation.end_pacing(installation.begin_pacing(offered, seconds))
        left = installation.view.pending()
        drained = installation.drain()
        reached, behind = drained.deliveries / (drained.at - done.started), drained.at - done.started - seconds
        is_kept = behind <= _LEFT_SECONDS and not done.fault
        search.tried(is_kept=is_kept)
        best = max(best, reached if is_kept else 0.0)
        line = (f"{offered:.0f}", f"{drained.deliveries}", f"{left}", f"{behind:.1f} s", f"{reached:.0f}", done.fault)
        measured.tries.append((TITLES[installation.store], *line))
    measured.kept.append(best)
    if not best:
        measured.faults.append(f"of {_MOST_TRIES} rates none was kept")
