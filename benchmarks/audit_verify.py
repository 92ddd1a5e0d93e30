"""How fast the audit chain is sealed and verified: `python benchmarks/audit_verify.py [entries] [database URL]`.

Without a URL on a SQLite file in a temporary directory. Tells processor time of this process and wall time per entry;
on MySQL and MariaDB the server's own time is in the wall time alone.
"""

import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
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
_AT_ONCE = 500


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


@dataclass(frozen=True, slots=True)
class Step:
    """What one thing took, for all entries together."""

    what: str
    """`append`, `seal` or `verify`."""
    entries: int
    cpu: float
    """Seconds of this process, and of what else was asked to be counted."""
    wall: float
    """Seconds."""

    def __str__(self) -> str:
        """As a line."""
        return (
            f"{self.what:8} {self.cpu / self.entries * 1e6:6.1f} µs of processor and "
            f"{self.wall / self.entries * 1e6:6.1f} µs an entry: "
            f"{self.entries / self.cpu:8.0f}/s a core, {self.entries / self.wall:8.0f}/s"
        )


class _Clock:
    """Tells what a step took."""

    def __init__(self, entries: int, others: Callable[[], float]) -> None:
        self._entries = entries
        self._others = others
        self._began = self._read()

    def step(self, what: str) -> Step:
        """Ends one and begins the next."""
        before, self._began = self._began, self._read()
        return Step(what, self._entries, self._began[0] - before[0], self._began[1] - before[1])

    def _read(self) -> tuple[float, float]:
        return time.process_time() + self._others(), time.monotonic()


async def measure(
    entries: int, url: str | None, directory: Path, *, times: int = 1, others: Callable[[], float] = lambda: 0.0
) -> list[Step]:
    """Appends and seals so many entries, and verifies them so many times. Raises RuntimeError when they are not intact.

    `others`: seconds of CPU of other processes that work for this one, as the database's server does.
    """
    database = await Database.open(url or f"sqlite+aiosqlite:///{directory / 'audit.db'}", table_prefix=PREFIX)
    await MIGRATIONS.upgrade(database, PREFIX)
    log, links = Store(database), ChainStore(database)
    key, known = ChainKeys(directory).ensure()
    store, anchor = SealStore(database, key.mac_key), Anchor(directory / "anchor" / "audit.jsonl")
    checkpoints = Checkpoints(store, links, key, anchor)
    sealer = Sealer(store, RowStore(database), log, checkpoints, Lease(database), known.mac_keys)
    clock = _Clock(entries, others)
    for start in range(0, entries, _AT_ONCE):
        await log.append([entry(start + number) for number in range(_AT_ONCE)])
    steps = [clock.step("append")]
    await sealer.begin()
    while await sealer.step():
        pass
    steps.append(clock.step("seal"))
    await sealer.finish()
    verification = Verification(VerifyStore(database), links, known, anchor)
    for _ in range(times):
        clock = _Clock(entries, others)
        async for progress in verification.run(Scope()):
            if progress.verdict is not None:
                steps.append(clock.step("verify"))
                if not progress.verdict.is_intact or progress.verified < entries:
                    raise RuntimeError(f"of {entries} entries {progress.verified} were verified: {progress.verdict}")
    await database.close()
    return steps


def quiet() -> None:
    """Logs errors only."""
    logging.basicConfig(level=logging.ERROR)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


if __name__ == "__main__":
    quiet()
    arguments = sys.argv[1:]
    with tempfile.TemporaryDirectory() as made:
        wanted = int(arguments[0]) if arguments else 300_000
        for taken in asyncio.run(measure(wanted, arguments[1] if len(arguments) > 1 else None, Path(made))):
            print(taken)
