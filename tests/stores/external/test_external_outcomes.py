"""Attacks with the guard switched off, one by one: each is refused by the server, ended by a clock, or harmless."""

from pathlib import Path
from typing import Any

import pytest

from external_databases import External, ExternalMariaDB, ExternalPostgreSQL, ExternalSQLite
from intertie_chassis.errors import IntertieError
from intertie_ingest.databases.databases import Databases
from intertie_ingest.databases.reading import Caps
from intertie_ingest.databases.statements import Permissions, Statement, check_statement, tables_needing_columns
from intertie_ingest.errors import QueryRefused

CAPS = Caps(1000, 1_000_000, 0.5)

MARIADB = {
    "QueryFailed": """
        delete from t
        with x as (select 1) delete from t
        select 1; delete from t
        insert into t values (1000, 'x')
        replace into t values (1, 'x')
        update t set name = 'x'
        delete from t returning *
        /*!50000 delete from t */
        execute immediate 'delete from t'
        analyze delete from t
        drop table t
        truncate table t
        create table attack (n int)
        create temporary table attack (n int)
        select * into outfile '{file}' from t
        select name from t into dumpfile '{file}'
        select 1 /*!50000 into outfile '{file}' */
        flush tables
        set global max_connections = 1
        select * from mysql.user
        select * from mysql.global_priv
    """,
    # What the server calls a right on a database, which this account has not.
    "ConnectionUnusable": """
        grant all on *.* to current_user()
        load data infile '/etc/passwd' into table t
        lock tables t write
    """,
    "QueryTimedOut": "select count(*) from t a, t b, t c, t d, t e, t f, t g, t h, t i",
}
POSTGRESQL = {
    "QueryFailed": """
        delete from t
        select 1; delete from t
        with x as (delete from t returning *) select * from x
        insert into t values (1000, 'x')
        update t set name = 'x'
        drop table t
        truncate t
        create table attack (n int)
        create temporary table attack (n int)
        select * into attack from t
        select * from t for update
        select pg_read_file('/etc/passwd')
        select pg_ls_dir('/')
        select lo_import('/etc/passwd')
        select lo_export(1, '{file}')
        copy t to '{file}'
        copy t from '/etc/passwd'
        copy t to program 'touch {file}'
        lock table t in access exclusive mode
        vacuum t
        do $$ begin delete from t; end $$
        explain analyze delete from t
        select pg_reload_conf()
        select * from pg_shadow
        set role postgres
    """,
    "QueryTimedOut": """
        select pg_sleep(10)
        select count(*) from generate_series(1, 100000000000)
    """,
}
SQLITE = {
    "QueryFailed": """
        delete from t
        with x as (select 1) delete from t
        select 1; delete from t
        insert into t values (1000, 'x')
        drop table t
        create table attack (n int)
        create temp table attack (n int)
        attach '{file}' as y
        vacuum into '{file}'
        pragma query_only=0
        pragma table_info(t)
        select * from pragma_table_info('t')
        select * from sqlite_master
        select load_extension('x')
        select readfile('/etc/passwd')
        select writefile('{file}', 'a')
        select zeroblob(1000000000)
        select randomblob(1e9)
        select fts3_tokenizer('a')
    """,
    "QueryTimedOut": """
        with recursive c(x) as (select 1 union all select x+1 from c) select count(*) from c
        select count(*) from t a, t b, t c, t d, t e, t f, t g, t h, t i
    """,
}


async def _outcomes(databases: Databases, external: External, classes: dict[str, str], file: Path) -> None:
    """Each statement ends as its class says, so that none passes for another reason; and nothing is changed."""
    external.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, name VARCHAR(100));\n")
    external.insert("t", [(number, "x" * 50) for number in range(20)])
    before = external.rows("SELECT n, name FROM t ORDER BY n")
    seen: dict[str, Any] = {}
    expected = {sql.strip(): wanted for wanted, lines in classes.items() for sql in lines.strip().splitlines()}
    for sql in expected:
        statement = Statement("select", sql.format(file=file), (), frozenset({"t"}))
        try:
            result = await databases.query(external.reader, statement, {}, CAPS)
            seen[sql] = result.rows_json
        except IntertieError as error:
            seen[sql] = type(error).__name__
    assert seen == expected
    assert external.rows("SELECT n, name FROM t ORDER BY n") == before
    assert not file.exists()


async def test_mariadb(mariadb_external: ExternalMariaDB, databases: Databases, tmp_path: Path) -> None:
    await _outcomes(databases, mariadb_external, MARIADB, tmp_path / "attack")


async def test_postgresql(postgresql_external: ExternalPostgreSQL, databases: Databases, tmp_path: Path) -> None:
    await _outcomes(databases, postgresql_external, POSTGRESQL, tmp_path / "attack")


async def test_sqlite(sqlite_external: ExternalSQLite, databases: Databases, tmp_path: Path) -> None:
    await _outcomes(databases, sqlite_external, SQLITE, tmp_path / "attack")


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ("select load_file('/etc/hostname') as f", b'[{"f":null}]'),  # without FILE there is no such file
        ("select 1 as one /*M!100000 union select 2 */", b'[{"one":1},{"one":2}]'),  # only what could be asked anyway
        ("select @a := 1 as a", b'[{"a":1}]'),  # gone with the session's reset
        (
            "select count(*) as n from information_schema.user_privileges where grantee not like '%%r\\_%%'",
            b'[{"n":0}]',
        ),
    ],
)
async def test_harmless(mariadb_external: ExternalMariaDB, databases: Databases, sql: str, shown: bytes) -> None:
    """What a least-privileged account may run, and learns nothing from that is not its own."""
    result = await databases.query(mariadb_external.reader, Statement("select", sql, (), frozenset()), {}, CAPS)
    assert result.rows_json == shown


async def test_a_function_of_a_row_is_no_column(postgresql_external: ExternalPostgreSQL, databases: Databases) -> None:
    """`t.leak` would call `leak(t)`, which reads with its owner's rights what the grant does not name."""
    postgresql_external.execute(
        "CREATE TABLE t (n INTEGER PRIMARY KEY, name TEXT);\nCREATE TABLE hidden (word TEXT);\n"
        "INSERT INTO t VALUES (1, 'one');\nINSERT INTO hidden VALUES ('word');\n"
        "CREATE FUNCTION leak(t) RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT word FROM hidden'"
    )
    permissions = Permissions.of(b'{"tables": ["t"]}')

    async def asked(sql: str) -> bytes:
        needed = tables_needing_columns(sql, "postgresql", permissions)
        columns = await databases.columns(postgresql_external.reader, needed)
        statement = check_statement(
            sql, "postgresql", access="read", permissions=permissions, row_limit=10, columns=columns
        )
        return (await databases.query(postgresql_external.reader, statement, {}, CAPS)).rows_json

    for sql in (
        "select t.leak from t",
        "select x.leak from t x",
        "select (select t.leak) from t",
        'select x."leak" from t x',
    ):
        with pytest.raises(QueryRefused, match="has no column leak"):
            await asked(sql)
    assert await asked("select x.n, X.NAME, x.* from t x") == b'[{"n":1,"name":"one","n_2":1,"name_2":"one"}]'
    assert await asked("select q.n from (select t.n from t group by t.n) q") == b'[{"n":1}]'
