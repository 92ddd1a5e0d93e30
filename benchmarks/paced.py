"""A generator that keeps a rate, as a process of its own (`sender.py`).

Requests are due at fixed moments, whether or not earlier ones are answered, over 64 connections; one that finds none
free waits for it. What is measured runs from the moment when a request was due, so that neither a slow answer nor the
generator's own lateness (its clock ticks by the millisecond) hides a delay.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_PROGRAM = Path(__file__).parent / "sender.py"


@dataclass(frozen=True, slots=True)
class Paced:
    """What the generator says."""

    sent: int
    statuses: dict[str, int]
    """Answers by status; `none` for requests that got none."""
    p50: float
    """Milliseconds from when a request was due to its answer, as p99."""
    p99: float
    started: float
    """When the first was due; by the monotonic clock, which all processes of a machine share."""
    answered: dict[int, float]
    """By record, when its 202 was there, by the same clock."""

    @property
    def fault(self) -> str:
        """Why its figures do not count; empty when every request was answered 202."""
        return "" if len(self.answered) == self.sent else f"of {self.sent} requests were answered: {self.statuses}"


class Pacing:
    """The generator at work."""

    def __init__(self, port: int, template: Path, first: int, rate: float, seconds: float) -> None:
        """Starts it: so many requests a second to a port of the loopback, with records numbered from `first`."""
        # Not through a pipe: nobody reads while it runs, and what it says of each record is more than a pipe holds.
        self._result = template.with_name(f"paced-{first}.json")
        arguments = [str(port), str(template), str(first), str(rate), str(seconds), str(self._result)]
        self._process = subprocess.Popen(
            [sys.executable, str(_PROGRAM), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def stop(self) -> None:
        """Ends it at once, if it has not ended."""
        self._process.kill()
        self._process.wait()

    def finish(self) -> Paced:
        """Waits for its end. Raises RuntimeError when it failed."""
        _, errors = self._process.communicate()
        if self._process.returncode:
            raise RuntimeError(f"the paced generator failed:\n{errors[-1000:]}")
        said = json.loads(self._result.read_text())
        return Paced(**{**said, "answered": {int(number): at for number, at in said["answered"].items()}})
