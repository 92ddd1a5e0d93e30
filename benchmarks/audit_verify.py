"""How fast the audit chain is sealed and verified: `python benchmarks/audit_verify.py [entries] [database URL]`.

Without a URL on a SQLite file in a temporary directory. Tells processor time of this process and wall time per entry;
on MySQL and MariaDB the server's own time is in the wall time alone.
"""

import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path

import structlog

from intertie_audit.anchor import Anchor
from intertie_audit.chain_keys import ChainKeys
from intertie_audit.chain_store import ChainStore
from intertie_audit.checkpoints import Checkpoints
from intertie_audit.lease_store import Lease
from intertie_audit.migrations import MIGRATIONS
from intertie_audit.model import Entry
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


def entry(number: int) -> Entry:
    """An entry as ingest writes one for a delivery."""
    return Entry(
        id=0,
        entry_id=new_ulid(),
        system_id=1,
        system_name="law_enforcement",
        query_type="webhook",
        query_string="POST /api/v1/integrations/webhook/law_enforcement",
        request_payload=f'{{"delivery_id": "{new_ulid()}", "sha256": "{number:064d}", "size": 512}}',
        response_payload='{"status": "accepted"}',
        response_status=202,
        execution_time_ms=3,
        status="success",
        error_message=None,
        requested_by=None,
        module_name=None,
        actor="system:law_enforcement",
        created_at=utc_now(),
        delivery_id=new_ulid(),
        request_id=new_ulid(),
    )


class Clock:
    """Tells what a step took."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._cpu, self._wall = time.process_time(), time.monotonic()

    def tell(self, what: str) -> None:
        """Prints it and begins anew."""
        cpu, wall = time.process_time() - self._cpu, time.monotonic() - self._wall
        print(
            f"{what:8} {cpu / self._entries * 1e6:6.1f} µs of processor and "
            f"{wall / self._entries * 1e6:6.1f} µs an entry: "
            f"{self._entries / cpu:8.0f}/s a core, {self._entries / wall:8.0f}/s"
        )
        self._cpu, self._wall = time.process_time(), time.monotonic()


async def measure(entries: int, url: str | None, directory: Path) -> None:
    """Appends, seals and verifies so many entries."""
    database = await Database.open(url or f"sqlite+aiosqlite:///{directory / 'audit.db'}", table_prefix=PREFIX)
    await MIGRATIONS.upgrade(database, PREFIX)
    log, links = Store(database), ChainStore(database)
    key, known = ChainKeys(directory).ensure()
    store, anchor = SealStore(database, key.mac_key), Anchor(directory / "anchor" / "audit.jsonl")
    checkpoints = Checkpoints(store, links, key, anchor)
    sealer = Sealer(store, RowStore(database), log, checkpoints, Lease(database), known.mac_keys)
    clock = Clock(entries)
    for start in range(0, entries, 500):
        await log.append([entry(start + number) for number in range(500)])
    clock.tell("append")
    await sealer.begin()
    while await sealer.step():
        pass
    clock.tell("seal")
    await sealer.finish()
    verification = Verification(VerifyStore(database), links, known, anchor)
    clock = Clock(entries)
    async for progress in verification.run(Scope()):
        if progress.verdict is not None:
            clock.tell("verify")
            print(f"intact: {progress.verdict.is_intact}, {progress.verified} links")
    await database.close()


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    arguments = sys.argv[1:]
    with tempfile.TemporaryDirectory() as made:
        asyncio.run(
            measure(
                int(arguments[0]) if arguments else 300_000,
                (arguments or [""])[1:][0] if len(arguments) > 1 else None,
                Path(made),
            )
        )
