"""One statement under a grant: its kind, its tables, its limit on rows, its parameters, and what is kept of it."""

import pytest

from intertie_ingest.databases.permissions import Permissions
from intertie_ingest.databases.statement_cache import StatementCache
from intertie_ingest.databases.statements import Statement, check_statement, kind_of
from intertie_ingest.errors import ConnectionUnusable, QueryNotPermitted, QueryRefused


def _check(
    sql: str,
    driver: str = "mysql",
    *,
    access: str = "read_write",
    permissions: bytes = b"",
    row_limit: int | None = 10,
) -> Statement:
    return check_statement(
        sql, driver, access=access, permissions=Permissions.of(permissions), row_limit=row_limit, columns=None
    )


_WRITES = ("insert into t (a) values (1)", "update t set a = 1", "delete from t")
_MIXED = (
    "insert into t (a) select b from u",
    "update t set a = (select max(b) from u)",
    "delete from t where a in (select 1)",
)


def test_access_decides_which_kinds_may_run() -> None:
    assert _check("select 1", access="read").kind == "select"
    with pytest.raises(QueryNotPermitted, match="SELECT"):
        _check("select 1", access="write")
    for sql in _WRITES:
        assert _check(sql, access="write").kind == sql.split()[0]
        with pytest.raises(QueryNotPermitted):
            _check(sql, access="read")
    for sql in _MIXED:
        assert _check(sql, access="read_write").kind == sql.split()[0]
        for access in ("read", "write", "", "admin"):
            with pytest.raises(QueryNotPermitted):
                _check(sql, access=access)


def test_permitted_statements_restrict_further() -> None:
    assert _check(_WRITES[1], permissions=b'{"statements": ["update"]}').kind == "update"
    for sql in ("select 1", _WRITES[0], _WRITES[2], _MIXED[1]):
        with pytest.raises(QueryNotPermitted):
            _check(sql, permissions=b'{"statements": ["update"]}')


def test_permissions_that_are_not_understood_permit_nothing() -> None:
    with pytest.raises(QueryNotPermitted, match="not understood"):
        _check("select 1", permissions=b"{")


def test_tables_are_compared_in_any_case_and_found_wherever_they_stand() -> None:
    permissions = b'{"tables": ["Assets", "other.rooms"]}'
    found = _check("with x as (select * from ASSETS) select * from x, Other.Rooms", permissions=permissions)

    assert found.tables == {"assets", "other.rooms"}
    for sql in (
        "select * from rooms",
        "select * from third.assets",
        "select * from other.assets",
        "select (select 1 from rooms)",
        "select * from assets where a in (select b from rooms)",
        "select * from assets union select * from rooms",
        "select * from (select * from (select * from rooms) x) y",
        "select * from assets join (assets a2 join rooms) on 1 = 1",
        "with assets2 as (select * from rooms) select * from assets2",
        "select * from assets order by (select 1 from rooms)",
        "select sum(a) over (order by (select 1 from rooms)) from assets",
        "insert into rooms (a) values (1)",
        "update rooms set a = 1",
        "delete from rooms",
        "update assets set a = (select 1 from rooms)",
    ):
        with pytest.raises(QueryNotPermitted, match="table"):
            _check(sql, permissions=permissions)


def test_other_databases_are_reached_only_when_the_grant_names_them() -> None:
    with pytest.raises(QueryNotPermitted):
        _check("select * from other.t")
    assert _check("select * from other.t", permissions=b'{"tables": ["other.t"]}').tables == {"other.t"}
    # On PostgreSQL a schema is a part of the connection's own database.
    assert _check("select * from other.t", "postgresql").tables == {"other.t"}
    for sql in ("select * from mysql.user", "select * from information_schema.tables"):
        with pytest.raises(QueryRefused):
            _check(sql, permissions=b'{"tables": ["mysql.user", "information_schema.tables"]}')


@pytest.mark.parametrize(
    ("sql", "limit", "expected"),
    [
        ("select a from t", 10, "LIMIT 11"),
        ("select a from t limit 5", 10, "LIMIT 5"),
        ("select a from t limit 11", 10, "LIMIT 11"),
        ("select a from t limit 500", 10, "LIMIT 11"),
        ("select a from t limit 500 offset 7", 10, "LIMIT 11 OFFSET 7"),
        ("select a from t limit 7, 500", 10, "LIMIT 11 OFFSET 7"),
        ("select a from t order by a", 10, "ORDER BY `a` LIMIT 11"),
        ("select a from t union select b from u order by 1", 10, "ORDER BY 1 LIMIT 11"),
        ("(select a from t limit 500)", 10, "LIMIT 11"),
        ("(select 1 limit 50) union (select 2 limit 50)", 10, "(SELECT 2 LIMIT 50) LIMIT 11"),
        ("select a from t", None, "FROM `t`"),
        ("select a from t limit 500", None, "LIMIT 500"),
        ("select a from t limit :n", 10, "LIMIT %s"),
        ("select a.id, b.id from a join b on a.x = b.x", 0, "LIMIT 1"),
        ("with x as (select 1 limit 70) select * from x", 10, "FROM `x` LIMIT 11"),
    ],
)
def test_the_outermost_limit_is_set_or_lowered(sql: str, limit: int | None, expected: str) -> None:
    assert _check(sql, row_limit=limit).sql.endswith(expected)


