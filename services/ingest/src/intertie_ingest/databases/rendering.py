"""Writing a checked tree as the text that is sent, and the second look at that text.

Every name is written in quotes, so each bare word left is the language's own, and must stand in a list of what may be
said. This look does not depend on what the parser understood: whatever it missed cannot be written without a word, a
call or a sign that is on no list. And the text must be read again as the same tree.
"""

from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.errors import ErrorLevel
from sqlglot.generator import Generator
from sqlglot.generators.mysql import MySQLGenerator
from sqlglot.generators.oracle import OracleGenerator
from sqlglot.generators.postgres import PostgresGenerator
from sqlglot.generators.sqlite import SQLiteGenerator
from sqlglot.generators.tsql import TSQLGenerator

from intertie_ingest.databases.dialects import Dialect
from intertie_ingest.databases.functions import FUNCTIONS
from intertie_ingest.databases.lexing import Token, tokens_of
from intertie_ingest.databases.permissions import folded
from intertie_ingest.databases.vocabulary import WORDS
from intertie_ingest.errors import QueryRefused

Transforms = dict[type[exp.Expr], Callable[..., Any]]


def _named(_: Generator, node: exp.Placeholder) -> str:
    return f":{node.name}"


def _rlike(generator: Generator, node: exp.RegexpLike) -> str:
    # MariaDB has no REGEXP_LIKE, which sqlglot writes.
    if node.args.get("flag"):
        return generator.function_fallback_sql(node)
    return generator.binary(node, "RLIKE")


class _MySQL(MySQLGenerator):
    TRANSFORMS: ClassVar[Transforms] = {**MySQLGenerator.TRANSFORMS, exp.Placeholder: _named, exp.RegexpLike: _rlike}


class _PostgreSQL(PostgresGenerator):
    TRANSFORMS: ClassVar[Transforms] = {**PostgresGenerator.TRANSFORMS, exp.Placeholder: _named}


class _SQLite(SQLiteGenerator):
    TRANSFORMS: ClassVar[Transforms] = {**SQLiteGenerator.TRANSFORMS, exp.Placeholder: _named}


class _MSSQL(TSQLGenerator):
    TRANSFORMS: ClassVar[Transforms] = {**TSQLGenerator.TRANSFORMS, exp.Placeholder: _named}


class _Oracle(OracleGenerator):
    TRANSFORMS: ClassVar[Transforms] = {**OracleGenerator.TRANSFORMS, exp.Placeholder: _named}


_GENERATORS: dict[str, type[Generator]] = {
    "mysql": _MySQL,
    "postgresql": _PostgreSQL,
    "sqlite": _SQLite,
    "mssql": _MSSQL,
    "oracle": _Oracle,
}


_writing = Lock()


@cache
def _generator(dialect: Dialect) -> Generator:
    generator = _GENERATORS[dialect.driver](
        dialect=dialect.sqlglot,
        identify=True,
        # As they were written: the name of a column of the result comes from it.
        normalize_functions=False,
        comments=False,
        unsupported_level=ErrorLevel.RAISE,
    )
    generator._identifier_start, generator._identifier_end = dialect.writes
    generator._escaped_identifier_end = dialect.writes[1] * 2
    return generator


def quote_names(tree: exp.Expr, dialect: Dialect) -> None:
    """Makes every name in the tree the one that the server would look up, in quotes."""
    for name in tree.find_all(exp.Identifier):
        if not name.args.get("quoted"):
            if dialect.unquoted == "lower":
                name.set("this", name.name.lower())
            elif dialect.unquoted == "upper":
                name.set("this", name.name.upper())
            name.set("quoted", True)


def written(tree: exp.Expr, dialect: Dialect) -> str:
    """The tree's text, its parameters still as `:name`. Raises errors of sqlglot."""
    # A generator keeps what it is writing in itself.
    with _writing:
        return _generator(dialect).generate(tree, copy=True)


