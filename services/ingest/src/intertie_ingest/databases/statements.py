"""The guard before external databases: one statement that a grant allows, written anew for the driver; or a refusal.

In this order: the text is read into tokens (`lexing.py`), parsed, made of allowed nodes only (`nodes.py`), reads and
writes permitted tables only (`references.py`) and of those the permitted columns (`column_rules.py`), gives no more
rows than it may (`row_limits.py`), and is written again and looked at once more (`rendering.py`). It is one layer: the
database account and a transaction that only reads are others, and what they cannot refuse is refused here.
"""

import logging
from dataclasses import dataclass
from typing import Literal

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError

from intertie_ingest.databases import row_limits
from intertie_ingest.databases.column_rules import Columns, restrict_reads, restrict_writes, restricted
from intertie_ingest.databases.dialects import Dialect, dialect_of
from intertie_ingest.databases.lexing import Token, check_words, tokens_of, without_comments
from intertie_ingest.databases.nodes import check_nodes
from intertie_ingest.databases.parse_costs import check_cost
from intertie_ingest.databases.permissions import Permissions, folded
from intertie_ingest.databases.references import Reference, check_dots, check_tables, qualifying, references_of
from intertie_ingest.databases.rendering import check_text, for_driver, quote_names, tokens_written, written
from intertie_ingest.databases.result_names import keep_names
from intertie_ingest.databases.statement_cache import StatementCache
from intertie_ingest.errors import QueryNotPermitted, QueryRefused

StatementKind = Literal["select", "insert", "update", "delete"]

