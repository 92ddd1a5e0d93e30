"""Values of every type, as JSON: what the external database holds is what the caller reads."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from external_databases import ExternalMariaDB, ExternalPostgreSQL, ExternalSQLite
from intertie_ingest.databases.databases import Databases
from intertie_ingest.databases.reading import Caps
from intertie_ingest.databases.statements import Statement
from intertie_ingest.errors import ExternalInvalid, QueryFailed

CAPS = Caps(1000, 1_000_000, 5)


def raw(sql: str, *names: str) -> Statement:
    """A statement that no guard has seen."""
    return Statement(kind="select", sql=sql, parameters=names, tables=frozenset())


async def shown(databases: Databases, external: Any, sql: str) -> list[str]:
    """The JSON of each row's column `v`."""
    rows = (await databases.query(external.reader, raw(sql), {}, CAPS)).rows_json.decode()
    return [] if rows == "[]" else [row.removesuffix("}") for row in rows[1:-1].split('{"v":')[1:]]


async def one(databases: Databases, external: Any, expression: str) -> str:
    """The JSON of one value."""
    return (await shown(databases, external, f"SELECT {expression} AS v"))[0]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("DECIMAL(65,30)", "12345678901234567890.123456789012345678901234567890", None),
        ("DECIMAL(10,2)", "-0.50", None),
        ("BIGINT UNSIGNED", "18446744073709551615", None),
        ("BIGINT", "-9223372036854775808", None),
        ("TINYINT(1)", "1", None),
        ("DOUBLE", "0.1", None),
        ("FLOAT", "0.1", None),
        ("DATE", "'2024-02-29'", '"2024-02-29"'),
        ("DATE", "'0000-00-00'", "null"),
        ("DATETIME", "'2024-02-29 23:59:59'", '"2024-02-29T23:59:59"'),
        ("DATETIME(6)", "'2024-02-29 23:59:59.000001'", '"2024-02-29T23:59:59.000001"'),
        ("DATETIME", "'0000-00-00 00:00:00'", "null"),
        ("TIME(3)", "'-838:59:58.5'", '"-838:59:58.500000"'),
        ("TIME", "'25:00:00'", '"25:00:00"'),
        ("YEAR", "2024", None),
        ("BIT(12)", "b'100000000001'", "2049"),
        ("VARBINARY(9)", "x'00ff'", '"AP8="'),
        ("BLOB", "x'c328'", '"wyg="'),
        ("JSON", "'{\"a\": [1, 2]}'", '"{\\"a\\": [1, 2]}"'),
        ("VARCHAR(20)", "'it''s \U0001f600'", '"it\'s \U0001f600"'),
        ("VARCHAR(20) CHARACTER SET latin1", "'é'", '"é"'),
        ("ENUM('a','b')", "'b'", '"b"'),
        ("SET('a','b')", "'a,b'", '"a,b"'),
        ("INT", "NULL", "null"),
    ],
)
async def test_types_of_mariadb(
    mariadb_external: ExternalMariaDB, databases: Databases, kind: str, value: str, expected: str | None
) -> None:
    mariadb_external.execute(f"SET sql_mode='';\nCREATE TABLE t (v {kind} NULL);\nINSERT INTO t VALUES ({value});\n")
    assert await shown(databases, mariadb_external, "SELECT v FROM t") == [expected or value]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("12345678901234567890.12345678901234567890::numeric", "12345678901234567890.12345678901234567890"),
        ("1e30::numeric", "1" + "0" * 30),
        ("'NaN'::numeric", "null"),
        ("'Infinity'::float8", "null"),
        ("0.1::float4", "0.1"),
        ("(2^62)::int8 * 2 - 1 + (2^62)::int8", None),
        ("9223372036854775807::int8", "9223372036854775807"),
        ("true", "true"),
        ("date '2024-02-29'", '"2024-02-29"'),
        ("date 'infinity'", '"infinity"'),
        ("timestamp '2024-02-29 23:59:59.5'", '"2024-02-29T23:59:59.500000"'),
        ("timestamptz '2024-02-29 23:59:59+02'", '"2024-02-29T21:59:59Z"'),
        ("timestamptz '-infinity'", '"-infinity"'),
        ("time '12:00:00'", '"12:00:00"'),
        ("timetz '12:00:00+02'", '"12:00:00+02:00"'),
        ("interval '1 year 2 months 3 days 04:05:06.7'", '"P1Y2M3DT4H5M6.7S"'),
        ("'\\x00ff'::bytea", '"AP8="'),
        ('\'{"b": 1.10,  "a": [null]}\'::json', '{"b": 1.10,  "a": [null]}'),
        ('\'{"b": 1.10, "a": [null]}\'::jsonb', '{"a": [null], "b": 1.10}'),
        ("ARRAY[1.50, NULL]::numeric[]", "[1.50,null]"),
        ("ARRAY['{}'::jsonb]", "[{}]"),
        ("ARRAY[[1,2],[3,4]]", "[[1,2],[3,4]]"),
        ("'0e37df36-f698-11e6-8dd4-cb9ced3df976'::uuid", '"0e37df36-f698-11e6-8dd4-cb9ced3df976"'),
        ("'10.0.0.1/8'::inet", '"10.0.0.1/8"'),
        ("'[1,5)'::int4range", '"[1,5)"'),
        ("'empty'::int4range", '"empty"'),
        ("B'101'", '"101"'),
        ("NULL::int", "null"),
        ("ROW(1, 'x')", '[1,"x"]'),
    ],
)
async def test_types_of_postgresql(
    postgresql_external: ExternalPostgreSQL, databases: Databases, expression: str, expected: str | None
) -> None:
    if expected is None:
        with pytest.raises(QueryFailed):
            await one(databases, postgresql_external, expression)
    else:
        assert await one(databases, postgresql_external, expression) == expected


