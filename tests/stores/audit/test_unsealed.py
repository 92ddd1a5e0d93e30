"""How far the chain is behind the log is known from both."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chain_rig import LOGS, PREFIX, Rig, entry
from intertie_audit.metrics import SEAL_LAG, UNSEALED_ENTRIES, SealLag, SealLook
from intertie_audit.migrations import MIGRATIONS
from intertie_audit.unsealed_store import Unsealed, UnsealedStore
from intertie_chassis.database import Database


@pytest.fixture
async def rig(database_url: str, tmp_path: Path) -> AsyncIterator[Rig]:
    """A chain in a database of its own."""
    database = await Database.open(database_url, table_prefix=PREFIX)
    await MIGRATIONS.upgrade(database, PREFIX)
    yield Rig(database, tmp_path)
    await database.close()


def value(gauge: object) -> float:
    return float(next(iter(gauge.collect())).samples[0].value)  # type: ignore[attr-defined]


async def test_entries_without_a_link_are_counted(rig: Rig) -> None:
    """Those that PHP wrote too; none is left once all are sealed."""
    now = [100.0]
    look = SealLook(UnsealedStore(rig.database), lambda: now[0])
    await look.look()
    assert (value(UNSEALED_ENTRIES), value(SEAL_LAG)) == (0, 0)
    await rig.seal(entry())
    for _ in range(2):
        await rig.run(f"INSERT INTO {LOGS} (system_id, query_type, status) VALUES (7, 'select', 'success')")
    await look.look()
    assert (value(UNSEALED_ENTRIES), value(SEAL_LAG)) == (2, 0)
    now[0] += 30
    await look.look()
    assert (value(UNSEALED_ENTRIES), value(SEAL_LAG)) == (2, 30)
    await rig.seal()
    await look.look()
    assert (value(UNSEALED_ENTRIES), value(SEAL_LAG)) == (0, 0)


def test_the_lag_is_that_of_the_oldest() -> None:
    """Not of what came since, and no more once that is sealed."""
    lag = SealLag()
    assert lag.after(Unsealed(newest=5, sealed=3, entries=2), 10) == 0
    assert lag.after(Unsealed(newest=9, sealed=3, entries=6), 14) == 4
    assert lag.after(Unsealed(newest=9, sealed=5, entries=4), 16) == 2
    assert lag.after(Unsealed(newest=12, sealed=9, entries=3), 17) == 0
    assert lag.after(Unsealed(newest=12, sealed=12, entries=0), 30) == 0
    assert lag.after(Unsealed(newest=13, sealed=12, entries=1), 40) == 0
