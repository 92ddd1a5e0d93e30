"""SQLite's authorizer, limits and clock by themselves, on connections that may write: no other layer helps them."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from intertie_ingest.databases import sqlite_rules
from intertie_ingest.databases.volume import MOST_BYTES

REFUSED = """
insert into t values (9, 'x')
update t set name = 'x'
delete from t
with x as (select 1) delete from t
delete from t returning *
replace into t values (1, 'x')
create table attack (n)
create temp table attack (n)
create view attack as select 1
create trigger attack after insert on t begin delete from t; end
create index attack on t (name)
drop table t
alter table t add x
analyze
reindex
vacuum
vacuum into '{file}'
begin
commit
savepoint s
attach '{file}' as y
detach main
pragma query_only = 0
pragma writable_schema = 1
pragma journal_mode = delete
pragma table_info(t)
select * from pragma_table_info('t')
select name from sqlite_master
select name from sqlite_schema
select name from main.sqlite_master
select * from t where name in (select sql from sqlite_master)
select load_extension('x')
select readfile('/etc/passwd')
select writefile('{file}', 'x')
select randomblob(10)
select zeroblob(10)
select fts3_tokenizer('simple')
select sqlite_version()
select sqlite_compileoption_get(0)
select last_insert_rowid()
select changes()
explain delete from t
""".strip().splitlines()

ALLOWED = """
select * from t
select count(*), max(name), lower(name) from t group by name order by 2
select name from t union select 'x'
with x as (select n from t) select * from x
with recursive c(x) as (select 1 union all select x + 1 from c where x < 5) select * from c
select json_extract('{{"a": 1}}', '$.a')
select strftime('%Y', '2026-01-01')
select row_number() over (order by n) from t
""".strip().splitlines()


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that may write, with a table of a row and an index."""
    made = sqlite3.connect(tmp_path / "file.db", isolation_level=None)
    made.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, name TEXT)")
    made.execute("CREATE INDEX i ON t (name)")
    made.execute("INSERT INTO t VALUES (1, 'one')")
    yield made
    made.close()


@pytest.mark.parametrize("sql", REFUSED)
def test_the_authorizer_alone_refuses(connection: sqlite3.Connection, tmp_path: Path, sql: str) -> None:
    connection.set_authorizer(sqlite_rules.reading)
    with pytest.raises(sqlite3.DatabaseError, match=r"not authorized|prohibited|authorization denied|no such"):
        connection.execute(sql.format(file=tmp_path / "attack")).fetchall()
    connection.set_authorizer(None)
    assert connection.execute("SELECT * FROM t").fetchall() == [(1, "one")]
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("t",), ("i",)]
    assert [path.name for path in tmp_path.iterdir()] == ["file.db"]


@pytest.mark.parametrize("sql", ALLOWED)
def test_the_authorizer_lets_queries_pass(connection: sqlite3.Connection, sql: str) -> None:
    connection.set_authorizer(sqlite_rules.reading)
    assert connection.execute(sql.format()).fetchall()


def test_a_value_in_a_row_has_its_share_only(connection: sqlite3.Connection) -> None:
    """One long value may be selected a thousand times: all of them together are what must fit."""
    sqlite_rules.limit(connection)
    connection.execute("INSERT INTO t VALUES (2, ?)", ("x" * 1_000_000,))
    few, many = (f"SELECT {', '.join(['name'] * number)} FROM t WHERE n = ?" for number in (10, 200))
    sqlite_rules.limit_row(connection, few, (2,))
    assert sum(map(len, connection.execute(few, (2,)).fetchone())) == 10_000_000
    sqlite_rules.limit_row(connection, many, (2,))
    assert connection.getlimit(sqlite3.SQLITE_LIMIT_LENGTH) * 200 <= MOST_BYTES
    with pytest.raises(sqlite3.DataError, match="too big"):
        connection.execute(many, (2,)).fetchone()


def test_the_clock_ends_what_would_never_end(connection: sqlite3.Connection) -> None:
    clock = sqlite_rules.Clock()
    clock.watch(connection)
    clock.start(0.05)
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        connection.execute(
            "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) from c"
        ).fetchall()
