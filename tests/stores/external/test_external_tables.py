"""Tables read by keyset: every row exactly once, whatever the keys are, resumed behind every page."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from external_databases import External, ExternalMariaDB, ExternalPostgreSQL
from intertie_ingest.databases.databases import Databases
from intertie_ingest.databases.table_source import TableSource
from intertie_ingest.errors import ExternalRefused, NoSource
from intertie_ingest.syncs.cursors import CursorValue
from intertie_ingest.syncs.source import Page, Range
from intertie_mapping.synchronisation import Synchronisation


def source(external: External, databases: Databases, table: str = "t", key: str = "id", **sync: Any) -> TableSource:
    """The table, read with the account that may only read."""
    return TableSource(databases, external.reader, table, Synchronisation(**sync), key)


async def resumed(source: TableSource, wanted: Range) -> AsyncIterator[Page]:
    """The pages, each read by another process that knows nothing but the position behind the last one."""
    position = None
    while True:
        pages = source.pages(wanted, position)
        page = await anext(pages)
        await pages.aclose()
        yield page
        if page.is_last:
            return
        position = page.position


async def read(source: TableSource, wanted: Range | None = None) -> list[dict[str, Any]]:
    """All records of the range."""
    pages = [page async for page in resumed(source, wanted or Range())]
    return [orjson.loads(record) for page in pages for record in page.records]


_TEXTS = st.text(alphabet="aAbBéÉßz09 ~_%'\\\U0001f600", max_size=4)
_ROWS = st.lists(st.tuples(_TEXTS, st.integers(-3, 3), st.none() | st.integers(-2, 2)), max_size=25)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=25)
@given(rows=_ROWS, size=st.integers(1, 9), lowest=st.integers(-3, 3), highest=st.integers(-3, 4), unset=st.booleans())
async def test_every_row_exactly_once(
    external: External,
    databases: Databases,
    rows: list[tuple[str, int, int | None]],
    size: int,
    lowest: int,
    highest: int,
    unset: bool,
) -> None:
    """A key of a text under the database's own collation and a number; a cursor with gaps, ties and NULLs."""
    external.execute(
        "DROP TABLE IF EXISTS t;\nCREATE TABLE t (name VARCHAR(20), n INTEGER, seen INTEGER, PRIMARY KEY (name, n));\n"
    )
    external.insert("t", rows, new_only=True)
    there = external.rows("SELECT name, n, seen FROM t")
    table = source(external, databases, cursor_field="seen", page_size=size)

    everything = [(row["name"], row["n"], row["seen"]) for row in await read(table)]
    assert sorted(everything, key=repr) == sorted(there, key=repr)

    wanted = Range(CursorValue("integer", lowest), CursorValue("integer", highest), with_unset=unset)
    some = [(row["name"], row["n"], row["seen"]) for row in await read(table, wanted)]
    meant = [row for row in there if (unset if row[2] is None else lowest <= row[2] < highest)]
    if any(row[2] is not None for row in there) or not there:
        assert sorted(some, key=repr) == sorted(meant, key=repr)
    seen = [row[2] for row in some if row[2] is not None]
    assert seen == sorted(seen)


async def test_the_cursor_is_kept_with_each_page_of_a_range_and_at_the_end_of_all(
    external: External, databases: Databases
) -> None:
    external.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, changed INTEGER);\n")
    external.insert("t", [(number, 100 - number) for number in range(10)])
    table = source(external, databases, cursor_field="changed", page_size=4)
    everything = [page async for page in resumed(table, Range())]
    assert [page.cursor for page in everything[:-1]] == [None] * (len(everything) - 1)
    assert everything[-1].cursor == CursorValue("integer", 100)
    ranged = [page async for page in resumed(table, Range(CursorValue("integer", 93))) if page.records]
    assert [page.cursor and page.cursor.value for page in ranged] == [96, 100]


async def test_what_comes_while_it_is_read_is_the_next_runs(external: External, databases: Databases) -> None:
    """Else a table that is written faster than read would never end."""
    external.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, changed INTEGER NOT NULL);\n")
    external.insert("t", [(number, number) for number in range(10)])
    table = source(external, databases, cursor_field="changed", page_size=3)
    seen = []
    async for page in resumed(table, Range(CursorValue("integer", 2))):
        seen += [orjson.loads(record)["id"] for record in page.records]
        external.insert("t", [(100 + len(seen), 100)], new_only=True)
        assert len(seen) < 20
    assert seen == list(range(2, 10))


