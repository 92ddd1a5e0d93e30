"""Attacks with the guard switched off: what reaches the database as it was written is held by account and transaction.

The statements are those of the attack list and others that worked inside a read-only transaction of a privileged user.
The account is the one that docs/external-databases.md has operators make.
"""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from external_databases import External, ExternalMariaDB, ExternalPostgreSQL, ExternalSQLite
from intertie_chassis.errors import IntertieError
from intertie_ingest.databases.databases import Databases
from intertie_ingest.databases.reading import Caps
from intertie_ingest.databases.statements import Statement
from intertie_ingest.egress import Egress
from intertie_ingest.errors import ConnectionUnusable, QueryFailed
from waiting import eventually

CAPS = Caps(1000, 1_000_000, 0.5)


def raw(sql: str, kind: Any = "select") -> Statement:
    """A statement that no guard has seen."""
    return Statement(kind=kind, sql=sql, parameters=(), tables=frozenset({"t"}))


MARIADB = """
select 1; delete from t
with x as (select 1) delete from t
select * into outfile '{file}' from t
select 1 /*!50000 into outfile '{file}' */
/*!50000 delete from t */
select 1 /*M!100000 union select user() */
select sleep(10)
select benchmark(1000000000, md5(1))
select get_lock('intertie-attack', 10)
select * from t for update
select * from t lock in share mode
select @a := 1
handler t open
do sleep(10)
analyze delete from t
set @a = 1
set global max_connections = 1
set session transaction read write
set session max_statement_time = 0
execute immediate 'delete from t'
prepare s from 'delete from t'
kill 1
load data infile '/etc/passwd' into table t
load data local infile '/etc/passwd' into table t
delete from t returning *
replace into t values (1, 'x')
insert into t values (1000, 'x')
commit
rollback; delete from t
lock tables t write
flush tables
create table attack (n int)
create temporary table attack (n int)
drop table t
truncate table t
alter table t add x int
grant all on *.* to current_user()
select * from t limit 1 into @x
select password from t into dumpfile '{file}'
select master_pos_wait('a', 1, 10)
""".strip().splitlines()


async def attack(databases: Databases, external: External, statements: list[str], file: Path) -> None:
    """Every statement, twice in each session: whatever happens, afterwards all is as it was."""
    external.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, name VARCHAR(100));\n")
    external.insert("t", [(number, "x" * 50) for number in range(20)])
    before = external.rows("SELECT n, name FROM t ORDER BY n")
    for sql in statements * 2:
        with suppress(IntertieError):
            await databases.query(external.reader, raw(sql.format(file=file)), {}, CAPS)
    assert external.rows("SELECT n, name FROM t ORDER BY n") == before
    assert not file.exists()


async def test_mariadb(mariadb_external: ExternalMariaDB, databases: Databases, tmp_path: Path) -> None:
    await attack(databases, mariadb_external, MARIADB, tmp_path / "attack")
    file = mariadb_external.rows("SELECT LOAD_FILE('/etc/hostname') IS NULL")
    assert file in ([(0,)], [(1,)])  # whether the server could; the reader may not:
    result = await databases.query(mariadb_external.reader, raw("SELECT load_file('/etc/hostname') AS f"), {}, CAPS)
    assert result.rows_json == b'[{"f":null}]'

    async def nothing_is_left() -> bool:
        user = mariadb_external.reader.db_username
        running = mariadb_external.rows(
            f"SELECT COUNT(*) FROM information_schema.processlist WHERE user = '{user}' AND command <> 'Sleep'"
        )
        return running == [(0,)] and mariadb_external.rows("SELECT IS_FREE_LOCK('intertie-attack')") == [(1,)]

    await eventually(nothing_is_left)
    # and the next caller's session knows nothing of it
    result = await databases.query(
        mariadb_external.reader, raw("SELECT @a AS a, @@tx_read_only AS r, @@max_statement_time AS s"), {}, CAPS
    )
    assert result.rows_json in (b'[{"a":null,"r":0,"s":0.5}]', b'[{"a":null,"r":0,"s":0.500000}]')
    mariadb_external.execute("ALTER TABLE t ADD free INTEGER;\n")  # no lock is kept


POSTGRESQL = """
select 1; delete from t
commit; delete from t; select 1
with x as (delete from t returning *) select * from x
delete from t
insert into t values (1000, 'x')
select * from t for update
select pg_sleep(10)
select pg_read_file('/etc/passwd')
select pg_ls_dir('/')
select lo_import('/etc/passwd')
select lo_export(1, '{file}')
copy t to '{file}'
copy t from '/etc/passwd'
copy t to program 'touch {file}'
select pg_advisory_lock(7)
select pg_terminate_backend(pid) from pg_stat_activity
select pg_reload_conf()
select set_config('statement_timeout', '0', false)
set statement_timeout = 0
set default_transaction_read_only = off
set transaction read write
set session characteristics as transaction read write
begin
commit
rollback
do $$ begin delete from t; end $$
prepare p as delete from t
create table attack (n int)
create temporary table attack (n int)
drop table t
truncate t
lock table t in access exclusive mode
vacuum t
listen x
select dblink_connect('x')
select * from pg_shadow
set role postgres
alter role current_user superuser
explain analyze delete from t
select count(*) from generate_series(1, 100000000000)
select repeat('x', 1000000000)
declare c cursor with hold for select * from t
""".strip().splitlines()


