"""Queries of external databases: caps, time, errors, parameters, writes. On each kind of database alike."""

import asyncio
import random
from dataclasses import replace
from typing import Any

import orjson
import pytest

from external_databases import LOOPBACK, External, ExternalMariaDB, ExternalPostgreSQL
from intertie_ingest.databases.databases import Databases, Result
from intertie_ingest.databases.reading import Caps
from intertie_ingest.databases.statements import Permissions, Statement, check_statement
from intertie_ingest.egress import Egress
from intertie_ingest.errors import (
    AddressNotAllowed,
    ConnectionUnusable,
    ExternalUnavailable,
    QueryFailed,
    QueryRefused,
    QueryTimedOut,
)
from intertie_ingest.external import ExternalConnection
from waiting import eventually

CAPS = Caps(1000, 1_000_000, 5)
# Slow by itself, with nothing that the server could refuse: the cross product of a table with itself, over and over.
SLOW = "SELECT COUNT(*) FROM t a, t b, t c, t d, t e, t f WHERE a.n + b.n + c.n + d.n + e.n + f.n = -1"


def guarded(external: External, sql: str, access: str = "read_write") -> Statement:
    """The statement as it leaves the guard, under a grant for everything."""
    return check_statement(
        sql, external.connection.db_driver, access=access, permissions=Permissions.of(b""), row_limit=1000
    )


def raw(sql: str, kind: Any = "select") -> Statement:
    """A statement that no guard has seen."""
    return Statement(kind=kind, sql=sql, parameters=(), tables=frozenset({"t"}))


def rows(result: Result) -> Any:
    """What the answer holds."""
    return orjson.loads(result.rows_json)


@pytest.fixture
def filled(external: External) -> External:
    """A table of a hundred rows."""
    external.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, name VARCHAR(100));\n")
    external.insert("t", [(number, f"name {number}") for number in range(100)])
    return external


async def ask(databases: Databases, external: External, sql: str, caps: Caps = CAPS, **params: Any) -> Result:
    """Runs guarded SQL with the account that may write."""
    return await databases.query(external.connection, guarded(external, sql), params, caps)


async def test_rows_come_by_name_and_parameter(filled: External, databases: Databases) -> None:
    result = await ask(databases, filled, "SELECT n, name FROM t WHERE n >= :least ORDER BY n LIMIT 2", least=98)
    assert rows(result) == [{"n": 98, "name": "name 98"}, {"n": 99, "name": "name 99"}]
    assert (result.count, result.truncated) == (2, False)


async def test_a_text_is_bound_and_never_pasted(filled: External, databases: Databases) -> None:
    attack = "' OR '1'='1' -- \\' %s $1 ? :x"
    assert rows(await ask(databases, filled, "SELECT n FROM t WHERE name = :name", name=attack)) == []
    result = await ask(databases, filled, "SELECT name FROM t WHERE name LIKE '%9%' AND n < :most", most=50)
    assert [row["name"] for row in rows(result)] == ["name 9", "name 19", "name 29", "name 39", "name 49"]


async def test_the_same_column_twice_keeps_both_values(filled: External, databases: Databases) -> None:
    sql = "SELECT a.n, b.n, a.n + 5 AS n_2 FROM t a JOIN t b ON b.n = a.n + 1 WHERE a.n = 1"
    assert rows(await ask(databases, filled, sql)) == [{"n": 1, "n_3": 2, "n_2": 6}]


@pytest.mark.parametrize(("cap", "count", "truncated"), [(99, 99, True), (100, 100, False), (101, 100, False)])
async def test_the_cap_of_rows(filled: External, databases: Databases, cap: int, count: int, truncated: bool) -> None:
    result = await ask(databases, filled, "SELECT n FROM t", replace(CAPS, rows=cap))
    assert (result.count, result.truncated, len(rows(result))) == (count, truncated, count)


async def test_the_cap_of_bytes(filled: External, databases: Databases) -> None:
    result = await ask(databases, filled, "SELECT n, name FROM t ORDER BY n", replace(CAPS, bytes=300))
    assert result.truncated
    assert 200 < len(result.rows_json) <= 302
    assert [row["n"] for row in rows(result)] == list(range(result.count))
    # the next one gets a session that has nothing of this one
    assert (await ask(databases, filled, "SELECT n FROM t WHERE n = 7")).rows_json == b'[{"n":7}]'


