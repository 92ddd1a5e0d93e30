"""Mapper without its neighbours, for the store tests: a migrated database, mappings, and records under leases."""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from sqlalchemy import text

from intertie.audit.v1 import audit_pb2
from intertie_chassis.database import Database
from intertie_chassis.outbox import Outbox
from intertie_mapper import audit_convert
from intertie_mapper.batch_store import BatchStore
from intertie_mapper.configuration import Configuration, MappingEntry, SystemEntry
from intertie_mapper.migrations import MIGRATIONS
from intertie_mapper.model import Ending, Lease, LeasedRecord
from intertie_mapper.preview import Previews
from intertie_mapper.processing import Processor
from intertie_mapper.statements import Dialect
from intertie_mapper.tables import outbox
from intertie_mapper.target_tables import TargetTables

PREFIX = "campaign_department_"
SYSTEM_ID, SYSTEM = 3, "law_enforcement"


class Rig:
    """One mapper over one database."""

    def __init__(self, database: Database, *, returning: bool | None = None) -> None:
        self.database = database
        embedded = database.dialect == "sqlite"
        if returning is None:
            returning = embedded or database.is_mariadb
        self.configuration = Configuration()
        self.targets = TargetTables(database, PREFIX, keep_seconds=0)
        self.outbox = Outbox(database, outbox(PREFIX))
        self.store = BatchStore(database, Dialect(embedded=embedded, returning=returning), PREFIX, self.outbox)
        self.processor = Processor(
            self.configuration, self.targets, self.store, audit_convert.encoder(self.configuration)
        )
        self.previews = Previews(database, self.targets, self.store)
        self._mappings: dict[int, MappingEntry] = {}
        self._leases = count(1)

    def map(self, target: str, config: dict[str, Any], mapping_id: int = 1, *, is_active: bool = True) -> MappingEntry:
        """Make (or change) a mapping of the one system."""
        entry = MappingEntry(
            mapping_id,
            f"mapping_{mapping_id}",
            SYSTEM_ID,
            SYSTEM,
            PREFIX + target,
            json.dumps(config).encode(),
            is_active,
        )
        self._mappings[mapping_id] = entry
        self.configuration.replace([SystemEntry(SYSTEM_ID, SYSTEM, True, tuple(self._mappings.values()))])
        return entry

    async def land(self, *records: LeasedRecord) -> list[Ending]:
        """Apply records under one lease; their endings in the records' order."""
        endings = await self.processor.process(Lease(f"lease-{next(self._leases)}", records))
        by_record = {id(ending.record): ending for ending in endings}
        return [by_record[id(record)] for record in records]

    async def run(self, *statements: str) -> None:
        """Execute statements of a module, {p} standing for the prefix."""
        async with self.database._writer.begin() as connection:
            for statement in statements:
                await connection.execute(text(statement.format(p=PREFIX)))

    async def rows(self, query: str) -> list[dict[str, Any]]:
        """The rows of a query, {p} standing for the prefix."""
        async with self.database.read() as connection:
            return [dict(row) for row in (await connection.execute(text(query.format(p=PREFIX)))).mappings()]

    async def audited(self) -> list[audit_pb2.Entry]:
        """All entries that wait in the outbox, in order."""
        payloads = await self.rows("SELECT payload FROM {p}mapper_outbox ORDER BY id")
        return [
            entry
            for row in payloads
            for entry in audit_pb2.AppendEntriesRequest.FromString(bytes(row["payload"])).entries
        ]


def record(
    external_id: str,
    data: dict[str, Any] | str,
    *,
    id: int | None = None,
    revision: int = 1,
    mapping_id: int = 1,
    version: str = "",
    attempts: int = 1,
) -> LeasedRecord:
    """A leased record; its number follows from mapping and external id unless given."""
    raw = (data if isinstance(data, str) else json.dumps(data)).encode()
    number = id or int.from_bytes(hashlib.sha256(f"{mapping_id}/{external_id}".encode()).digest()[:4], "big")
    return LeasedRecord(
        number,
        SYSTEM_ID,
        mapping_id,
        external_id,
        revision,
        raw,
        version,
        f"delivery-{external_id}-{revision}",
        hashlib.sha256(raw).digest(),
        attempts,
    )


@asynccontextmanager
async def rig(url: str, *statements: str, returning: bool | None = None) -> AsyncIterator[Rig]:
    """A mapper over a newly migrated database, in which the statements have been run."""
    database = await Database.open(url, table_prefix=PREFIX)
    try:
        await MIGRATIONS.upgrade(database, PREFIX)
        made = Rig(database, returning=returning)
        await made.run(*statements)
        yield made
    finally:
        await database.close()
