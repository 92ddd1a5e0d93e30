"""Faults of system calls, put into a running process by strace, and what it says that it did.

The process is slow meanwhile: good for what it does, not for how fast.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import processes


def can_inject() -> bool:
    """Whether strace is here and may do it."""
    if shutil.which("strace") is None:
        return False
    trial = ["strace", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO", "true"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


class Trace:
    """What strace has written so far of the calls that it was told to look at."""

    def __init__(self, log: Path) -> None:
        """For `injected`."""
        self._log = log

    @property
    def injected(self) -> int:
        """How many calls failed because they were made to."""
        return self._text().count("(INJECTED)")

    @property
    def succeeded(self) -> int:
        """How many calls that give 0 when they succeed did so."""
        return len(re.findall(r"\) += 0$", self._text(), re.MULTILINE))

    @property
    def is_killed(self) -> bool:
        """Whether a thread of it was killed."""
        return re.search(r"\+\+\+ killed by SIGKILL", self._text()) is not None

    def _text(self) -> str:
        return self._log.read_text(errors="replace")


@contextmanager
def injected(pid: int, fault: str, directory: Path) -> Iterator[Trace]:
    """Do this to the process: `fdatasync:error=EIO:when=3+5`, as strace's `inject` takes it; each thread has a count.

    It is under way when the block begins, and over when it ends. AssertionError when strace cannot attach.
    """
    number = len(list(directory.glob("strace-*.log")))
    log, said = directory / f"strace-{number}.log", directory / f"strace-{number}.err"
    calls = fault.partition(":")[0]
    command = ["strace", "-f", "-p", str(pid), "-o", str(log), "-e", f"trace={calls}", "-e", f"inject={fault}"]
    log.touch()
    tracer = processes.start(command, log=said)
    try:
        _wait(tracer, said)
        yield Trace(log)
    finally:
        processes.stop(tracer)


def _wait(tracer: "subprocess.Popen[bytes]", said: Path) -> None:
    for _ in range(1000):
        text = said.read_text(errors="replace")
        if "attached" in text:
            return
        assert tracer.poll() is None, text
        with suppress(subprocess.TimeoutExpired):
            tracer.wait(0.01)
    raise AssertionError(f"strace did not attach in time: {said.read_text(errors='replace')}")
