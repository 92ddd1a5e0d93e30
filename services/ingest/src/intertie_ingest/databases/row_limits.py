"""The limit on the rows of a query: set where there is none, and lowered where there is a larger one.

The outermost LIMIT itself is changed. To wrap the query in another would lose its order, and fail where two columns of
the result have the same name, as in `select a.id, b.id`.
"""

from sqlglot import exp

from intertie_ingest.databases.dialects import Dialect
from intertie_ingest.errors import QueryRefused


def limit(query: exp.Expr, rows: int | None, dialect: Dialect) -> None:
    """Makes the query give at most so many rows; None: as many as it gives. A limit that is bound is left as it is:
    whoever reads the rows has to stop by itself. Raises QueryRefused for a limit that is neither bound nor a number.
    """
    present = query.args.get("limit")
    bound = _count_of(present)
    if isinstance(bound, exp.Placeholder):
        return
    stated = None if bound is None else _number(bound)
    if rows is None and not isinstance(present, exp.Fetch):
        return
    least = min(number for number in (rows, stated) if number is not None)
    number = exp.Literal.number(least)
    if dialect.driver == "oracle" or (isinstance(present, exp.Fetch) and dialect.driver == "mssql"):
        query.set("limit", exp.Fetch(direction="FIRST", count=number))
    else:
        query.set("limit", exp.Limit(expression=number))


def _count_of(present: exp.Expr | None) -> exp.Expr | None:
    if present is None:
        return None
    options = present.args.get("limit_options")
    count = present.args.get("count") if isinstance(present, exp.Fetch) else present.args.get("expression")
    if isinstance(options, exp.LimitOptions) and (options.args.get("percent") or options.args.get("with_ties")):
        raise QueryRefused("The number of rows is limited by a number only, without PERCENT and WITH TIES.")
    return count if isinstance(count, exp.Expr) else exp.Literal.number(1)


def _number(bound: exp.Expr) -> int:
    if isinstance(bound, exp.Literal) and bound.is_int:
        return int(bound.name)
    raise QueryRefused("The number of rows is limited by a number or by a parameter only.")