async def test_a_stream_gives_the_same_in_parts(filled: External, databases: Databases) -> None:
    filled.execute("CREATE TABLE wide (n INTEGER PRIMARY KEY, body VARCHAR(16000));\n")
    filled.insert("wide", [(number, f"{number:05d}" * 3000) for number in range(200)])
    statement = guarded(filled, "SELECT n, body FROM wide ORDER BY n")
    parts = [
        part async for part in databases.stream(filled.connection, statement, {}, replace(CAPS, rows=150, bytes=10**8))
    ]
    assert len(parts) > 3
    assert [part.truncated for part in parts] == [False] * (len(parts) - 1) + [True]
    assert [row["n"] for part in parts for row in rows(part)] == list(range(150))
    assert max(len(part.rows_json) for part in parts) < 4_000_000


async def test_a_slow_statement_ends_in_time_and_on_the_server_too(filled: External, databases: Databases) -> None:
    with pytest.raises(QueryTimedOut):
        await databases.query(filled.reader, raw(SLOW), {}, replace(CAPS, seconds=0.3))
    await eventually(lambda: running(filled) == 0)
    assert (await ask(databases, filled, "SELECT n FROM t WHERE n = 7")).count == 1


async def test_a_caller_who_goes_leaves_nothing_behind(filled: External, databases: Databases) -> None:
    caller = asyncio.ensure_future(databases.query(filled.reader, raw(SLOW), {}, replace(CAPS, seconds=60)))
    if filled.connection.db_driver != "sqlite":
        await eventually(lambda: running(filled) == 1)
    else:
        await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await eventually(lambda: running(filled) == 0)


def running(external: External) -> int:
    """How many of the reader's statements the server is at work on."""
    if isinstance(external, ExternalMariaDB):
        sql = (
            "SELECT COUNT(*) FROM information_schema.processlist"
            f" WHERE user = '{external.reader.db_username}' AND command = 'Query'"
        )
    elif isinstance(external, ExternalPostgreSQL):
        sql = (
            "SELECT COUNT(*) FROM pg_stat_activity"
            f" WHERE usename = '{external.reader.db_username}' AND state = 'active'"
        )
    else:
        return 0
    return int(external.rows(sql)[0][0])


async def test_cancelled_callers_never_get_each_others_rows(filled: External, databases: Databases) -> None:
    """A storm of cancellations at random moments; whoever stays gets their own answer."""
    chance = random.Random(7)
    statement = guarded(filled, "SELECT n, name FROM t WHERE n = :n")

    async def one(number: int) -> None:
        caller = asyncio.ensure_future(databases.query(filled.connection, statement, {"n": number}, CAPS))
        if chance.random() < 0.5:
            for _ in range(chance.randrange(40)):
                await asyncio.sleep(0)
            caller.cancel()
        try:
            assert rows(await caller) == [{"n": number, "name": f"name {number}"}]
        except asyncio.CancelledError:
            assert caller.cancelled()

    for start in range(0, 90, 6):
        await asyncio.gather(*(one(number) for number in range(start, start + 6)))
    assert (await ask(databases, filled, "SELECT n FROM t WHERE n = 7")).rows_json == b'[{"n":7}]'


async def test_a_write_commits_and_counts(filled: External, databases: Databases) -> None:
    result = await ask(databases, filled, "UPDATE t SET name = :name WHERE n < 10", name="new")
    assert (result.rows_json, result.count, result.truncated) == (b"[]", 10, False)
    await ask(databases, filled, "INSERT INTO t (n, name) VALUES (:n, :name)", n=100, name=None)
    await ask(databases, filled, "DELETE FROM t WHERE n = 99")
    assert filled.rows("SELECT COUNT(*) FROM t WHERE name = 'new'") == [(10,)]
    assert filled.rows("SELECT n, name FROM t WHERE n > 98") == [(100, None)]


async def test_a_write_of_too_many_rows_changes_none(filled: External, databases: Databases) -> None:
    with pytest.raises(QueryRefused, match="more than 10 rows"):
        await ask(databases, filled, "DELETE FROM t WHERE n < 50", replace(CAPS, rows=10))
    assert filled.rows("SELECT COUNT(*) FROM t") == [(100,)]


async def test_a_write_that_fails_is_rolled_back(filled: External, databases: Databases) -> None:
    with pytest.raises(QueryFailed) as raised:
        await ask(databases, filled, "INSERT INTO t (n, name) VALUES (200, 'x'), (1, :secret)", secret="s3cret value")
    assert "s3cret" not in raised.value.message
    assert filled.rows("SELECT COUNT(*) FROM t") == [(100,)]


