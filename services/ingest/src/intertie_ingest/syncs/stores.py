"""The stores that a run is worked on with."""

from dataclasses import dataclass

from intertie_ingest.syncs.cursor_store import CursorStore
from intertie_ingest.syncs.page_store import PageStore
from intertie_ingest.syncs.run_store import RunStore
from intertie_ingest.syncs.settling_store import SettlingStore


@dataclass(frozen=True, slots=True)
class Stores:
    """Where runs, pages, endings and cursors are kept."""

    runs: RunStore
    pages: PageStore
    settling: SettlingStore
    cursors: CursorStore
