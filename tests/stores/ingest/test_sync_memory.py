"""Memory does not grow with the source: a run holds two pages, whatever is behind them."""

import json
import tracemalloc
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from intertie_ingest.syncs.model import Mode, RunState
from intertie_ingest.syncs.source import Page, Range
from sync_samples import SyncRig

PAGES, PAGE_SIZE, RECORD_BYTES = 60, 100, 10_000
MOST_BYTES = 16 * 1024 * 1024


@dataclass
class EndlessSource:
    """Makes its records when they are asked for: 60 MB in all, of the same 100 ids."""

    count: int = PAGES
    is_ordered: bool = True

    async def pages(self, wanted: Range, position: bytes | None) -> AsyncGenerator[Page, None]:
        """The pages."""
        for number in range(self.count):
            yield Page(self._records(), b"%d" % number, is_last=number == self.count - 1)

    def _records(self) -> list[bytes]:
        return [json.dumps({"id": key, "title": "x" * RECORD_BYTES}).encode() for key in range(PAGE_SIZE)]


async def test_a_large_source_takes_no_more_memory_than_a_few_pages(sqlite_url: str) -> None:
    """A page is 1 MB; what it becomes on its way to the database may be several times that, and no more."""
    rig = await SyncRig.open(sqlite_url)
    rig.source = EndlessSource(2)
    await rig.sync(Mode.INCREMENTAL)  # what is loaded once is loaded
    rig.source = EndlessSource()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    run = await rig.sync(Mode.INCREMENTAL)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    await rig.close()
    assert (run.state, run.read, run.unchanged) == (RunState.SUCCEEDED, PAGES * PAGE_SIZE, PAGES * PAGE_SIZE)
    assert peak - before < MOST_BYTES
