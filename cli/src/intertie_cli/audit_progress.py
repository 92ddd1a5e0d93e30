"""How far a walk along the chain is: a bar with count and rate at a terminal, plain lines elsewhere; standard error."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from intertie_cli.output import Printer

_LINE_SECONDS = 5.0

Show = Callable[[int, int], None]
"""Takes how many are done, and how many there are."""


@contextmanager
def progress(printer: Printer, what: str) -> Iterator[Show]:
    """Shows it while the work lasts; `what` says what is counted: `links verified`."""
    began = time.monotonic()

    def rate(done: int) -> float:
        return done / max(time.monotonic() - began, 0.001)

    if not sys.stderr.isatty() or printer.is_json:
        yield _lines(printer, what, rate)
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(what + "{task.description}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(
            task, completed=done, total=total or None, description=f", {rate(done):,.0f} a second"
        )


def _lines(printer: Printer, what: str, rate: Callable[[int], float]) -> Show:
    """A line every 5 s."""
    last = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _LINE_SECONDS:
            last = time.monotonic()
            printer.note(f"{done:,} of {total:,} {what}, {rate(done):,.0f} a second")

    return show
