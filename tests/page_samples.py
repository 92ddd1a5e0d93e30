"""What tests of the stores of syncs are made of: runs, pages of records, and the stores on a test's database."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from intertie_chassis.database import Database
from intertie_chassis.outbox import Outbox
from intertie_ingest.model import Fault, RoutedRecord
from intertie_ingest.syncs.cursor_store import CursorStore
from intertie_ingest.syncs.model import Claim, Mode, NewRun, PageRecord, StoredPage, Trigger
from intertie_ingest.syncs.page_store import PageStore
from intertie_ingest.syncs.run_browse_store import RunBrowseStore
from intertie_ingest.syncs.run_store import RunStore
from intertie_ingest.syncs.settling_store import SettlingStore
from intertie_ingest.tables import Tables


@dataclass(frozen=True, slots=True)
class Syncs:
    """The stores of syncs on one database."""

    runs: RunStore
    looks: RunBrowseStore
    pages: PageStore
    settling: SettlingStore
    cursors: CursorStore

    @classmethod
    def on(cls, database: Database, tables: Tables) -> "Syncs":
        """The stores on this database."""
        return cls(
            RunStore(database, tables, Outbox(database, tables.outbox)),
            RunBrowseStore(database, tables),
            PageStore(database, tables),
            SettlingStore(database, tables),
            CursorStore(database, tables),
        )

    async def begin(self, mode: Mode = Mode.FULL, mapping_id: int = 1) -> Claim:
        """A run of a mapping, claimed."""
        await self.runs.create(new_run(mode, mapping_id))
        (claim,) = await self.runs.claim(1, 60)
        return claim


def new_run(mode: Mode = Mode.FULL, mapping_id: int = 1, **values: Any) -> NewRun:
    """A run that somebody asks for."""
    return NewRun(1, mapping_id, mode, **{"trigger": Trigger.MANUAL, "requested_by": "somebody", **values})


def record(
    external_id: str, value: object = 1, *, version: str | None = None, fault: Fault | None = None, mapping_id: int = 1
) -> RoutedRecord:
    """A record as routing gives it."""
    data = json.dumps({"id": external_id, "value": value}, ensure_ascii=False)
    return RoutedRecord(
        mapping_id, external_id, data, hashlib.sha256(data.encode()).digest(), version, is_released=False, fault=fault
    )


def page(*records: RoutedRecord, **values: Any) -> StoredPage:
    """A page of these records."""
    placed = [PageRecord(position, one) for position, one in enumerate(records, 1)]
    return StoredPage(placed, **{"position": b'{"after": 1}', **values})
