"""How much of a result is in memory: large values, wide rows, readers that are slow, and pools that nobody uses."""

from contextlib import aclosing

import orjson
import pytest

from external_databases import External, ExternalMariaDB, ExternalPostgreSQL, ExternalSQLite
from intertie_ingest.databases import volume
from intertie_ingest.databases.databases import Databases
from intertie_ingest.databases.reading import Caps
from intertie_ingest.databases.statements import Statement
from intertie_ingest.databases.table_source import TableSource
from intertie_ingest.egress import Egress
from intertie_ingest.errors import NoSource, QueryFailed
from intertie_ingest.syncs.source import Range
from intertie_mapping.synchronisation import Synchronisation
from waiting import eventually

MEBIBYTE = 1024 * 1024
CAPS = Caps(1000, 3 * MEBIBYTE, 30)


def raw(sql: str) -> Statement:
    """A statement that no guard has seen."""
    return Statement(kind="select", sql=sql, parameters=(), tables=frozenset({"t"}))


@pytest.fixture
def large(external: External) -> External:
    """Twelve rows of a megabyte each, behind ten that are small."""
    text = "LONGTEXT" if isinstance(external, ExternalMariaDB) else "TEXT"
    external.execute(f"CREATE TABLE t (n INTEGER PRIMARY KEY, name {text});\n")
    external.insert("t", [(number, "x" * (MEBIBYTE if number >= 10 else 10)) for number in range(22)])
    return external


async def test_large_values_end_the_answer_and_nothing_else(large: External, databases: Databases) -> None:
    result = await databases.query(large.reader, raw("SELECT n, name FROM t ORDER BY n"), {}, CAPS)
    assert [row["n"] for row in orjson.loads(result.rows_json)] == list(range(12))
    assert result.truncated


async def test_rows_beyond_all_measure_are_never_taken(
    large: External, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More in one piece than may be: no memory is filled with it, and the answer says that it is not all."""
    monkeypatch.setattr(volume.Meter.__init__, "__defaults__", (4 * MEBIBYTE,))
    copies = ", ".join(f"name AS x{number}" for number in range(80))
    wide = raw(f"SELECT {copies} FROM t ORDER BY n DESC")
    if isinstance(large, ExternalSQLite):
        # There it is the statement itself that fails: a value in it is longer than its share of the row.
        with pytest.raises(QueryFailed):
            await databases.query(large.reader, wide, {}, CAPS)
    else:
        result = await databases.query(large.reader, wide, {}, CAPS)
        assert (result.rows_json, result.truncated) == (b"[]", True)
    result = await databases.query(large.reader, raw("SELECT COUNT(*) AS n FROM t"), {}, CAPS)
    assert result.rows_json == b'[{"n":22}]'


async def test_a_sync_gets_past_rows_that_are_too_many_megabytes_together(
    large: External, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volume.Meter.__init__, "__defaults__", (3 * MEBIBYTE,))
    source = TableSource(databases, large.reader, "t", Synchronisation(page_size=1000), "n")
    records = [record async for page in source.pages(Range(), None) for record in page.records]
    assert [orjson.loads(record)["n"] for record in records] == list(range(22))


async def test_a_row_that_no_sync_can_take_is_said(
    mariadb_external: ExternalMariaDB, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volume.Meter.__init__, "__defaults__", (MEBIBYTE,))
    mariadb_external.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, name LONGTEXT);\n")
    mariadb_external.insert("t", [(1, "x"), (2, "x" * 2 * MEBIBYTE), (3, "x")])
    source = TableSource(databases, mariadb_external.reader, "t", Synchronisation(page_size=1000), "n")
    with pytest.raises(NoSource, match="row larger"):
        _ = [page async for page in source.pages(Range(), None)]


async def test_a_server_waits_for_a_slow_reader(mariadb_external: ExternalMariaDB, databases: Databases) -> None:
    """While nobody takes rows nothing more is read: else all that is to come would be held."""
    mariadb_external.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, name LONGTEXT);\n")
    mariadb_external.insert("t", [(number, "x" * MEBIBYTE) for number in range(40)])
    sent = "SELECT variable_value + 0 FROM information_schema.global_status WHERE variable_name = 'Bytes_sent'"
    writing = (
        "SELECT COUNT(*) FROM information_schema.processlist WHERE state IN ('Sending data', 'Writing to net')"
        f" AND user = '{mariadb_external.reader.db_username}'"
    )
    before = mariadb_external.rows(sent)[0][0]
    stream = databases.stream(mariadb_external.reader, raw("SELECT * FROM t"), {}, Caps(1000, 100 * MEBIBYTE, 60))
    async with aclosing(stream) as parts:
        first = await anext(parts)
        assert first.count < 10
        for _ in range(20):  # the loop runs, and what may arrive does
            await eventually(lambda: mariadb_external.rows(writing) == [(1,)])
        assert mariadb_external.rows(sent)[0][0] - before < 25 * MEBIBYTE
        rest = [part.count async for part in parts]
    assert first.count + sum(rest) == 40


async def test_pools_that_nobody_uses_are_closed(external: External) -> None:
    external.execute("CREATE TABLE t (n INTEGER PRIMARY KEY);\n")
    patient, hasty = Databases(Egress()), Databases(Egress(), idle_seconds=0)
    try:
        for databases in (patient, hasty):
            await databases.query(external.reader, raw("SELECT n FROM t"), {}, CAPS)
            (_, pool), *_ = databases._pools.values()
            await eventually(lambda pool=pool: pool.is_idle)  # type: ignore[misc]
            await databases.keep([external.reader])
        assert list(patient._pools) == [external.reader.id]
        assert not hasty._pools
        if isinstance(external, ExternalMariaDB):
            user = external.reader.db_username
            left = f"SELECT COUNT(*) FROM information_schema.processlist WHERE user = '{user}'"
            await eventually(lambda: external.rows(left) == [(1,)])
        if isinstance(external, ExternalPostgreSQL):
            left = f"SELECT COUNT(*) FROM pg_stat_activity WHERE usename = '{external.reader.db_username}'"
            await eventually(lambda: external.rows(left) == [(1,)])
        # and the next query makes a new one
        await hasty.query(external.reader, raw("SELECT n FROM t"), {}, CAPS)
    finally:
        await patient.close()
        await hasty.close()
