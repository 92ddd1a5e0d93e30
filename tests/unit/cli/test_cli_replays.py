"""How a replay is told, and which of its records are still asked for."""

from typing import Any

from intertie.ingest.v1 import ingest_pb2
from intertie_cli.output import Format, Printer
from intertie_cli.replay_watch import Standing, Watch, told
from intertie_cli.session import Session
from intertie_cli.settings import CliSettings

Answer = ingest_pb2.ReplayRecordsResponse


class Ingest:
    """An ingest that says of records what a test wants, and remembers how many it was asked for."""

    def __init__(self) -> None:
        self.pending: set[int] = set()
        self.held: set[int] = set()
        self.asked: list[int] = []

    async def CountRecords(self, request: Any) -> Any:  # noqa: N802 - as the contract has it
        """The counts; what does not wait is synced."""
        self.asked.append(len(request.ids))
        waits, held = self.pending & set(request.ids), self.held & set(request.ids)
        counts = [ingest_pb2.RecordCount(sync_status="pending", error_reason="mapping_inactive", count=len(held))]
        return ingest_pb2.CountRecordsResponse(
            total=len(request.ids),
            pending=len(waits | held),
            synced=len(request.ids) - len(waits | held),
            counts=counts,
        )


class Connected(Session):
    """A session with that ingest."""

    def __init__(self, ingest: Ingest) -> None:
        super().__init__(CliSettings.load(), Printer(Format.TABLE))
        self._ingest = ingest

    @property
    def ingest(self) -> Any:
        """The ingest of the test."""
        return self._ingest


def test_how_records_stand_is_told_on_a_line() -> None:
    """Only of what there are some."""
    assert told(Standing(handed=1200, synced=1003, set_aside=2, outdated=1, pending=194)) == (
        "1,003 synced, 2 set aside again, 1 overtaken, 194 wait"
    )
    assert told(Standing(handed=1)) == "none is left"
    assert Standing(handed=5, pending=2).done == 3


async def test_what_waits_no_more_is_not_asked_for_again() -> None:
    """In blocks of ten thousand; what was just handed over waits until somebody has looked."""
    ingest = Ingest()
    watch = Watch(Connected(ingest), 10_000)
    watch.add(Answer(replayed=10_000, ids=range(10_000)))
    ingest.pending = {10_001}
    assert watch.standing == Standing(handed=10_000, pending=10_000)
    assert not await watch.look()
    watch.add(Answer(replayed=2, ids=[10_001, 10_002]))
    assert (watch.total, watch.standing.pending) == (10_002, 2)
    assert await watch.look()
    assert watch.standing == Standing(handed=10_002, synced=10_001, pending=1)
    ingest.pending.clear()
    assert not await watch.look()
    assert ingest.asked == [10_000, 2, 2]


async def test_what_waits_for_its_mapping_is_not_waited_for() -> None:
    """A mapping that is switched off may stay so for weeks."""
    ingest = Ingest()
    ingest.held = {2}
    watch = Watch(Connected(ingest), 2)
    watch.add(Answer(replayed=2, ids=[1, 2]))
    assert not await watch.look()
    assert (watch.standing.pending, watch.standing.held) == (1, 1)


async def test_an_older_ingest_does_not_say_which_they_are() -> None:
    """Then there is nothing to watch."""
    watch = Watch(Connected(Ingest()), 0)
    watch.add(Answer(replayed=3))
    assert (watch.handed, watch.is_known) == (3, False)
