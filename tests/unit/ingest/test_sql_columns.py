"""Columns that a grant does not permit are not read, compared with or written, whatever the statement says."""

import sqlite3
from contextlib import closing

import pytest

from intertie_ingest.databases.permissions import Permissions
from intertie_ingest.databases.statements import Statement, check_statement, tables_needing_columns
from intertie_ingest.errors import QueryNotPermitted, QueryRefused

_PERMISSIONS = Permissions.of(b'{"columns": {"people": ["id", "name"]}}')
_COLUMNS = {"people": ["id", "pin", "Name"]}

_READS = """
    select * from people
    select people.* from people
    select p.* from people p
    select people from people
    select pin from people
    select "pin" from people
    select [PIN] from people
    select p.pin from people p
    select max(pin) from people
    select id from people order by pin
    select id from people where pin > 1
    select id from people group by pin
    select count(*) from people group by id having max(pin) > 4000
    select row_number() over (order by pin) from people
    select id as pin from people order by pin
    select * from people natural join rooms
    select rooms.pin from rooms natural join people
    select rooms.pin from rooms join people using (pin)
    select rooms.pin from rooms join people on rooms.pin = people.pin
    select (select pin from people) from rooms
    select (select max(p.pin) from people p) from rooms
    select r.pin from rooms r where exists (select 1 from people p where p.pin = r.pin)
    select r.pin from rooms r where exists (select 1 from people where people.pin = r.pin)
    select r.pin from rooms r where r.pin in (select pin from people)
    select * from (select * from people) x
    select x.pin from (select * from people) x
    with x as (select * from people) select * from x
    with x as (select pin from people) select * from x
    with x(a, b, c) as (select * from people) select c from x
    select * from rooms union select * from people
    select pin from rooms union select pin from people
    select id, name from people union select pin, pin from people
    select x.* from rooms, people x
    select * from rooms left join people on 1 = 1
    select p.rowid from people p
    select rowid from people
    select oid, _rowid_ from people
    select people.oid from people, rooms
    select json_group_array(pin) from people
    select json_object('a', pin) from people
    select 1 from people where (id, pin) in (select 1, 4711)
    select p.pin from people p, (select 1 as pin) p2
    select case when pin = 4711 then 1 else 0 end from people
    select iif(pin = 4711, 1, 0) from people
    select id from people limit (select pin from people)
"""


def _check(
    sql: str, driver: str = "sqlite", permissions: Permissions = _PERMISSIONS, access: str = "read_write"
) -> Statement:
    return check_statement(sql, driver, access=access, permissions=permissions, row_limit=100, columns=_COLUMNS)


def _rows(pin: int) -> list[object]:
    """What all of the statements give, with this value in the column that is not permitted."""
    found: list[object] = []
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("create table people (id integer, pin integer primary key, Name)")
        database.execute("create table rooms (id integer, pin integer, seats)")
        database.execute("insert into people values (1, ?, 'Ada')", [pin])
        database.execute("insert into rooms values (1, 4711, 20)")
        for line in _READS.strip().splitlines():
            try:
                found.append(database.execute(_check(line.strip()).sql).fetchall())
            except (QueryRefused, QueryNotPermitted, sqlite3.OperationalError) as error:
                found.append(type(error))
    return found


def test_no_answer_depends_on_a_column_that_is_not_permitted() -> None:
    answers = _rows(4711)

    assert answers == _rows(4242)
    # Not all are refused: a star gives what is permitted.
    assert answers[0] == [(1, "Ada")]


@pytest.mark.parametrize("driver", ["mysql", "postgresql", "sqlite"])
def test_a_restricted_table_is_replaced_by_its_permitted_columns_in_its_own_order(driver: str) -> None:
    sql = _check("select * from people p", driver).sql.replace("`", '"')

    assert sql == 'SELECT * FROM (SELECT "id", "Name" FROM "people") AS "p" LIMIT 101'


def test_plain_uses_of_such_a_column_are_refused_with_its_name() -> None:
    for sql in (
        "select pin from people",
        "select p.pin from people p join rooms r on r.id = p.id",
        "select id from people where pin = 1",
        "select id from people order by pin",
        "select r.id from rooms r where exists (select 1 from people p where p.pin = r.id)",
    ):
        with pytest.raises(QueryNotPermitted, match="column pin"):
            _check(sql)


def test_permitted_columns_and_other_tables_stay_usable() -> None:
    for sql in (
        "select id, p.name as n from people p where p.id = 1 order by n",
        "select r.anything from rooms r join people p on p.id = r.id",
        "with x as (select id as y from people) select y from x",
        "select x.z from (select id as z from people) x",
        "select anything from rooms",
    ):
        assert _check(sql).kind == "select"


@pytest.mark.parametrize(
    "sql",
    [
        "update people set pin = 1",
        "update people set name = pin",
        "update people set name = 'x' where pin = 1",
        "update people set name = 'x' where people.pin = 1",
        "update people p set name = 'x' where p.pin = 1",
        "update people set name = (select max(pin) from rooms)",
        "update people set name = 'x' where exists (select 1 from rooms where rooms.id = pin)",
        "update people set name = 'x' order by pin limit 1",
        "delete from people where pin = 1",
        "delete from people where id in (select id from rooms where seats = pin)",
        "insert into people values (1, 2, 'x')",
        "insert into people (id, pin) values (1, 2)",
        "insert into people (id, name) values (1, pin)",
        "insert into people select * from rooms",
        "insert into rooms (id) select pin from people",
        "insert into rooms (id) select p.pin from people p",
    ],
)
def test_such_columns_are_not_written_and_decide_nothing(sql: str) -> None:
    with pytest.raises((QueryNotPermitted, QueryRefused)):
        _check(sql, "mysql")


def test_permitted_columns_are_written() -> None:
    for sql in (
        "update people set name = :name where id = 1",
        "insert into people (id, name) values (1, 'x')",
        "delete from people where id = 1",
        "insert into rooms (id) select id from people",
        "update rooms set seats = (select max(id) from people)",
    ):
        assert _check(sql, "mysql").kind == sql.split()[0]


def test_a_schema_does_not_get_round_the_restriction() -> None:
    sql = _check("select * from public.people", "postgresql").sql

    assert sql.startswith('SELECT * FROM (SELECT "id", "name" FROM "public"."people") AS "people"')
    with pytest.raises(QueryNotPermitted):
        _check("select pin from public.people", "postgresql")
    with pytest.raises(QueryRefused):
        _check("select public.people.pin from public.people", "postgresql")


def test_a_table_without_permitted_columns_cannot_be_read() -> None:
    with pytest.raises(QueryNotPermitted, match="no column"):
        _check("select 1 from people", permissions=Permissions.of(b'{"columns": {"people": []}}'))


def test_only_restricted_tables_need_their_columns_known() -> None:
    sql = "select * from people p join rooms r on r.id = p.id"

    assert tables_needing_columns(sql, "mysql", _PERMISSIONS) == {"people"}
    assert tables_needing_columns("select * from rooms", "mysql", _PERMISSIONS) == frozenset()
    assert tables_needing_columns("nonsense", "mysql", Permissions()) == frozenset()
    with pytest.raises(QueryRefused):
        tables_needing_columns("nonsense", "mysql", _PERMISSIONS)
