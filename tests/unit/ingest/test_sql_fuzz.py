"""Whatever stands in a statement, the guard answers with one harmless statement, or with one of its refusals."""

import string

import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from intertie_ingest.databases.dialects import dialect_of
from intertie_ingest.databases.permissions import Permissions
from intertie_ingest.databases.rendering import check_text, tokens_written
from intertie_ingest.databases.statements import check_statement, kind_of
from intertie_ingest.errors import QueryNotPermitted, QueryRefused

_PIECES = """
    select from where t u a b as join on using natural left union all with x ( ) ( ) , , . * = < > - + / % ; ; :a :b 1 2
    'c' "d" `e` null not and or in exists case when then else end cast int group by order limit 5 offset having count
    sum over partition distinct insert into values update set delete returning into outfile '/tmp/x' for lock share
    mode sleep pg_sleep load_file load_extension version procedure analyse -- # /* */ /*! @ @@ $ ? \\ :: -> ->> | & ~
    E'f' $$ U& table recursive lateral unnest generate_series pragma mysql . information_schema . sqlite_master pg_class
    interval day date '2020-01-01' between like is true default array any row filter within [ ] ||
"""
_WORDS = _PIECES.split()

_SOUP = st.lists(st.sampled_from(_WORDS), max_size=30).map(" ".join)
_GLUED = st.lists(st.sampled_from([*_WORDS, " ", "\n", "\r", "\t"]), max_size=30).map("".join)
_TEXTS = st.text(alphabet=string.printable + "é\0\u3000\u2028\ud800K", max_size=60)
_SQL = st.one_of(
    _SOUP,
    _SOUP.map("select {}".format),
    _SOUP.map("select a from t where {}".format),
    st.tuples(_SOUP, _SOUP).map(lambda parts: f"with x as (select {parts[0]}) select {parts[1]}"),
    _GLUED.map("select {}".format),
    _TEXTS.map("select {}".format),
    _TEXTS.map("select '{}'".format),
    _TEXTS,
)
_DRIVERS = st.sampled_from(["mysql", "postgresql", "sqlite", "mssql", "oracle"])
_PERMISSIONS = st.sampled_from([b"", b'{"columns": {"t": ["a"]}}', b'{"tables": ["t"], "max_rows": 2}', b"{"])
_FORBIDDEN = (exp.Command, exp.Into, exp.Lock, exp.Anonymous, exp.Lateral, exp.Unnest, exp.Returning)


@settings(max_examples=600, deadline=None)
@given(_SQL, _DRIVERS, _PERMISSIONS, st.sampled_from(["read", "write", "read_write"]))
def test_the_guard_answers_or_refuses(sql: str, driver: str, permissions: bytes, access: str) -> None:
    assert kind_of(sql) in ("select", "insert", "update", "delete")
    try:
        found = check_statement(
            sql, driver, access=access, permissions=Permissions.of(permissions), row_limit=10, columns={"t": ["a", "b"]}
        )
    except (QueryRefused, QueryNotPermitted):
        return

    dialect = dialect_of(driver)
    names = iter(found.parameters)
    text = found.sql
    if driver == "mysql":
        text = text % tuple(f":{name}" for name in names)
    elif found.parameters:
        return
    check_text(tokens_written(text, dialect), found.kind, dialect)
    trees = sqlglot.parse(text, dialect=dialect.sqlglot)
    assert len(trees) == 1
    assert trees[0] is not None
    assert access != "read" or isinstance(trees[0], exp.Query)
    assert not any(isinstance(node, _FORBIDDEN) for node in trees[0].walk() if node.name.upper() != "NOW")


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="abc'\"`[]% :;-#/*é", max_size=30), _DRIVERS)
def test_a_text_arrives_as_it_was_written(value: str, driver: str) -> None:
    quoted = "'" + value.replace("'", "''") + "'"
    found = check_statement(
        f"select {quoted} as x", driver, access="read", permissions=Permissions(), row_limit=None, columns=None
    )

    text = found.sql % () if driver == "mysql" else found.sql
    assert found.parameters == ()
    assert f"SELECT {quoted} AS" in text


@settings(max_examples=300, deadline=None)
@given(
    st.text(alphabet="abAB'\"`% :;-#/*é", min_size=1, max_size=20).filter(str.strip),
    st.sampled_from(["mysql", "postgresql"]),
)
def test_a_quoted_name_arrives_as_it_was_written(value: str, driver: str) -> None:
    quote = "`" if driver == "mysql" else '"'
    quoted = quote + value.replace(quote, quote * 2) + quote
    found = check_statement(
        f"select {quoted} from t", driver, access="read", permissions=Permissions(), row_limit=None, columns=None
    )

    assert (found.sql % () if driver == "mysql" else found.sql) == f"SELECT {quoted} FROM {quote}t{quote}"
