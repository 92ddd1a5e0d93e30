"""Memory does not grow with a table: a run holds a few of its pages, from the driver to the store."""

import tracemalloc

import pytest

from external_databases import External
from intertie_ingest.databases.databases import Databases
from intertie_ingest.databases.table_source import TableSource
from intertie_ingest.syncs.model import Mode, RunState
from intertie_mapping.synchronisation import Synchronisation
from sync_samples import SyncRig

FEW, MANY, PAGE = 300, 3000, 60
TEXT = "Entered by the clerk; chairs and loudspeakers are ordered. " * 25
MOST_BYTES = MANY * len(TEXT) // 5
"""Of what the larger table holds."""


async def _peak(rig: SyncRig, databases: Databases, external: External, table: str, rows: int) -> int:
    """Bytes that a run of the table takes at most, beyond what was there before it; each of its rows is new."""
    rig.source = TableSource(databases, external.reader, table, Synchronisation(page_size=PAGE), "id")
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    run = await rig.sync(Mode.INCREMENTAL)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (run.state, run.new) == (RunState.SUCCEEDED, rows), run.error_message
    return peak - before


@pytest.mark.parametrize("external", ["sqlite", "mariadb"], indirect=True)
async def test_ten_times_the_rows_take_no_more_memory(
    external: External, databases: Databases, request: pytest.FixtureRequest
) -> None:
    """By the real driver, into a store of the same kind, every row a new record."""
    store: str = request.getfixturevalue("mariadb_url" if external.connection.db_driver == "mysql" else "sqlite_url")
    first = 0
    for table, rows in (("warming", FEW), ("few", FEW), ("many", MANY)):
        external.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, remarks TEXT NOT NULL)")
        external.insert(table, [(number, TEXT) for number in range(first, first + rows)])
        first += rows
    rig = await SyncRig.open(store)
    try:
        await _peak(rig, databases, external, "warming", FEW)  # what is loaded once is loaded
        few = await _peak(rig, databases, external, "few", FEW)
        many = await _peak(rig, databases, external, "many", MANY)
    finally:
        await rig.close()
    assert many - few < MOST_BYTES, f"{few} and {many} bytes"
