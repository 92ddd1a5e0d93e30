"""What the parser would take too long for, found on the tokens before it begins.

It goes back where one beginning may be several things, and where such beginnings stand in each other it goes back at
each of them: its time doubles with each level. With these bounds the slowest texts found take below half a second of
processor time.
"""

from functools import cache

from sqlglot.dialects.dialect import Dialect as SqlglotDialect

from intertie_ingest.databases.dialects import Dialect
from intertie_ingest.databases.lexing import Token
from intertie_ingest.errors import QueryRefused

DEEPEST = 32
"""Levels of brackets, of CASE, and of prefix operators that follow each other. The parser goes back where a bracket may
open several things, and it calls itself."""

MOST_CHAINED = 64
"""Of `[`, of `::` and of arrows into JSON: each costs the parser as much as all before it, so 1,900 took 6 seconds."""

MOST_OPEN_JOINS = 5
"""JOINs that have no ON or USING yet, in all open brackets: each doubles what the parser takes; 12 took 0.1 s,
32 were given up after minutes."""

MOST_OPEN_TYPES = 3
"""Brackets in brackets behind names of types, as in `date(date(`: the parser tries each as a type, then as a call, and
so each doubles what it takes; 32 were given up after seconds."""

_PREFIXES = frozenset({"NOT", "-", "+", "~"})
_CHAINED = frozenset({"[", "->", "->>", "#>", "#>>", "::"})


def check_cost(tokens: list[Token], dialect: Dialect) -> None:
    """Raises QueryRefused for tokens that cannot be parsed at little cost."""
    _check_depth(tokens)
    _check_types(tokens, dialect)
    _check_joins(tokens)


def _check_depth(tokens: list[Token]) -> None:
    """Raises QueryRefused for tokens that nest too deeply to be parsed at little cost."""
    level = cases = prefixes = chained = 0
    for token in tokens:
        text = token.text.upper() if token.kind == "word" else token.text
        if token.kind in ("word", "operator"):
            level += (text in "([") - (text in ")]") if token.kind == "operator" else 0
            cases += (text == "CASE") - (text == "END")
        chained += token.kind == "operator" and text in _CHAINED
        prefixes = prefixes + 1 if text in _PREFIXES and token.kind in ("word", "operator") else 0
        if max(level, cases, prefixes) > DEEPEST:
            raise QueryRefused(f"The statement nests deeper than {DEEPEST} levels, at character {token.start + 1}.")
        if chained > MOST_CHAINED:
            raise QueryRefused(f"The statement has more than {MOST_CHAINED} of {text}, at character {token.start + 1}.")


def _check_joins(tokens: list[Token]) -> None:
    """Raises QueryRefused for more JOINs without a condition than can be parsed at little cost."""
    waiting = [0]
    former = ""
    for token in tokens:
        text = token.text.upper() if token.kind in ("word", "operator") else ""
        if text == "(":
            waiting.append(0)
        elif text == ")" and len(waiting) > 1:
            waiting.pop()
        elif text == "JOIN" and former != "CROSS":
            waiting[-1] += 1
        elif text in ("ON", "USING"):
            waiting[-1] = max(0, waiting[-1] - 1)
        if sum(waiting) > MOST_OPEN_JOINS:
            raise QueryRefused(f"Give each JOIN its ON or USING, or write CROSS JOIN, at character {token.start + 1}.")
        former = text


@cache
def _types(dialect: Dialect) -> frozenset[str]:
    known = SqlglotDialect.get_or_raise(dialect.sqlglot)
    types = known.parser_class.TYPE_TOKENS
    return frozenset(
        {word for word, type_ in known.tokenizer_class.KEYWORDS.items() if type_ in types} | {"ARRAY", "CONVERT"}
    )


def _check_types(tokens: list[Token], dialect: Dialect) -> None:
    """Raises QueryRefused for brackets behind names of types that nest too deeply to be parsed at little cost."""
    types = _types(dialect)
    opened: list[bool] = []
    former = ""
    for token in tokens:
        text = token.text.upper() if token.kind in ("word", "operator") else ""
        if text in ("(", "["):
            opened.append(former in types)
            if sum(opened) > MOST_OPEN_TYPES:
                raise QueryRefused(
                    f"{former} nests deeper than {MOST_OPEN_TYPES} levels, at character {token.start + 1}."
                )
        elif text in (")", "]") and opened:
            opened.pop()
        former = text
