"""Audit's chain as its process puts it together, one step at a time: for tests of what stands on it."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_audit.anchor import Anchor
from intertie_audit.chain import Finding
from intertie_audit.chain_keys import ChainKeys, KnownKeys
from intertie_audit.chain_store import ChainStore
from intertie_audit.checkpoints import Checkpoints
from intertie_audit.export import Export
from intertie_audit.export_store import ExportStore
from intertie_audit.lease_store import RETENTION, Lease
from intertie_audit.migrations import MIGRATIONS
from intertie_audit.model import Entry
from intertie_audit.retention import Retention
from intertie_audit.retention_store import RetentionStore
from intertie_audit.row_store import RowStore
from intertie_audit.seal_store import SealStore
from intertie_audit.sealer import Sealer
from intertie_audit.store import Store
from intertie_audit.verification import Scope, Verification
from intertie_audit.verify_store import VerifyStore
from intertie_chassis.clock import utc_now
from intertie_chassis.database import Database
from intertie_chassis.ids import new_ulid

PREFIX = "campaign_department_"


NOON = datetime(2025, 1, 20, 12, 0, 0, 123456)


def entry(**fields: Any) -> Entry:
    """A new entry of long ago, with these fields otherwise."""
    values: dict[str, Any] = dict.fromkeys(Entry.__dataclass_fields__)
    values |= {"id": 0, "entry_id": new_ulid(), "query_type": "webhook", "status": "success", "created_at": NOON}
    return Entry(**{**values, **fields})


@dataclass(frozen=True, slots=True)
class Chain:
    """A log with its chain; nothing is sealed or signed until the test says so."""

    database: Database
    log: Store
    links: ChainStore
    seals: SealStore
    sealer: Sealer
    keys: KnownKeys
    verification: Verification
    export: Export

    @classmethod
    async def open(cls, url: str, directory: Path) -> "Chain":
        """On a database whose tables it makes."""
        database = await Database.open(url, table_prefix=PREFIX)
        await MIGRATIONS.upgrade(database, PREFIX)
        key, known = ChainKeys(directory).ensure()
        anchor = Anchor(directory / "anchor.jsonl")
        log, links, seals = Store(database), ChainStore(database), SealStore(database, key.mac_key)
        checkpoints = Checkpoints(seals, links, key, anchor)
        sealer = Sealer(seals, RowStore(database), log, checkpoints, Lease(database), known.mac_keys)
        verification = Verification(VerifyStore(database), links, known, anchor, patience=0)
        export = Export(links, ExportStore(database), sealer.sign_now)
        return cls(database, log, links, seals, sealer, known, verification, export)

    async def append_found(self, *entries: Entry) -> None:
        """Appends entries as if they had been there before the chain; only before the first is sealed."""
        await self.log.append(entries)
        await self.sql("UPDATE {origin} SET found_up_to = (SELECT MAX(id) FROM {logs})")

    async def append(self, *entries: Entry) -> None:
        """Appends and seals."""
        await self.log.append(entries)
        await self.seal()

    async def seal(self) -> None:
        """Seals all that waits."""
        await self.sealer.begin()
        while await self.sealer.step():
            pass

    def retention(self, days: int, at: Any = utc_now) -> Retention:
        """As the process has it; `at()` is the time."""
        store, lease = RetentionStore(self.database), Lease(self.database, RETENTION)
        return Retention(store, self.seals, lease, days, clock=at, least_pause=0)

    async def findings(self) -> list[Finding]:
        """What verification finds in the whole chain."""
        return [one async for progress in self.verification.run(Scope()) for one in progress.findings]

    async def sql(self, statement: str, **values: Any) -> list[Any]:
        """Runs a statement of the test's own; `{logs}`, `{chain}` and `{origin}` are tables."""
        names = {"logs": f"{PREFIX}integration_query_logs", "chain": f"{PREFIX}integration_audit_chain"}
        names["origin"] = f"{PREFIX}integration_audit_origin"

        async def work(connection: AsyncConnection) -> list[Any]:
            result = await connection.execute(text(statement.format(**names)), values)
            return list(result.all()) if result.returns_rows else []

        return await self.database.transaction(work)