async def test_postgresql(postgresql_external: ExternalPostgreSQL, databases: Databases, tmp_path: Path) -> None:
    await attack(databases, postgresql_external, POSTGRESQL, tmp_path / "attack")
    user = postgresql_external.reader.db_username

    async def nothing_is_left() -> bool:
        running = f"SELECT COUNT(*) FROM pg_stat_activity WHERE usename = '{user}' AND state <> 'idle'"
        locks = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory'"
        return postgresql_external.rows(running) == [(0,)] and postgresql_external.rows(locks) == [(0,)]

    await eventually(nothing_is_left)
    settings = raw("SELECT current_setting('default_transaction_read_only') AS d, current_setting('timezone') AS z")
    result = await databases.query(postgresql_external.reader, settings, {}, CAPS)
    assert result.rows_json == b'[{"d":"off","z":"UTC"}]'
    postgresql_external.execute("ALTER TABLE t ADD free INTEGER;\n")


SQLITE = """
select 1; delete from t
with x as (select 1) delete from t
delete from t
insert into t values (1000, 'x')
pragma table_info(t)
pragma journal_mode=delete
pragma query_only=0
pragma writable_schema=1
attach '{file}' as y
select load_extension('x')
select readfile('/etc/passwd')
select writefile('{file}', 'a')
vacuum into '{file}'
vacuum
select * from pragma_table_info('t')
select * from sqlite_master
select fts3_tokenizer('a')
select zeroblob(1000000000)
select randomblob(1000000000)
select printf('%1000000000d', 1)
select hex(replace(hex(printf('%10000000d', 1)), '0', '0123456789'))
with recursive c(x) as (select 1 union all select x+1 from c) select count(*) from c
begin immediate
commit
savepoint s
create table attack (n int)
create temp table attack (n int)
drop table t
alter table t add x int
reindex
analyze
explain delete from t
detach main
""".strip().splitlines()


async def test_sqlite(sqlite_external: ExternalSQLite, databases: Databases, tmp_path: Path) -> None:
    await attack(databases, sqlite_external, SQLITE, tmp_path / "attack")
    assert sqlite_external.rows("SELECT name FROM sqlite_master WHERE name = 'attack'") == []
    assert sorted(path.name for path in tmp_path.iterdir()) == [Path(sqlite_external.connection.db_name).name]


async def test_a_write_to_sqlite_does_only_what_it_is_said_to(
    sqlite_external: ExternalSQLite, databases: Databases
) -> None:
    sqlite_external.execute(
        "CREATE TABLE t (n INTEGER PRIMARY KEY, name TEXT);\nCREATE TABLE other (n INTEGER);\nCREATE TABLE log (n);\n"
        "CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.n); END;\n"
    )
    for sql, kind in (
        ("DELETE FROM t", "insert"),
        ("INSERT INTO other VALUES (1)", "insert"),
        ("DROP TABLE other", "delete"),
        ("DELETE FROM sqlite_master", "delete"),
        ("PRAGMA writable_schema=1", "update"),
        ("ATTACH ':memory:' AS x", "insert"),
        ("COMMIT", "insert"),
    ):
        with pytest.raises(QueryFailed):
            await databases.query(sqlite_external.connection, raw(sql, kind), {}, CAPS)
    result = await databases.query(sqlite_external.connection, raw("INSERT INTO t VALUES (1, 'x')", "insert"), {}, CAPS)
    assert result.count == 1
    assert sqlite_external.rows("SELECT n FROM log") == [(1,)]


async def test_files_of_the_suite_are_no_external_databases(sqlite_external: ExternalSQLite, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    target = ExternalSQLite.make(own / "ingest.db")
    (tmp_path / "link.db").symlink_to(own / "ingest.db")
    (tmp_path / "hard.db").hardlink_to(own / "ingest.db")
    (tmp_path / "text.db").write_text("no database at all, but long enough to look like one" * 20)
    databases = Databases(Egress(), forbidden_files=[own])
    try:
        paths = [target.connection.db_name, "link.db", "hard.db", "text.db", "none.db", "own", "own/../own/ingest.db"]
        for path in [*paths, "/dev/zero", "relative.db", ":memory:", "file:x?mode=rw", "", "x\0y"]:
            name = str(tmp_path / path) if path in paths else path
            with pytest.raises(ConnectionUnusable) as raised:
                await databases.test(replace(sqlite_external.connection, db_name=name))
            assert str(tmp_path) not in raised.value.message
        await databases.test(sqlite_external.connection)
    finally:
        await databases.close()
        target.close()
