"""wrk as the generator: 64 connections, each with its next request when the last one is answered, or at a rate."""

import json
import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 64
_SCRIPT = Path(__file__).parent / "webhooks.lua"


@dataclass(frozen=True, slots=True)
class Burst:
    """What wrk has counted."""

    answers: int
    """Those that came while it measured; up to 64 requests more were on their way when it ended."""
    seconds: float
    p50: float
    """Milliseconds, as p99: from each request to its answer, with wrk's correction for waiting senders."""
    p99: float
    refused: int
    """Answers with a status of 400 and more."""
    broken: int
    """Connections that failed, and answers that did not come within ten seconds."""
    cpu: float
    """Seconds of CPU that wrk itself took."""

    @property
    def rate(self) -> float:
        """Answers a second that are a 2xx."""
        return (self.answers - self.refused) / self.seconds

    @property
    def fault(self) -> str:
        """Why its figures do not count; empty when every request was answered with a 2xx."""
        if self.refused or self.broken:
            return f"{self.refused} of {self.answers} answers were no 2xx, {self.broken} did not come"
        return ""


def burst(port: int, template: Path, first: int, seconds: int, rate: float | None = None) -> Burst:
    """Sends for so many seconds to a port of the loopback; records are numbered from `first`.

    `rate`: requests a second, evenly; None: as many as are answered.

    Raises RuntimeError with wrk's output when it fails.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", "-s", str(_SCRIPT)]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}", "--", str(template), str(first), *([str(rate)] if rate else [])],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        said = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        raise RuntimeError(f"wrk failed:\n{(done.stdout + done.stderr)[-1000:]}") from None
    return Burst(
        answers=said["answers"],
        seconds=said["microseconds"] / 1e6,
        p50=said["p50"] / 1e3,
        p99=said["p99"] / 1e3,
        refused=said["refused"],
        broken=said["broken"],
        cpu=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    )
