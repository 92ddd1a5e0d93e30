"""What the names in a statement mean: which are tables of the database, which are the statement's own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from intertie_ingest.databases.dialects import Dialect
from intertie_ingest.databases.permissions import Permissions, folded
from intertie_ingest.errors import QueryNotPermitted, QueryRefused

MOST_TABLES = 64
"""Tables and queries in one statement; MariaDB and MySQL join 61 tables at most."""

_SYSTEM_SCHEMAS = frozenset(
    {"mysql", "information_schema", "performance_schema", "sys", "pg_catalog", "pg_toast", "system", "master", "msdb"}
)
_SYSTEM_PREFIXES = {
    "mysql": (),
    "postgresql": ("pg_",),
    "sqlite": ("sqlite_", "pragma_", "dbstat", "json_", "fts3", "fts5"),
    "mssql": ("sys", "spt_"),
    "oracle": ("all_", "dba_", "user_", "cdb_", "v$", "gv$", "v_$", "x$", "sys"),
}


@dataclass(frozen=True, slots=True)
class Reference:
    """A table of the database, where a statement names it."""

    node: exp.Table
    #: folded, `table` or `schema.table`
    name: str


def references_of(tree: exp.Expr, dialect: Dialect) -> list[Reference]:
    """The tables of the database that the statement names.

    A name counts as the statement's own only where it is written exactly as a common table expression before it that
    can be seen from there. Where only some servers would see one (in itself, before it, in other case) the statement is
    refused, and so is what is recursive: SQLite and SQL Server need no word for it. Raises QueryRefused.
    """
    by_type: dict[type[exp.Expr], list[exp.Expr]] = {}
    for node in tree.walk():
        by_type.setdefault(type(node), []).append(node)
    ctes = by_type.get(exp.CTE, [])
    own = {folded(cte.alias): cte.alias for cte in ctes}
    if len(own) != len(ctes):
        raise QueryRefused("Two common table expressions have the same name.")
    tables = [table for table in by_type.get(exp.Table, []) if isinstance(table, exp.Table)]
    if len(tables) + len(by_type.get(exp.Select, [])) > MOST_TABLES:
        raise QueryRefused(f"The statement has more than {MOST_TABLES} tables and queries.")
    found: list[Reference] = []
    for table in tables:
        name = folded(table.name)
        if not table.db and name in own:
            if table.name != own[name] or not _sees(table, own[name]):
                raise QueryRefused(f"The common table expression {own[name][:64]} cannot be used there, or in itself.")
        elif name != "dual" or table.db or dialect.driver != "oracle":
            found.append(Reference(table, f"{folded(table.db)}.{name}" if table.db else name))
    _check_qualifiers({*own, *(folded(node.name) for node in (*tables, *by_type.get(exp.TableAlias, [])))}, by_type)
    return found


def _sees(table: exp.Table, name: str) -> bool:
    """Whether a common table expression of this name stands before the table, or around its query."""
    below: exp.Expr = table
    above = table.parent
    while above is not None:
        if isinstance(above, exp.With):
            before = above.expressions[: _place(above, below)]
            if any(cte.alias == name for cte in before):
                return True
        elif below is not above.args.get("with_"):
            with_ = above.args.get("with_")
            if isinstance(with_, exp.With) and any(cte.alias == name for cte in with_.expressions):
                return True
        below, above = above, above.parent
    return False


def _place(with_: exp.With, cte: exp.Expr) -> int:
    return next(place for place, other in enumerate(with_.expressions) if other is cte)


def _check_qualifiers(known: set[str], by_type: dict[type[exp.Expr], list[exp.Expr]]) -> None:
    """What stands before a column's dot must be a table or alias: Oracle and PostgreSQL call functions by dots, too."""
    for column in by_type.get(exp.Column, []):
        if isinstance(column, exp.Column) and column.table and folded(column.table) not in known:
            raise QueryRefused(f"There is no table {column.table[:64]} in the statement.")


def qualifying(tree: exp.Expr, references: Sequence[Reference]) -> list[Reference]:
    """The tables whose name or alias stands before the dot of a column."""
    named = {folded(column.table) for column in tree.find_all(exp.Column) if column.table}
    return [reference for reference in references if folded(reference.node.alias_or_name) in named]


def check_dots(tree: exp.Expr, references: Sequence[Reference], columns: Mapping[str, Sequence[str]]) -> None:
    """Raises QueryRefused for a name behind a table's dot that is no column of it: PostgreSQL would call the function
    of that name with the row, and a function of the database's own may read anything.

    Nothing is said of tables whose columns are not known: those are not there.
    """
    real: dict[str, set[str]] = {}
    for reference in references:
        if reference.name in columns:
            names = {folded(name) for name in columns[reference.name]}
            real.setdefault(folded(reference.node.alias_or_name), set()).update(names)
    others = {folded(alias.name) for alias in tree.find_all(exp.TableAlias) if not isinstance(alias.parent, exp.Table)}
    for column in tree.find_all(exp.Column):
        known = real.get(folded(column.table))
        if known is None or isinstance(column.this, exp.Star) or folded(column.table) in others:
            continue
        if folded(column.name) not in known:
            raise QueryRefused(f"The table {column.table[:64]} has no column {column.name[:64]}.")


def check_tables(references: list[Reference], permissions: Permissions, dialect: Dialect) -> None:
    """Raises QueryNotPermitted unless all of the tables are permitted, QueryRefused for those of the server itself."""
    for reference in references:
        schema, _, table = reference.name.rpartition(".")
        if "." in reference.node.name or "." in reference.node.db:
            raise QueryRefused("A table with a dot in its name cannot be queried.")
        if schema in _SYSTEM_SCHEMAS or schema.startswith("pg_"):
            raise QueryRefused(f"The schema {schema} cannot be queried.")
        if table.startswith(_SYSTEM_PREFIXES[dialect.driver]):
            raise QueryRefused(f"The table {table[:64]} belongs to the server and cannot be queried.")
        if permissions.tables is not None:
            if reference.name not in permissions.tables:
                raise QueryNotPermitted(f"The module's grant does not permit the table {reference.name[:128]}.")
        elif schema and not dialect.has_schemas:
            # On MySQL it is another database: the grant would have to name it.
            raise QueryNotPermitted("The module's grant does not name tables of other databases.")
        elif schema and not schema.isascii():
            raise QueryRefused("A schema's name has letters, digits and underscores only.")