async def test_the_account_decides_too(filled: External, databases: Databases) -> None:
    if filled.connection.db_driver == "sqlite":
        pytest.skip("a file has no accounts")
    with pytest.raises(QueryFailed) as raised:
        await databases.query(filled.reader, guarded(filled, "DELETE FROM t WHERE n = 1"), {}, CAPS)
    assert filled.reader.db_username not in raised.value.message
    assert "127.0.0.1" not in raised.value.message


async def test_the_databases_words_reach_the_caller_on_one_line(filled: External, databases: Databases) -> None:
    with pytest.raises(QueryFailed) as raised:
        await ask(databases, filled, "SELECT no_such_column FROM t")
    assert "no_such_column" in raised.value.message
    assert "\n" not in raised.value.message
    assert len(raised.value.message) <= 300


async def test_wrong_parameters_are_named(filled: External, databases: Databases) -> None:
    sql = "SELECT n FROM t WHERE n = :n"
    with pytest.raises(QueryFailed, match="needs a value for :n"):
        await ask(databases, filled, sql)
    with pytest.raises(QueryFailed, match="no parameter :other"):
        await ask(databases, filled, sql, n=1, other=2)
    for value in ([1, 2], {"a": 1}, float("nan"), "\ud800"):
        with pytest.raises(QueryFailed, match="the parameter n must be"):
            await ask(databases, filled, sql, n=value)
    assert rows(await ask(databases, filled, sql, n=None)) == []
    assert rows(await ask(databases, filled, sql, n=5)) == [{"n": 5}]


async def test_the_pool_is_bounded_and_says_so(filled: External) -> None:
    databases = Databases(Egress(), pool_size=1, wait_seconds=0.05)
    try:
        async with databases.session(filled.connection):
            with pytest.raises(ExternalUnavailable, match="all 1 connections") as raised:
                await ask(databases, filled, "SELECT n FROM t WHERE n = 1")
        assert raised.value.retry_after
        await eventually(lambda: ask(databases, filled, "SELECT n FROM t WHERE n = 1"))
    finally:
        await databases.close()


async def test_a_changed_connection_gets_a_pool_of_its_own(filled: External, databases: Databases) -> None:
    await ask(databases, filled, "SELECT n FROM t WHERE n = 1")
    before = databases._pool(filled.connection)
    await databases.keep([replace(filled.connection)])
    assert databases._pool(filled.connection) is before
    changed = replace(filled.connection, options={**filled.connection.options, "statement_seconds": 7})
    await databases.keep([changed])
    assert (await databases.query(changed, guarded(filled, "SELECT n FROM t WHERE n = 1"), {}, CAPS)).count == 1
    assert databases._pool(changed) is not before
    await eventually(lambda: not databases._retired)
    with pytest.raises(ExternalUnavailable):
        async with before.session(tidy=False):
            pass


async def test_columns_of_tables_that_are_there(filled: External, databases: Databases) -> None:
    assert await databases.columns(filled.reader, ["t", "T", "nothing", "a.b.c"]) == {
        "t": ["n", "name"],
        "T": ["n", "name"],
    }


async def test_trying_a_connection(filled: External, databases: Databases) -> None:
    await databases.test(filled.connection)
    if filled.connection.db_driver == "sqlite":
        wrong = [replace(filled.connection, db_name=filled.connection.db_name + "x")]
    else:
        wrong = [
            replace(filled.connection, db_password="wrong"),
            replace(filled.connection, db_name="no_such_database"),
            replace(filled.connection, options={**filled.connection.options, "tls": "perhaps"}),
            replace(filled.connection, db_driver="access"),
            replace(filled.connection, problem="config_json is no object"),
        ]
        with pytest.raises(AddressNotAllowed):
            await databases.test(replace(filled.connection, options={}))
        with pytest.raises(ExternalUnavailable) as raised:
            await databases.test(replace(filled.connection, db_port=1))
        assert "127.0.0.1" not in raised.value.message
    for connection in wrong:
        with pytest.raises(ConnectionUnusable) as unusable:
            await databases.test(connection)
        assert "wrong" not in unusable.value.message


@pytest.mark.parametrize("driver", ["mssql", "oracle"])
async def test_a_driver_that_is_not_installed_says_what_to_install(databases: Databases, driver: str) -> None:
    connection = ExternalConnection(
        5, 1, "x", "database", db_driver=driver, db_host="127.0.0.1", db_name="x", options=LOOPBACK
    )
    with pytest.raises(ConnectionUnusable, match=f"intertie-ingest.{driver}"):
        await databases.test(connection)