def check_text(tokens: list[Token], kind: str, dialect: Dialect) -> None:
    """Raises QueryRefused unless the tokens of a written statement are all that may be said in one of this kind."""
    words, functions = WORDS[kind], FUNCTIONS[dialect.driver]
    opening, closing = dialect.writes
    for place, token in enumerate(tokens):
        behind = tokens[place + 1].text if place + 1 < len(tokens) else ""
        match token.kind:
            case "word":
                word = token.text.upper()
                if word not in words and not (behind == "(" and word in functions):
                    what = "function" if behind == "(" else "word"
                    raise QueryRefused(f"The {what} {token.text[:64]} is not one that may be used.")
            case "identifier":
                if token.text[0] != opening or token.text[-1] != closing:
                    raise QueryRefused(f"The name {token.text[:64]} cannot be used.")
                if behind == "(" and not _is_list_of_names(tokens, place):
                    raise QueryRefused(f"The function {token.text[1:65]} is not one that may be called.")
            case "text":
                if token.text[0] != "'":
                    raise QueryRefused("This text cannot be used.")
            case "operator":
                if token.text == ";":
                    raise QueryRefused("Only one statement may be run.")
                if dialect.driver == "postgresql" and _glued(tokens, place):
                    raise QueryRefused(f"The sign {token.text} cannot be used there.")


def _is_list_of_names(tokens: list[Token], place: int) -> bool:
    """Whether the bracket behind a name holds the names of columns, as in `INSERT INTO t (a)` or `WITH q(a) AS (`."""
    end = place + 2
    while end < len(tokens) and (tokens[end].kind == "identifier" or tokens[end].text == ","):
        end += 1
    if end >= len(tokens) or tokens[end].text != ")":
        return False
    before = place - 1
    while before > 0 and tokens[before].text == ".":
        before -= 2
    if tokens[before].text.upper() in ("INTO", "AS") and tokens[before].kind == "word":
        return True
    return [folded(token.text) for token in tokens[end + 1 : end + 3]] == ["as", "("]


_ALONE = frozenset("(),.[]")


def _glued(tokens: list[Token], place: int) -> bool:
    """Whether PostgreSQL would read this sign and the one behind it as one operator, which anybody may have defined."""
    if place + 1 >= len(tokens):
        return False
    token, behind = tokens[place], tokens[place + 1]
    is_sign = behind.kind == "operator" and behind.text not in _ALONE and token.text not in _ALONE
    return is_sign and token.end == behind.start and "::" not in (token.text, behind.text)


def for_driver(sql: str, tokens: list[Token], dialect: Dialect) -> tuple[str, tuple[str, ...]]:
    """The text with the placeholders of the driver, and the names of the parameters in the order of the values to send.

    On PostgreSQL one number stands for all uses of a name; the others take a value for each use.
    """
    names: list[str] = []
    parts: list[str] = []
    end = 0
    for token in tokens:
        if token.kind != "parameter":
            continue
        parts.append(_literally(sql[end : token.start], dialect))
        name = token.text[1:]
        if dialect.driver != "postgresql" or name not in names:
            names.append(name)
        match dialect.driver:
            case "mysql":
                parts.append("%s")
            case "postgresql":
                parts.append(f"${names.index(name) + 1}")
            case "oracle":
                parts.append(f":{len(names)}")
            case _:
                parts.append("?")
        end = token.end
    parts.append(_literally(sql[end:], dialect))
    return "".join(parts), tuple(names)


def _literally(text: str, dialect: Dialect) -> str:
    return text.replace("%", "%%") if dialect.driver == "mysql" else text


def tokens_written(sql: str, dialect: Dialect) -> list[Token]:
    """The tokens of a text that was written here. Raises QueryRefused, also when a comment came into it."""
    tokens = tokens_of(sql, dialect)
    end = 0
    for token in tokens:
        if sql[end : token.start].strip(" "):
            raise QueryRefused("The statement cannot be written again safely.")
        end = token.end
    return tokens