_KINDS: tuple[tuple[tuple[type[exp.Expr], ...], StatementKind], ...] = (
    ((exp.Select, exp.SetOperation, exp.Subquery), "select"),
    ((exp.Insert,), "insert"),
    ((exp.Update,), "update"),
    ((exp.Delete,), "delete"),
)


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that may be run."""

    kind: StatementKind
    #: with the driver's placeholders: `%s` and `%%` for mysql, `$1` for postgresql, `:1` for oracle, else `?`
    sql: str
    #: names of the parameters, in the order of the values to send
    parameters: tuple[str, ...]
    #: folded, `table` or `schema.table`
    tables: frozenset[str]


# It logs statements that it does not understand, and values stand in them.
logging.getLogger("sqlglot").disabled = True

_checked: StatementCache[Statement] = StatementCache()


def check_statement(
    sql: str,
    driver: str,
    *,
    access: str,
    permissions: Permissions,
    row_limit: int | None,
    columns: Columns | None = None,
) -> Statement:
    """The statement as it may be run under a grant of this access (`read`, `write` or `read_write`).

    A query gives at most `row_limit` rows, or the grant's `max_rows` when that is less, and one more, by which the
    caller sees that there are more; except where its LIMIT is bound as a parameter. Raises QueryRefused for what nobody
    may run, QueryNotPermitted for what the grant does not cover, ConnectionUnusable for a driver that there is not.
    """
    permissions.check_open()
    rows = min((limit for limit in (row_limit, permissions.max_rows) if limit is not None), default=None)
    real = tuple((table, tuple(names)) for table, names in (columns or {}).items())
    key = (sql, driver, access, permissions, rows, real)
    found = _checked.get(key)
    if found is None:
        found = _check(sql, dialect_of(driver), access, permissions, rows, columns)
        _checked.put(key, found, len(sql) + len(found.sql))
    return found


def tables_needing_columns(sql: str, driver: str, permissions: Permissions) -> frozenset[str]:
    """The tables in the statement, folded, whose real columns `check_statement` has to know; mostly none.

    Raises QueryRefused, ConnectionUnusable.
    """
    dialect = dialect_of(driver)
    # PostgreSQL calls a function by a dot behind a row: which names are columns has to be known.
    calls_by_dot = driver == "postgresql" and permissions.tables is not None and "." in sql
    if not permissions.columns and not calls_by_dot:
        return frozenset()
    tree = _parsed(_tokens(sql, dialect), dialect)
    check_nodes(tree, driver)
    quote_names(tree, dialect)
    references = references_of(tree, dialect)
    needed = list(restricted(references, permissions))
    if calls_by_dot:
        check_tables(references, permissions, dialect)
        needed += qualifying(tree, references)
    return frozenset(reference.name for reference in needed)


def _check(
    sql: str, dialect: Dialect, access: str, permissions: Permissions, rows: int | None, columns: Columns | None
) -> Statement:
    tokens = _tokens(sql, dialect)
    tree = _parsed(tokens, dialect)
    check_nodes(tree, dialect.driver)
    kind = _kind(tree)
    _check_access(tree, kind, access, permissions)
    quote_names(tree, dialect)
    references = references_of(tree, dialect)
    check_tables(references, permissions, dialect)
    if columns is not None and dialect.driver == "postgresql":
        check_dots(tree, references, columns)
    if kind != "select":
        target = _target(tree, references)
        restrict_writes(tree, target, permissions)
        # The query of an INSERT cannot see the table that it goes into.
        seen = [other for other in references if other is not target] if kind == "insert" else references
        restrict_reads(tree, seen, permissions, columns, dialect, target)
    else:
        restrict_reads(tree, references, permissions, columns, dialect)
        keep_names(tree, sql, tokens, dialect)
        row_limits.limit(tree, None if rows is None else rows + 1, dialect)
    try:
        text = written(tree, dialect)
        words = tokens_written(text, dialect)
        # A sign may be written as a call, and so a chain as calls in calls.
        check_cost(words, dialect)
        check_text(words, kind, dialect)
        is_same = _reads_the_same(text, tree, dialect)
    except QueryRefused:
        raise
    except Exception:
        # Of any kind: on odd trees the parser's faults come out as they happen.
        is_same = False
    if not is_same:
        raise QueryRefused("The statement cannot be written again so that it means the same; put it more simply.")
    final, names = for_driver(text, words, dialect)
    return Statement(kind, final, names, frozenset(reference.name for reference in references))


def _reads_the_same(text: str, tree: exp.Expr, dialect: Dialect) -> bool:
    """Whether the written text is read as the tree; where one thing has two nodes, as an allowed one with that text."""
    again = sqlglot.parse(text, dialect=dialect.sqlglot)
    if len(again) != 1 or again[0] is None:
        return False
    if again[0] == tree:
        return True
    check_nodes(again[0], dialect.driver)
    return _names(again[0], dialect) == _names(tree, dialect) and written(again[0], dialect) == text


def _names(tree: exp.Expr, dialect: Dialect) -> list[str]:
    return [reference.name for reference in references_of(tree, dialect)]


def _tokens(sql: str, dialect: Dialect) -> list[Token]:
    tokens = tokens_of(sql, dialect)
    if tokens and tokens[-1].text == ";":
        tokens.pop()
    if not tokens:
        raise QueryRefused("There is no statement.")
    if any(token.text == ";" and token.kind == "operator" for token in tokens):
        raise QueryRefused("Only one statement may be run.")
    check_words(tokens)
    check_cost(tokens, dialect)
    return tokens


def _parsed(tokens: list[Token], dialect: Dialect) -> exp.Expr:
    try:
        trees = sqlglot.parse(without_comments(tokens, dialect), dialect=dialect.sqlglot)
    except ParseError as error:
        where = error.errors[0] if error.errors else {}
        column = where.get("col")
        raise QueryRefused(
            "The statement cannot be understood" + (f", near {str(where['highlight'])[:64]}." if column else ".")
        ) from None
    except QueryRefused:
        raise
    except Exception:
        # Of any kind: on odd texts the parser's faults come out as they happen (an AttributeError, a RecursionError).
        raise QueryRefused("The statement cannot be understood.") from None
    if len(trees) != 1 or trees[0] is None:
        raise QueryRefused("Only one statement may be run.")
    return _bare(trees[0], dialect)


def _bare(tree: exp.Expr, dialect: Dialect) -> exp.Expr:
    """Without brackets around all of it, which SQLite does not know, and without MySQL's table of no rows."""
    while isinstance(tree, exp.Subquery) and tree.is_wrapper:
        tree = tree.this
        tree.pop()
    for source in [table.parent for table in tree.find_all(exp.Table) if folded(table.name) == "dual"]:
        if isinstance(source, exp.From) and source.this.sql().lower() == "dual" and dialect.driver == "mysql":
            source.pop()
    return tree


def _kind(tree: exp.Expr) -> StatementKind:
    for types, kind in _KINDS:
        if isinstance(tree, types):
            return kind
    raise QueryRefused("Only SELECT, INSERT, UPDATE and DELETE may be run.")


def _check_access(tree: exp.Expr, kind: StatementKind, access: str, permissions: Permissions) -> None:
    needed = {kind}
    if kind != "select" and tree.find(exp.Select, exp.SetOperation) is not None:
        needed.add("select")
    reads, writes = access in ("read", "read_write"), access in ("write", "read_write")
    for statement in sorted(needed):
        if not (reads if statement == "select" else writes):
            raise QueryNotPermitted(f"The module's grant to {access[:16]} does not permit {statement.upper()}.")
        if permissions.statements is not None and statement not in permissions.statements:
            raise QueryNotPermitted(f"The module's grant does not permit {statement.upper()}.")


def _target(tree: exp.Expr, references: list[Reference]) -> Reference:
    table = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    for reference in references:
        if reference.node is table and not table.args.get("joins"):
            return reference
    raise QueryRefused("A statement that writes names the one table that it writes to.")


def kind_of(sql: str) -> str:
    """The best guess of a statement's kind, for the log of one that was refused; `select` when nobody can tell."""
    words = folded(sql[:32768]).replace("(", " ").split()
    if words[:1] == ["with"]:
        words = [word for word in words if word in ("insert", "update", "delete")]
    return words[0] if words and words[0] in ("insert", "update", "delete") else "select"
