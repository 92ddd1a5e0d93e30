"""Watching replayed records until none waits: a bar at a terminal, plain lines elsewhere, both on standard error."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from intertie.ingest.v1 import ingest_pb2
from intertie_chassis.errors import Unavailable
from intertie_cli.output import Printer
from intertie_cli.session import Session

LOOK_SECONDS = 0.5

_LINE_SECONDS = 5.0
_AWAY_SECONDS = 1.0
_MOST_IDS = 10_000
_HELD = "mapping_inactive"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Standing:
    """How the records that were handed over stand."""

    handed: int = 0
    synced: int = 0
    #: set aside again
    set_aside: int = 0
    outdated: int = 0
    pending: int = 0
    #: of those pending: their mapping is switched off
    held: int = 0

    @property
    def done(self) -> int:
        """How many wait no more."""
        return self.handed - self.pending

    @property
    def counts(self) -> dict[str, int]:
        """For programs."""
        names = ("synced", "set_aside", "outdated", "pending")
        return {name: getattr(self, name) for name in names}


Show = Callable[[Standing], None]


@dataclass(slots=True)
class _Block:
    """Records that are counted in one call."""

    ids: list[int] = field(default_factory=list)
    counted: ingest_pb2.CountRecordsResponse | None = None

    @property
    def waits(self) -> bool:
        return self.counted is None or self.counted.pending > 0


class Watch:
    """The records that a replay handed over; those that wait no more are not asked for again."""

    def __init__(self, session: Session, total: int) -> None:
        """`total`: how many it will be, as far as one knows."""
        self.total = total
        self.handed = 0
        self._session = session
        self._blocks: list[_Block] = []

    @property
    def ids(self) -> list[int]:
        """The numbers of what was handed over."""
        return [number for block in self._blocks for number in block.ids]

    @property
    def is_known(self) -> bool:
        """Whether ingest says which records they are; one of an older version does not."""
        return len(self.ids) == self.handed

    def add(self, answer: ingest_pb2.ReplayRecordsResponse) -> None:
        """Takes what one call handed over."""
        self.handed += answer.replayed
        self.total = max(self.total, self.handed)
        if not self._blocks or len(self._blocks[-1].ids) + len(answer.ids) > _MOST_IDS:
            self._blocks.append(_Block())
        self._blocks[-1].ids += answer.ids
        self._blocks[-1].counted = None

    async def look(self) -> bool:
        """Asks how they stand; gives whether some still wait for what happens by itself."""
        for block in self._blocks:
            if block.ids and block.waits:
                request = ingest_pb2.CountRecordsRequest(ids=block.ids)
                block.counted = await patiently(self._session, lambda: self._session.ingest.CountRecords(request))  # noqa: B023
        return self.standing.pending > self.standing.held

    @property
    def standing(self) -> Standing:
        """As of the last look; what nobody has looked at yet waits, what is gone does not."""
        counted = [block.counted for block in self._blocks if block.counted is not None]
        unseen = self.handed - sum(len(block.ids) for block in self._blocks if block.counted is not None)
        return Standing(
            self.handed,
            sum(one.synced for one in counted),
            sum(one.set_aside for one in counted),
            sum(one.outdated for one in counted),
            sum(one.pending for one in counted) + unseen,
            sum(alike.count for one in counted for alike in one.counts if _is_held(alike)),
        )


def told(standing: Standing) -> str:
    """How they stand, on a line."""
    parts = [
        (standing.synced, "synced"),
        (standing.set_aside, "set aside again"),
        (standing.outdated, "overtaken"),
        (standing.pending, "wait"),
    ]
    return ", ".join(f"{count:,} {what}" for count, what in parts if count) or "none is left"


async def patiently(session: Session, call: Callable[[], Awaitable[T]]) -> T:
    """What the call answers; while ingest is away, once it is back."""
    is_away = False
    while True:
        try:
            return await call()
        except Unavailable:
            if not is_away:
                session.printer.note("ingest went away; this goes on when it is back")
            is_away = True
            await asyncio.sleep(_AWAY_SECONDS)


@contextmanager
def display(printer: Printer, total: int) -> Iterator[Show]:
    """Shows how the records stand for as long as the work lasts."""
    if not sys.stderr.isatty() or printer.is_json:
        yield _lines(printer)
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True) as progress:
        task = progress.add_task("", total=total or None)
        yield lambda standing: progress.update(
            task, completed=standing.done, total=max(total, standing.handed) or None, description=told(standing)
        )


def _lines(printer: Printer) -> Show:
    """A line every 5 s."""
    last = time.monotonic()

    def show(standing: Standing) -> None:
        nonlocal last
        if time.monotonic() - last >= _LINE_SECONDS:
            last = time.monotonic()
            printer.note(f"{standing.handed:,} handed over: {told(standing)}")

    return show


def _is_held(alike: ingest_pb2.RecordCount) -> bool:
    return alike.sync_status == "pending" and alike.error_reason == _HELD
