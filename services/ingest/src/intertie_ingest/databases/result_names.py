"""The names of a result's columns: a server names one without an alias by its text, which we write differently."""

from sqlglot import exp

from intertie_ingest.databases.dialects import Dialect
from intertie_ingest.databases.lexing import Token

_LONGEST = 64
"""Characters that MySQL gives the name of a column; what is longer gets the name that the server makes of our text."""

_BEHIND = frozenset({"FROM", "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "WINDOW", "UNION", "INTERSECT", "EXCEPT"})
_PLAIN = (exp.Alias, exp.Column, exp.Star, exp.Literal, exp.Null, exp.Boolean, exp.Placeholder)


def keep_names(tree: exp.Expr, sql: str, tokens: list[Token], dialect: Dialect) -> None:
    """Gives what a query selects without an alias the name that it would have had.

    On MySQL and SQLite that is its text, so `count(*)` stays `count(*)`; on PostgreSQL the name of the function.
    """
    while isinstance(tree, exp.SetOperation):
        tree = tree.this
    if dialect.driver not in ("mysql", "sqlite", "postgresql") or not isinstance(tree, exp.Select):
        return
    texts = _selected(sql, tokens)
    if len(texts) != len(tree.expressions):
        return
    for node, text in zip(list(tree.expressions), texts, strict=True):
        if isinstance(node, _PLAIN):
            continue
        if dialect.driver == "postgresql":
            text = _function(node, text)
        if _may_be_name(text):
            node.replace(exp.alias_(node.copy(), exp.Identifier(this=text, quoted=True), copy=False))


def _function(node: exp.Expr, text: str) -> str:
    name, bracket, _ = text.lower().partition("(")
    # These PostgreSQL names otherwise, and we write them as they were.
    is_call = isinstance(node, exp.Func) and bracket and name.isidentifier() and name not in ("cast", "trim", "extract")
    return name if is_call else ""


def _may_be_name(text: str) -> bool:
    return 0 < len(text) <= _LONGEST and text.isprintable() and "\\" not in text


def _selected(sql: str, tokens: list[Token]) -> list[str]:
    """The texts between the commas behind the first SELECT outside of brackets."""
    texts: list[str] = []
    level = 0
    first: Token | None = None
    last: Token | None = None
    is_inside = False
    for token in tokens:
        word = token.text.upper() if token.kind == "word" else token.text
        if token.kind == "operator":
            level += (word == "(") - (word == ")")
        if not is_inside:
            is_inside = level == 0 and token.kind == "word" and word == "SELECT"
            continue
        is_end = level == 0 and token.kind == "word" and word in _BEHIND
        if is_end or (level == 0 and token.kind == "operator" and word == ","):
            texts.append(sql[first.start : last.end] if first and last else "")
            first = last = None
            if is_end:
                return texts
            continue
        if first is None and not (token.kind == "word" and word in ("DISTINCT", "ALL")):
            first = token
        last = token
    return [*texts, sql[first.start : last.end] if first and last else ""]