def test_the_lesser_of_both_limits_counts() -> None:
    assert _check("select 1", permissions=b'{"max_rows": 3}').sql.endswith("LIMIT 4")
    assert _check("select 1", permissions=b'{"max_rows": 300}').sql.endswith("LIMIT 11")
    assert _check("select 1", permissions=b'{"max_rows": 3}', row_limit=None).sql.endswith("LIMIT 4")


@pytest.mark.parametrize(("driver", "expected"), [("mssql", "TOP 11"), ("oracle", "FETCH FIRST 11 ROWS ONLY")])
def test_other_dialects_limit_in_their_own_words(driver: str, expected: str) -> None:
    assert expected in _check("select a from t", driver).sql


def test_limits_that_are_neither_numbers_nor_bound_are_refused() -> None:
    for sql in ("select 1 limit all", "select 1 limit 1 + 1", "select 1 limit (select 1)", "select 1 limit 1.5"):
        with pytest.raises(QueryRefused):
            _check(sql, "postgresql")


_BOUND = "select :a, ':b', \"c:d\" from t where x = :a and y > :b"


@pytest.mark.parametrize(
    ("driver", "placeholders", "names"),
    [
        ("mysql", ["%s", "%s", "%s"], ("a", "a", "b")),
        ("postgresql", ["$1", "$1", "$2"], ("a", "b")),
        ("sqlite", ["?", "?", "?"], ("a", "a", "b")),
        ("mssql", ["?", "?", "?"], ("a", "a", "b")),
        ("oracle", [":1", ":2", ":3"], ("a", "a", "b")),
    ],
)
def test_parameters_become_the_drivers_placeholders(driver: str, placeholders: list[str], names: tuple[str]) -> None:
    found = _check(_BOUND, driver)

    assert found.parameters == names
    assert "':b'" in found.sql
    place = -1
    for placeholder in placeholders:
        place = found.sql.index(placeholder, place + 1)


def test_a_percent_sign_is_doubled_for_mysql_only() -> None:
    sql = "select a % 2, '100%' from t where b like '%x' and c = :c"

    statement = _check(sql)
    assert statement.sql % (1,) == (
        "SELECT `a` % 2 AS `a % 2`, '100%' FROM `t` WHERE `b` LIKE '%x' AND `c` = 1 LIMIT 11"
    )
    assert "%%" not in _check(sql, "sqlite").sql


def test_casts_and_times_are_no_parameters() -> None:
    found = _check("select '12:30:00'::time, a::int, :x::int from t", "postgresql")

    assert found.parameters == ("x",)
    assert "CAST($1 AS INT)" in found.sql


def test_names_keep_their_case_as_the_server_would_look_them_up() -> None:
    assert _check("select Abc, `dEf` from Tab").sql == "SELECT `Abc`, `dEf` FROM `Tab` LIMIT 11"
    assert _check('select Abc, "dEf" from Tab', "postgresql").sql == 'SELECT "abc", "dEf" FROM "tab" LIMIT 11'
    assert _check('select Abc, "dEf" from Tab', "oracle").sql.startswith('SELECT "ABC", "dEf" FROM "TAB"')


def test_a_result_keeps_the_names_of_its_columns() -> None:
    assert "AS `count(*)`" in _check("select count(*) from t").sql
    assert "AS `ifnull(a, 'x')`" in _check("select distinct ifnull(a, 'x'), b from t", "sqlite").sql
    assert 'AS "now"' in _check("select now()", "postgresql").sql
    assert "AS" not in _check("select a, t.b, *, 1, 'x', :c from t").sql


def test_comments_do_not_reach_the_server() -> None:
    assert _check("select /* a */ 1 -- b\n# c\n").sql == "SELECT 1 LIMIT 11"


def test_an_unknown_driver_is_a_fault_of_the_connection() -> None:
    with pytest.raises(ConnectionUnusable):
        _check("select 1", "mongodb")


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("select 1", "select"),
        (" INSERT into t", "insert"),
        ("(update t", "update"),
        ("delete\nfrom t; select 1", "delete"),
        ("with x as (select 1) delete from t", "delete"),
        ("with x as (select 1) select 1", "select"),
        ("drop table t", "select"),
        ("", "select"),
        ("\0" * 50_000, "select"),
    ],
)
def test_the_kind_of_a_refused_statement_is_guessed(sql: str, kind: str) -> None:
    assert kind_of(sql) == kind


def test_what_was_checked_is_kept_for_the_same_question_only() -> None:
    first = _check("select 1 as kept")

    assert _check("select 1 as kept") is first
    assert _check("select 1 as kept", row_limit=11) is not first
    assert _check("select 1 as kept", "sqlite") is not first
    with pytest.raises(QueryNotPermitted):
        _check("select 1 as kept", access="write")
    with pytest.raises(QueryNotPermitted):
        _check("select 1 as kept", permissions=b'{"statements": ["insert"]}')
    statement = "select * from t where 'kept' = 'kept'"
    assert _check(statement, permissions=b'{"columns": {"t": ["a"]}}') != _check(statement)


def test_what_is_kept_is_bounded_in_bytes() -> None:
    cache: StatementCache[str] = StatementCache(most_bytes=10_000)
    for number in range(10):
        cache.put(number, "x", 100)
        cache.get(0)

    assert len(cache) == 4
    assert cache.get(0) == "x"
    assert cache.get(9) == "x"
    assert cache.get(5) is None
    cache.put("large", "x", 1_000_000)
    assert len(cache) == 0