_KEYS: dict[str, tuple[str, list[Any]]] = {
    "DECIMAL(20,6)": ("decimal", [Decimal(f"{n}.{n:06d}") - 3 for n in range(7)]),
    "DOUBLE PRECISION": ("float", [n / 10 - 0.3 for n in range(7)]),
    "BIGINT": ("integer", [2**62 + n for n in range(4)] + [-(2**63)]),
    "DATE": ("date", [date(2024, 2, 27 + n) for n in range(3)]),
}


@pytest.mark.parametrize("kind", _KEYS)
async def test_keys_of_every_type_come_back_exactly(external: External, databases: Databases, kind: str) -> None:
    if external.connection.db_driver == "sqlite" and kind in ("DECIMAL(20,6)", "DATE"):
        pytest.skip("SQLite has no such type")
    await every_key(external, databases, kind, _KEYS[kind][1])


async def every_key(external: External, databases: Databases, kind: str, values: list[Any]) -> None:
    """All rows are found with pages of one row, by this key and with it as the cursor of a range."""
    external.execute(f"CREATE TABLE t (id {kind} PRIMARY KEY, n INTEGER, other {kind});\n")
    external.insert("t", [(value, number, value) for number, value in enumerate(values)])
    found = await read(source(external, databases, page_size=1))
    assert sorted(row["n"] for row in found) == list(range(len(values)))
    # What has no end or is no number is a key, but no cursor.
    is_cursor = kind not in _UNORDERED and kind not in ("REAL", "NUMERIC")
    first = CursorValue.of(external.rows("SELECT MIN(other) FROM t")[0][0]) if is_cursor else None
    if first is not None:
        table = source(external, databases, cursor_field="other", page_size=1)
        assert len(await read(table, Range(first))) == len(values)


_UNORDERED = ("UUID", "BYTEA", "VARBINARY(10)", "BOOLEAN", "INET", "TIME(3)", "INTERVAL", "ENUM('z','a','m')", "mood")


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("DATETIME(6)", [datetime(2024, 1, 1, 0, 0, 0, n) for n in (0, 1, 999_999)]),
        ("TIMESTAMP(6)", [datetime(2024, 1, 1, 0, 0, 1, n) for n in (0, 1, 999_999)]),
        ("FLOAT", [0.1, 0.2, 16777216.0, 1.17549e-38, 3.3333333]),
        ("VARBINARY(10)", [b"", b"\x00", b"\xff'\\", b"a"]),
        ("ENUM('z','a','m')", ["z", "a", "m"]),
        ("TIME(3)", ["-12:00:00.5", "00:00:00", "800:00:01"]),
        ("BIT(9)", [0, 1, 511]),
    ],
)
async def test_keys_of_mariadb(
    mariadb_external: ExternalMariaDB, databases: Databases, kind: str, values: list[Any]
) -> None:
    await every_key(mariadb_external, databases, kind, values)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("TIMESTAMP", [datetime(2024, 1, 1, 0, 0, 0, n) for n in (0, 1, 999_999)]),
        ("TIMESTAMPTZ", [datetime(2024, 1, 1, 0, 0, 0, n, tzinfo=UTC) for n in (0, 1, 999_999)]),
        ("REAL", [0.1, 0.2, 16777216.0, 1.17549e-38, 3.3333333, float("inf"), float("nan")]),
        ("NUMERIC", [Decimal("0.1"), Decimal("1e40"), Decimal("-0.00000001"), Decimal("NaN")]),
        ("BYTEA", [b"", b"\x00", b"\xff'\\"]),
        ("BOOLEAN", [True, False]),
        ("INET", ["10.0.0.1", "10.0.0.0/8", "::1"]),
    ],
)
async def test_keys_of_postgresql(
    postgresql_external: ExternalPostgreSQL, databases: Databases, kind: str, values: list[Any]
) -> None:
    await every_key(postgresql_external, databases, kind, values)


async def test_a_uuid_and_an_enum_of_postgresql(postgresql_external: ExternalPostgreSQL, databases: Databases) -> None:
    postgresql_external.execute(
        "CREATE TYPE mood AS ENUM ('z', 'a', 'm');\n"
        "CREATE TABLE t (id UUID DEFAULT gen_random_uuid(), m mood, PRIMARY KEY (m, id));\n"
        "INSERT INTO t (m) SELECT unnest(enum_range(NULL::mood)) FROM generate_series(1, 5);\n"
    )
    assert len({row["id"] for row in await read(source(postgresql_external, databases, page_size=2))}) == 15


