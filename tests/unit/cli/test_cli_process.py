"""One supervised process: its lines, its restarts, its end. The part is a small program of the test's own."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from intertie_cli.journal import Journal
from intertie_cli.process import Part, Process
from waiting import eventually


class Kept(Journal):
    """A journal that keeps its lines."""

    def __init__(self, *, as_json: bool = False) -> None:
        super().__init__(as_json=as_json, coloured=False)
        self.lines: list[str] = []

    def _write(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def part(tmp_path: Path) -> "Program":
    """A part whose program the test writes."""
    return Program(tmp_path)


class Program:
    """A part that runs what it is given."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "intertie_victim.py"
        self.journal = Kept()
        self.process = Process(Part("victim"), {**os.environ, "PYTHONPATH": str(directory)}, self.journal)

    def start(self, program: str) -> "asyncio.Task[None]":
        """Writes the program and keeps it running."""
        self._file.write_text(program)
        return asyncio.create_task(self.process.keep_running())

    def said(self, text: str) -> int:
        """How many lines hold the text."""
        return sum(text in line for line in self.journal.lines)


async def test_lines_are_prefixed_and_whole(part: Program) -> None:
    """Also those with broken UTF-8, those without an end, and a very long one."""
    task = part.start(
        "import sys, time\n"
        "out = sys.stdout.buffer\n"
        "out.write('one\\nzwei – ü\\n'.encode() + b'\\xff\\n' + b'x' * 300_000 + b'\\nlast'); out.flush()\n"
        "time.sleep(600)\n"
    )
    await eventually(lambda: part.said("x" * 300_000))
    assert part.journal.lines[:3] == ["victim   │ one", "victim   │ zwei – ü", "victim   │ \ufffd"]
    await part.process.stop(10)
    await task
    assert part.journal.lines[-1] == "victim   │ last"


async def test_it_is_started_again_and_the_pauses_grow(part: Program) -> None:
    """Each end is told with its cause; the pause doubles."""
    task = part.start("raise SystemExit(3)\n")
    await eventually(lambda: part.said("ended with code 3; starting it again in 0.8 s"), timeout=30)
    assert part.said("again in 0.2 s") == part.said("again in 0.4 s") == 1
    assert not part.process.refused.is_set()
    await part.process.stop(10)
    await task


async def test_a_configuration_that_cannot_work_is_noticed(part: Program) -> None:
    """Exit code 78 says that a person is needed."""
    task = part.start("import sys; sys.exit(78)\n")
    await asyncio.wait_for(part.process.refused.wait(), 30)
    await part.process.stop(10)
    await task


async def test_one_that_does_not_end_is_killed_with_what_it_started(part: Program, tmp_path: Path) -> None:
    """SIGTERM first; after the time that it has, its whole group goes."""
    child = tmp_path / "child"
    task = part.start(
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(child)!r}, 'w').write(str(child.pid))\n"
        "print('begun', flush=True)\n"
        "time.sleep(600)\n"
    )
    await eventually(lambda: part.said("begun"))
    await part.process.stop(0.5)
    await task
    assert part.said("did not end in 0.5 s; killing it") == 1

    def is_gone() -> bool:
        stat = Path(f"/proc/{child.read_text()}/stat")
        # A zombie waits for init, in a container perhaps for ever.
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"

    await eventually(is_gone)


async def test_stopping_while_it_is_being_started_again(part: Program) -> None:
    """The pause is cut short, and nothing is started any more."""
    task = part.start("raise SystemExit(1)\n")
    await eventually(lambda: part.said("again in 1.6 s"), timeout=30)
    await part.process.stop(10)
    await asyncio.wait_for(task, 10)
    assert part.said("again in 3.2 s") == 0


def test_json_lines_pass_as_they_are() -> None:
    """A program that reads the log finds a JSON object a line, whoever wrote it."""
    journal = Kept(as_json=True)
    journal.pass_on("audit", '{"event": "ready", "service": "audit"}')
    journal.pass_on("audit", "audit: the settings are not valid")
    journal.say("stopping")
    first, second, third = (json.loads(line) for line in journal.lines)
    assert first == {"event": "ready", "service": "audit"}
    assert (second["event"], second["service"], second["level"]) == (
        "audit: the settings are not valid",
        "audit",
        "error",
    )
    assert (third["event"], third["service"], third["level"]) == ("stopping", "intertie", "info")
