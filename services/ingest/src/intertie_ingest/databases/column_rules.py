"""Restricted columns: a table of which a grant permits some columns is replaced by a query of those columns.

So the server itself resolves every name, star, natural join and whole row against what is permitted; there is no other
reading of the names here that could differ from the server's. A look at the names comes first, for a clear answer.
"""

from collections.abc import Mapping, Sequence

from sqlglot import exp

from intertie_ingest.databases.dialects import Dialect
from intertie_ingest.databases.permissions import Permissions, folded
from intertie_ingest.databases.references import Reference
from intertie_ingest.errors import QueryNotPermitted, QueryRefused

Columns = Mapping[str, Sequence[str]]
"""The columns that a table really has, in its order, by the table's name."""

_ROW_NUMBERS = frozenset({"rowid", "oid", "_rowid_"})


def restricted(references: Sequence[Reference], permissions: Permissions) -> list[Reference]:
    """Those tables of which not all columns are permitted."""
    return [reference for reference in references if permissions.columns_of(reference.name) is not None]


def _not_permitted(column: str) -> QueryNotPermitted:
    return QueryNotPermitted(f"The module's grant does not permit the column {column[:64]}.")


def restrict_reads(
    tree: exp.Expr,
    references: Sequence[Reference],
    permissions: Permissions,
    columns: Columns | None,
    dialect: Dialect,
    target: Reference | None = None,
) -> None:
    """Puts queries of the permitted columns in the place of restricted tables, except of the one that is written to.

    Without a table's real columns they are taken as the grant spells them, folded. Raises QueryNotPermitted,
    QueryRefused.
    """
    narrowed = [reference for reference in restricted(references, permissions) if reference is not target]
    if not narrowed:
        return
    _check_names(tree, references, narrowed, permissions, dialect)
    real = {folded(table): names for table, names in (columns or {}).items()}
    for reference in narrowed:
        permitted = permissions.columns_of(reference.name) or frozenset()
        names = [name for name in real.get(reference.name, sorted(permitted)) if folded(name) in permitted]
        if not names:
            raise QueryNotPermitted(f"The module's grant permits no column of the table {reference.name[:128]}.")
        _replace(reference.node, names)


def _replace(table: exp.Table, names: Sequence[str]) -> None:
    alias = table.args.get("alias")
    if alias is None:
        alias = exp.TableAlias(this=exp.Identifier(this=table.name, quoted=True))
    inner = exp.Table(this=table.this.copy(), db=table.args.get("db"))
    query = exp.Select(
        expressions=[exp.Column(this=exp.Identifier(this=name, quoted=True)) for name in names],
        from_=exp.From(this=inner),
    )
    table.replace(exp.Subquery(this=query, alias=alias, joins=table.args.get("joins")))


def _check_names(
    tree: exp.Expr,
    references: Sequence[Reference],
    narrowed: Sequence[Reference],
    permissions: Permissions,
    dialect: Dialect,
) -> None:
    """Refuses the names that can only mean columns which are not permitted; the others are left to the server."""
    permitted: set[str] = set()
    of_name: dict[str, set[str]] = {}
    for reference in narrowed:
        columns = permissions.columns_of(reference.name) or frozenset()
        permitted |= columns
        of_name.setdefault(folded(reference.node.alias_or_name), set()).update(columns)
    own = {folded(alias.alias) for alias in tree.find_all(exp.Alias)}
    open_names = {
        folded(reference.node.alias_or_name)
        for reference in references
        if not any(reference is other for other in narrowed)
    }
    for alias in tree.find_all(exp.TableAlias):
        own |= {folded(alias.name)} | {folded(column.name) for column in alias.columns}
        if not isinstance(alias.parent, exp.Table):
            open_names.add(folded(alias.name))
    own |= set(of_name)
    are_all = len(narrowed) == len(references)
    for column in tree.find_all(exp.Column):
        name, whose = folded(column.name), folded(column.table)
        if column.args.get("db"):
            raise QueryRefused("Where columns are restricted, give each table an alias and name columns by it.")
        if name in permitted or isinstance(column.this, exp.Star):
            continue
        # SQLite has let the number of a row through a query; it may be a column that is not permitted.
        if dialect.driver == "sqlite" and name in _ROW_NUMBERS:
            raise _not_permitted(column.name)
        if name not in own and (are_all or (whose in of_name and whose not in open_names)):
            raise _not_permitted(column.name)


def restrict_writes(tree: exp.Expr, target: Reference, permissions: Permissions) -> None:
    """Raises QueryNotPermitted unless all columns that are written, or that decide what is, are permitted."""
    permitted = permissions.columns_of(target.name)
    if permitted is None:
        return
    if isinstance(tree, exp.Insert):
        if not isinstance(tree.this, exp.Schema):
            raise QueryNotPermitted("Where columns are restricted, name those into which you insert.")
        for name in tree.this.expressions:
            if folded(name.name) not in permitted:
                raise _not_permitted(name.name)
        if not isinstance(tree.expression, exp.Values):
            return
    if tree.find(exp.Query) is not None:
        # A query in it could read any column of the row that is being written.
        raise QueryNotPermitted("Where columns are restricted, a statement that writes may hold no query.")
    for column in tree.find_all(exp.Column):
        if folded(column.name) not in permitted:
            raise _not_permitted(column.name)
