"""The delay from a 202 to the committed row, at 200 deliveries a second.

The generator notes when each 202 had come; a look at the target's table, every two milliseconds, when its row could be
seen by others, which is after its commit. Both read the machine's monotonic clock. What lies between two looks counts
as delay; looking more often would take the processor from what is measured.
"""

import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from figures import Figure, Outcome, percentile
from installation import Installation
from stage import STORES, TITLES, Stage
from webhooks import number_of

_RATE = 200.0
_LOOK_SECONDS = 0.002
_LONGEST_SECONDS = 30.0
_LATE = 200
_NOTE = f"At {_RATE:.0f} deliveries a second, evenly spaced; a row is looked for every {_LOOK_SECONDS * 1e3:.0f} ms."


class Appearances:
    """When each row was first seen, told of rows behind a key that is as far as it can be.

    Transactions do not commit in the order of their keys: `behind` stays in front of a gap, for as long as it is less
    than 200 rows back.
    """

    def __init__(self, newest: int) -> None:
        self.behind = newest
        self.moments: dict[int, float] = {}
        """By the number of the record."""
        self._ahead: set[int] = set()

    def see(self, rows: list[tuple[int, str]], now: float) -> None:
        """Takes in the rows, key and title, that are behind `behind`."""
        for key, title in rows:
            if key not in self._ahead:
                self._ahead.add(key)
                self.moments[number_of(title)] = now
        if self._ahead:
            self.behind = max(self.behind, max(self._ahead) - _LATE)
        while self.behind + 1 in self._ahead:
            self.behind += 1
        self._ahead = {key for key in self._ahead if key > self.behind}


@dataclass
class _Measured:
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    answer_p50: list[float] = field(default_factory=list)
    answer_p99: list[float] = field(default_factory=list)
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
                    _round(installation, _Measured(), 2)  # the first plans, statements and connections are made once
                _round(installation, measured[store], stage.options.either(4, 15))
    figures = []
    for store, kept in measured.items():
        title, fault = TITLES[store], "; ".join(kept.faults)
        figures += [
            Figure(f"delay.p50.{store}", f"from the 202 to the row, p50, {title}", "ms", tuple(kept.p50), fault),
            Figure(f"delay.p99.{store}", f"from the 202 to the row, p99, {title}", "ms", tuple(kept.p99), fault),
            Figure(f"delay.answer.p50.{store}", f"the 202 at 200/s, p50, {title}", "ms", tuple(kept.answer_p50), fault),
            Figure(f"delay.answer.p99.{store}", f"the 202 at 200/s, p99, {title}", "ms", tuple(kept.answer_p99), fault),
        ]
    return Outcome("delay", tuple(figures), (), (_NOTE,))


def _round(installation: Installation, measured: _Measured, seconds: float) -> None:
    pacing = installation.begin_pacing(_RATE, seconds)
    seen = Appearances(installation.view.newest()[0])
    until = time.monotonic() + seconds + _LONGEST_SECONDS
    wanted = round(_RATE * seconds)
    while len(seen.moments) < wanted and time.monotonic() < until:
        rows = installation.view.rows_behind(seen.behind)
        seen.see(rows, time.monotonic())
        time.sleep(_LOOK_SECONDS)
    done = installation.end_pacing(pacing)
    delays = _delays(done.answered, seen.moments)
    measured.p50.append(percentile(delays, 0.5))
    measured.p99.append(percentile(delays, 0.99))
    measured.answer_p50.append(done.p50)
    measured.answer_p99.append(done.p99)
    if done.fault:
        measured.faults.append(done.fault)
    if len(delays) < len(done.answered):
        measured.faults.append(f"{len(done.answered) - len(delays)} rows were not seen within {_LONGEST_SECONDS} s")
    installation.drain()


def _delays(answered: Mapping[int, float], seen: Mapping[int, float]) -> list[float]:
    """Milliseconds; below zero where the row was there before its sender had read the answer."""
    return [(seen[number] - at) * 1e3 for number, at in answered.items() if number in seen]