async def test_what_python_has_no_date_for_is_said(
    postgresql_external: ExternalPostgreSQL, databases: Databases
) -> None:
    with pytest.raises(ExternalInvalid):
        await one(databases, postgresql_external, "date '0044-03-15 BC'")
    assert await one(databases, postgresql_external, "1") == "1"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("9223372036854775807", "9223372036854775807"),
        ("0.1", "0.1"),
        ("1e999", "null"),
        ("x'00ff'", '"AP8="'),
        ("NULL", "null"),
        ("CAST(x'61c328' AS TEXT)", '"a�("'),
        ("'{\"a\":1}'", '"{\\"a\\":1}"'),
    ],
)
async def test_types_of_sqlite(
    sqlite_external: ExternalSQLite, databases: Databases, expression: str, expected: str
) -> None:
    assert await one(databases, sqlite_external, expression) == expected


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("int4", 5, "5"),
        ("int4", "5", "5"),
        ("int8", 2**63 - 1, str(2**63 - 1)),
        ("text", 5, '"5"'),
        ("numeric", "0.10", "0.10"),
        ("float8", 0.5, "0.5"),
        ("float4", 0.1, "0.1"),
        ("bool", True, "true"),
        ("date", "2024-02-29", '"2024-02-29"'),
        ("timestamp", "2024-02-29T12:00:00+02:00", '"2024-02-29T10:00:00"'),
        ("timestamptz", "2024-02-29T12:00:00", '"2024-02-29T12:00:00Z"'),
        ("interval", "P1M", '"P1M"'),
        ("uuid", "0e37df36-f698-11e6-8dd4-cb9ced3df976", '"0e37df36-f698-11e6-8dd4-cb9ced3df976"'),
        ("bytea", "AP8=", '"AP8="'),
        ("jsonb", '{"a": 1}', '{"a": 1}'),
        ("inet", "10.0.0.1", '"10.0.0.1"'),
        ("int4", None, "null"),
    ],
)
async def test_parameters_fit_the_types_of_postgresql(
    postgresql_external: ExternalPostgreSQL, databases: Databases, kind: str, given: Any, expected: str
) -> None:
    statement = raw(f"SELECT $1::{kind} AS v", "p")
    result = await databases.query(postgresql_external.reader, statement, {"p": given}, CAPS)
    assert result.rows_json.decode() == f'[{{"v":{expected}}}]'


@pytest.mark.parametrize(
    ("kind", "given"),
    [("int4", 2**31), ("int8", 2**63), ("int4", 1.5), ("date", "soon"), ("uuid", "x"), ("bytea", "%"), ("jsonb", "{")],
)
async def test_a_parameter_that_does_not_fit_is_named_and_not_repeated(
    postgresql_external: ExternalPostgreSQL, databases: Databases, kind: str, given: Any
) -> None:
    statement = raw(f"SELECT $1::{kind} AS v", "secret_number")
    with pytest.raises(QueryFailed, match="secret_number must be") as raised:
        await databases.query(postgresql_external.reader, statement, {"secret_number": given}, CAPS)
    assert str(given) not in raised.value.message


async def test_a_number_beyond_64_bits(mariadb_external: ExternalMariaDB, databases: Databases) -> None:
    statement = raw("SELECT %s + 0 AS v, %s AS p", "n", "p")
    result = await databases.query(mariadb_external.reader, statement, {"n": 2**70, "p": "100%"}, CAPS)
    assert result.rows_json == b'[{"v":1180591620717411303424,"p":"100%"}]'


@pytest.mark.parametrize("kind", ["mariadb", "postgresql"])
async def test_a_connection_that_the_server_has_cut_is_replaced(
    request: pytest.FixtureRequest, databases: Databases, kind: str
) -> None:
    external = request.getfixturevalue(f"{kind}_external")
    await one(databases, external, "1")
    pool = databases._pool(external.reader)
    while pool._endings:
        await asyncio.wait(set(pool._endings))
    pool._idle[:] = [(session, 0.0) for session, _ in pool._idle]
    assert pool._idle
    if kind == "mariadb":
        user = external.reader.db_username
        for (thread,) in external.rows(f"SELECT id FROM information_schema.processlist WHERE user = '{user}'"):
            external.execute(f"KILL {thread};\n")
    else:
        user = external.reader.db_username
        external.rows(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{user}'")
    assert await one(databases, external, "1") == "1"


async def test_tls_is_asked_for_and_never_left_out(
    postgresql_external: ExternalPostgreSQL, mariadb_external: ExternalMariaDB, databases: Databases
) -> None:
    """Neither server here has a certificate: a connection that wants TLS must fail rather than go on without."""
    for external in (postgresql_external, mariadb_external):
        options = {**external.reader.options, "tls": "require"}
        with pytest.raises(Exception, match=r"TLS|cannot be reached|SSL"):
            await databases.test(replace(external.reader, options=options))
