"""Watching a run until it has ended: a bar at a terminal, plain lines elsewhere, both on standard error."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from intertie.ingest.v1 import sync_pb2
from intertie_chassis.errors import Unavailable
from intertie_cli.output import Printer
from intertie_cli.session import Session

HAS_ENDED = ("succeeded", "failed", "cancelled")

_LOOK_SECONDS = 0.3
_LINE_SECONDS = 5.0
_DOES = {"queued": "waiting for its turn", "running": "reading", "settling": "mapping"}

Show = Callable[[sync_pb2.SyncRun], None]


async def watch(session: Session, run: sync_pb2.SyncRun) -> sync_pb2.SyncRun:
    """Shows the run's progress and gives it once it has ended; goes on by itself after a restart of pull.

    Cancelled (Ctrl-C), it says that the run goes on without it.
    """
    is_away = False
    try:
        with _display(session.printer) as show:
            show(run)
            while run.state not in HAS_ENDED:
                await asyncio.sleep(_LOOK_SECONDS)
                try:
                    run = await session.sync.GetRun(sync_pb2.GetRunRequest(run_id=run.run_id))
                    is_away = False
                except Unavailable:
                    if not is_away:
                        session.printer.note("pull went away; this goes on when it is back")
                    is_away = True
                    continue
                show(run)
    except asyncio.CancelledError:
        session.printer.note(
            f"the run goes on: `intertie sync show {run.run_id}` shows it, `intertie sync cancel {run.run_id}` ends it"
        )
        raise
    return run


class Rate:
    """Rows a second since the watching began."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began: tuple[float, int] | None = None

    def of(self, rows: int) -> float:
        """The rate up to so many rows; 0 at the first look."""
        now = self._clock()
        if self._began is None:
            self._began = now, rows
        since, first = self._began
        return (rows - first) / (now - since) if now > since else 0.0


def told(run: sync_pb2.SyncRun, rate: float) -> str:
    """How a run stands, on a line."""
    parts = [_DOES.get(run.state, run.state), f"{run.pages} pages", f"{run.read:,} rows"]
    if run.state == "running":
        parts.append(f"{rate:,.0f} rows/s")
    if run.pending:
        parts.append(f"{run.pending:,} wait for mapper")
    if run.failed:
        parts.append(f"{run.failed:,} failed")
    return ", ".join(parts)


@contextmanager
def _display(printer: Printer) -> Iterator[Show]:
    rate = Rate()
    if not sys.stderr.isatty() or printer.is_json:
        yield _lines(printer, rate)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda run: progress.update(task, description=told(run, rate.of(run.read)))


def _lines(printer: Printer, rate: Rate) -> Show:
    """A line at each change of state, and one every 5 s while it reads on."""
    last = ("", 0.0)

    def show(run: sync_pb2.SyncRun) -> None:
        nonlocal last
        now, speed = time.monotonic(), rate.of(run.read)
        if run.state != last[0] or now - last[1] >= _LINE_SECONDS:
            last = run.state, now
            printer.note(told(run, speed))

    return show