@pytest.mark.parametrize("form", ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.000+02:00"])
async def test_times_that_are_kept_as_texts(external: External, databases: Databases, form: str) -> None:
    """As in SQLite: the kept cursor is a time, the column a text in a form of its own. No row may be missed."""
    external.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, changed VARCHAR(40));\n")
    moments = [datetime(2024, 5, 1, 12 + n % 3, n, 0) for n in range(30)]
    external.insert("t", [(number, moment.strftime(form)) for number, moment in enumerate(moments)])
    table = source(external, databases, cursor_field="changed", page_size=7)
    start = CursorValue.of(moments[10].strftime(form))
    assert start is not None
    found = {row["id"] for row in await read(table, Range(start))}
    assert found >= {number for number, moment in enumerate(moments) if moment >= moments[10]}


async def test_a_view_needs_fields_that_are_unique(external: External, databases: Databases) -> None:
    external.execute(
        "CREATE TABLE s (id INTEGER PRIMARY KEY, a INTEGER, b VARCHAR(9));\nCREATE VIEW t AS SELECT a, b FROM s;\n"
    )
    external.insert("s", [(number, number // 4, str(number % 4)) for number in range(20)])
    with pytest.raises(NoSource, match="key_fields"):
        await read(source(external, databases))
    with pytest.raises(NoSource, match="several rows have the same a"):
        await read(source(external, databases, key_fields=("a",), page_size=3))
    assert len(await read(source(external, databases, key_fields=("a", "b"), page_size=3))) == 20
    external.execute("INSERT INTO s VALUES (100, NULL, 'x');\nINSERT INTO s VALUES (101, NULL, 'y');\n")
    assert len(await read(source(external, databases, key_fields=("a", "b"), page_size=1))) == 22


async def test_what_the_mapping_has_to_change_is_said(external: External, databases: Databases) -> None:
    external.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body VARCHAR(9));\n")
    for table, sync, said in (
        ("nothing", {}, "no table nothing"),
        ("a.b.c", {}, "schema.table"),
        ("t; DROP TABLE t", {}, "no table"),
        ("t", {"cursor_field": "gone"}, "no column gone"),
    ):
        with pytest.raises(NoSource, match=said):
            await read(source(external, databases, table, **sync))
    external.execute("INSERT INTO t VALUES (1, 'x');\n")
    with pytest.raises(NoSource, match="reset the cursor"):
        await read(source(external, databases, cursor_field="id"), Range(CursorValue("text", "abc")))


async def test_a_column_that_is_gone_while_it_is_read(external: External, databases: Databases) -> None:
    external.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, changed INTEGER);\n")
    external.insert("t", [(number, number) for number in range(10)])
    pages = source(external, databases, cursor_field="changed", page_size=3).pages(
        Range(CursorValue("integer", 0)), None
    )
    await anext(pages)
    external.execute("ALTER TABLE t RENAME COLUMN changed TO other;\n")
    with pytest.raises((ExternalRefused, NoSource)):
        [page async for page in pages]


async def test_wide_rows_make_short_pages(external: External, databases: Databases) -> None:
    external.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT);\n".replace("TEXT", long_text(external)))
    external.insert("t", [(number, "x" * 1_000_000) for number in range(24)])
    pages = [page async for page in source(external, databases, page_size=1000).pages(Range(), None)]
    assert [orjson.loads(record)["id"] for page in pages for record in page.records] == list(range(24))
    assert max(sum(map(len, page.records)) for page in pages) < 12 * 1024 * 1024


def long_text(external: External) -> str:
    """The type of a column for texts of a megabyte."""
    return "LONGTEXT" if external.connection.db_driver == "mysql" else "TEXT"


async def test_names_of_any_characters(external: External, databases: Databases) -> None:
    quote = "`" if external.connection.db_driver == "mysql" else '"'
    table, column = f"select %s {quote}t", f"order 100% {quote}"
    name, key = (quote + text.replace(quote, 2 * quote) + quote for text in (table, column))
    external.execute(f"CREATE TABLE {name} ({key} INTEGER PRIMARY KEY);\n")
    external.insert(name.replace("%", "%%") if quote == "`" else name, [(number,) for number in range(5)])
    assert [row[column] for row in await read(source(external, databases, table, page_size=2))] == list(range(5))
