"""One process of the suite: started, watched, started again when it ends, and stopped."""

import asyncio
import codecs
import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from intertie_cli.journal import Journal

NEEDS_A_PERSON = 78
"""The exit code of a process that cannot start as it is configured."""

_LEASH = Path(__file__).with_name("leash.py")
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0
_STEADY_SECONDS = 10.0
_LONGEST_LINE = 1_000_000


@dataclass(frozen=True, slots=True)
class Part:
    """What runs as a process of its own."""

    name: str
    #: how much it yields to the others: accepting deliveries comes before mapping, auditing and pulling
    niceness: int = 0
    #: what `python -m` runs; empty: the package of its name
    runs: str = ""

    @property
    def module(self) -> str:
        """What `python -m` runs."""
        return self.runs or f"intertie_{self.name}"


class Process:
    """A part that is kept running until it is stopped."""

    def __init__(self, part: Part, environment: Mapping[str, str], journal: Journal) -> None:
        self.part = part
        self.refused = asyncio.Event()
        """Set when it ended because it cannot start as it is configured."""
        self._environment = dict(environment)
        self._journal = journal
        self._running: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()

    async def keep_running(self) -> None:
        """Runs it until `stop`, again whenever it ends, after a pause that grows to 5 s while it ends at once."""
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            started = time.monotonic()
            code = await self._run()
            if self._stopping.is_set():
                return
            if time.monotonic() - started > _STEADY_SECONDS:
                pause = _FIRST_PAUSE
            self._journal.say(
                f"{self.part.name} {_ending(code)}; starting it again in {pause:g} s",
                "error",
            )
            if code == NEEDS_A_PERSON:
                self.refused.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def stop(self, seconds: float) -> None:
        """Asks it to end, and kills it with all that it started when it has not ended in so many seconds."""
        self._stopping.set()
        running = self._running
        if running is None or running.returncode is not None:
            return
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(running.wait(), seconds)
        except TimeoutError:
            self._journal.say(f"{self.part.name} did not end in {seconds:g} s; killing it", "warning")
            self.kill()
            await running.wait()

    def kill(self) -> None:
        """Ends it and all that it started, at once."""
        self._stopping.set()
        self._signal(signal.SIGKILL)

    async def _run(self) -> int:
        self._running = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            str(_LEASH),
            str(os.getpid()),
            str(self.part.niceness),
            sys.executable,
            "-m",
            self.part.module,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # A group of its own: the terminal's Ctrl-C reaches us alone, and we stop the parts in order.
            process_group=0,
        )
        if self._stopping.is_set():
            self._signal(signal.SIGTERM)
        reading = asyncio.create_task(self._read())
        code = await self._running.wait()
        # What it started may still hold the pipe open; its last words are worth a moment, not more.
        await asyncio.wait([reading], timeout=1)
        reading.cancel()
        return code

    async def _read(self) -> None:
        """Passes on what it writes, line by line; a line without an end is passed on in pieces."""
        assert self._running is not None
        assert self._running.stdout is not None
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        rest = ""
        while chunk := await self._running.stdout.read(65_536):
            *lines, rest = (rest + decoder.decode(chunk)).split("\n")
            if len(rest) > _LONGEST_LINE:
                lines.append(rest)
                rest = ""
            for line in lines:
                self._journal.pass_on(self.part.name, line)
        if rest:
            self._journal.pass_on(self.part.name, rest)

    def _signal(self, number: signal.Signals) -> None:
        if self._running is None or self._running.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            if number is signal.SIGKILL:
                os.killpg(self._running.pid, number)
            else:
                self._running.send_signal(number)


def _ending(code: int) -> str:
    if code < 0:
        return f"was killed ({signal.Signals(-code).name})"
    return "ended by itself" if code == 0 else f"ended with code {code}"
