"""Pages are prepared while the one before is stored, and stored by what is configured when their turn comes."""

from collections.abc import AsyncIterator

import pytest

from intertie_ingest.syncs.cursors import CursorMismatch, CursorValue
from intertie_ingest.syncs.model import Mode, PageOutcome, RunState
from intertie_ingest.syncs.page_run import PageRun
from intertie_ingest.syncs.run_lease import RunLease
from sync_samples import QUICK, ListSource, SyncRig, configuration, mapping, record


@pytest.fixture
async def rig(database_url: str) -> AsyncIterator[SyncRig]:
    """An empty database, six records in pages of two to read."""
    made = await SyncRig.open(database_url)
    made.source = ListSource([record(number) for number in range(1, 7)])
    yield made
    await made.close()


async def begin(rig: SyncRig, mode: Mode = Mode.FULL) -> PageRun:
    """A claimed run, about to be read."""
    await rig.ask(mode)
    (claim,) = await rig.stores.runs.claim(1, 60)
    lease = RunLease(rig.stores.runs, claim, QUICK)
    return PageRun(claim, rig.stores, lambda: rig.config, rig._source_of, lease, QUICK)


async def test_a_page_that_waited_is_stored_by_the_mapping_of_now(rig: SyncRig) -> None:
    """It was prepared by the one before, while the page before it was stored."""
    skipped: list[int] = []

    def took(outcome: PageOutcome) -> None:
        assert len(rig.source.asked) == outcome.run.pages + 1 or outcome.run.pages == 3
        rig.config = configuration(mapping(filter="id != 3"))
        skipped.append(outcome.run.skipped)

    await (await begin(rig)).read(took)
    assert skipped == [0, 1, 1]
    assert sorted(await rig.cached()) == ["1", "2", "4", "5", "6"]


async def test_what_is_wrong_with_a_page_comes_after_the_pages_before_it_are_stored(rig: SyncRig) -> None:
    """However far ahead it was found."""
    rig.config = configuration(mapping(sync={"cursor_field": "n"}))
    rig.source = ListSource([record(1, n=1), record(2, n=2), record(3, n=3), record(4, n="x")], is_ordered=False)
    outcomes: list[PageOutcome] = []
    with pytest.raises(CursorMismatch):
        await (await begin(rig, Mode.INCREMENTAL)).read(outcomes.append)
    assert [(one.run.state, one.run.pages, one.run.seen_cursor) for one in outcomes] == [
        (RunState.RUNNING, 1, CursorValue("integer", 2))
    ]
    assert sorted(await rig.cached()) == ["1", "2"]
