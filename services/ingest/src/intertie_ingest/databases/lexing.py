"""Reading a statement's text into tokens, so strictly that no server can see other tokens in it.

Guards that leave this to a parser fail where parser and server differ: in comments that a server executes, in
backslashes, in quotes that depend on a setting. So whatever is read differently by any server, or under any setting of
one, is refused here; the parser gets the text without its comments, and what it writes is read here again
(`rendering.py`).
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

from intertie_ingest.databases.dialects import Dialect
from intertie_ingest.errors import QueryRefused

LONGEST_BYTES = 32 * 1024
"""Of a statement's text, in UTF-8; as the contract says."""

MOST_TOKENS = 4_000
"""The parser took up to 80 µs of processor time for each on the slowest of such texts; a list of 1,900 numbers fits."""

_LONGEST_NAME = 128
_LONGEST_NUMBER = 80

Kind = Literal["word", "number", "text", "identifier", "parameter", "operator"]


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a statement."""

    kind: Kind
    #: as it stands there, quotes included
    text: str
    #: where it begins, in characters
    start: int

    @property
    def end(self) -> int:
        """Where it ends, in characters."""
        return self.start + len(self.text)


_TEXT = "'[^']*+(?:''[^']*+)*+'"
_DOUBLE_TEXT = '"[^"]*+(?:""[^"]*+)*+"'
_QUOTED = {
    '""': '"[^"\\\\\x00-\x1f]*+(?:""[^"\\\\\x00-\x1f]*+)*+"',
    "``": "`[^`\\\\\x00-\x1f]*+(?:``[^`\\\\\x00-\x1f]*+)*+`",
    # `]]` means `]` to SQL Server and ends the name before `]` for SQLite: such names cannot be used.
    "[]": "\\[[^\\[\\]\\\\\x00-\x1f]++\\]",
}
_OPERATORS = ("<>", "!=", "<=", ">=", "(", ")", ",", ".", ";", "=", "<", ">", "+", "-", "*", "/", "%")


@cache
def _pattern(dialect: Dialect) -> re.Pattern[str]:
    # `--` that MySQL takes for two minus signs, hints as `--+` and `/*+`, executable comments as `/*!` and `/*M!`,
    # comments in comments and a lone carriage return, which ends a comment for some, match none of these.
    line = r"--(?=[ \t\r\n]|\Z)[^\r\n]*+(?=\r?\n|\Z)"
    if dialect.mysql_comments:
        line += r"|\#(?!\+)[^\r\n]*+(?=\r?\n|\Z)"
    else:
        line += r"|--(?!\+)[^\r\n]*+(?=\r?\n|\Z)"
    texts = f"{_TEXT}|{_DOUBLE_TEXT}" if dialect.double_is_text else _TEXT
    operators = sorted((*_OPERATORS, *dialect.operators), key=len, reverse=True)
    # For MySQL `||` is one of two by a setting.
    refused = r"--|/\*" if "||" in operators else r"--|/\*|\|\|"
    parts = {
        "space": r"[ \t\r\n]++",
        "comment": rf"{line}|/\*(?!\s*+(?:[!+]|[mM]!))(?:[^/*]|\*(?!/)|/(?!\*))*+\*/",
        "text": rf"(?:{texts})(?!['\w])",
        "identifier": "|".join(_QUOTED[quotes] for quotes in dialect.identifiers),
        "number": r"(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?(?![\w.$])",
        "word": r"[A-Za-z_][A-Za-z0-9_]*+(?![\w$'\"`])",
        "parameter": r":[A-Za-z_][A-Za-z0-9_]*+(?![\w$'\"`])",
        # What would be the beginning of a comment is not an operator.
        "operator": rf"(?!{refused})(?:" + "|".join(re.escape(operator) for operator in operators) + ")",
    }
    return re.compile("|".join(f"(?P<{name}>{part})" for name, part in parts.items()))


def tokens_of(sql: str, dialect: Dialect) -> list[Token]:
    """The tokens of the text, without comments. Raises QueryRefused, for what is no token and for too much of a
    text."""
    if len(sql.encode("utf-8", "surrogatepass")) > LONGEST_BYTES:
        raise QueryRefused(f"The statement is longer than {LONGEST_BYTES // 1024} KiB.")
    found: list[Token] = []
    pattern = _pattern(dialect)
    at = 0
    while at < len(sql):
        match = pattern.match(sql, at)
        if match is None:
            raise QueryRefused(_why(sql, at))
        kind = match.lastgroup
        text = match[0]
        if kind != "space" and kind != "comment":
            found.append(Token(_checked(kind, text, at, dialect), text, at))
            if len(found) > MOST_TOKENS:
                raise QueryRefused(f"The statement has more than {MOST_TOKENS} words and signs.")
        at = match.end()
    return found


def _checked(kind: str | None, text: str, at: int, dialect: Dialect) -> Kind:
    match kind:
        case "word" | "parameter" | "identifier":
            if len(text) > _LONGEST_NAME or (kind == "identifier" and not text[1:-1].strip()):
                raise QueryRefused(f"A name is empty or longer than {_LONGEST_NAME} characters, at character {at + 1}.")
            return kind
        case "number":
            if len(text) > _LONGEST_NUMBER:
                raise QueryRefused(f"A number is longer than {_LONGEST_NUMBER} characters, at character {at + 1}.")
            return "number"
        case "text":
            if "\0" in text or ("\\" in text and not dialect.plain_backslash):
                raise QueryRefused(
                    f"A text holds a backslash or a zero character, at character {at + 1}; bind it as a parameter."
                )
            return "text"
        case _:
            return "operator"


def _why(sql: str, at: int) -> str:
    rest = sql[at : at + 3]
    if rest.startswith(("/*", "--", "#")):
        what = "This comment is not allowed"
    elif rest[0] in "'\"`[":
        what = "This text or name is not closed, or something stands right behind it"
    elif rest[0] in "?$%":
        what = "Only `:name` parameters can be bound"
    elif rest[0].isalnum() or rest[0] == "_":
        what = (
            "This is no name or number, or a quote stands right behind it; put a space between them, or quote the name"
        )
    else:
        what = "This sign is not allowed"
    return f"{what}, at character {at + 1}."


_BEGINNINGS = frozenset({"SELECT", "WITH", "INSERT", "UPDATE", "DELETE"})


def check_words(tokens: list[Token]) -> None:
    """Raises QueryRefused unless the statement begins as one that may be run; nothing else is worth parsing."""
    first = next((token for token in tokens if token.text != "("), None)
    if first is None or first.kind != "word" or first.text.upper() not in _BEGINNINGS:
        raise QueryRefused("Only SELECT, INSERT, UPDATE and DELETE may be run.")
    for token in tokens:
        if token.kind == "word" and token.text.upper() == "TABLE":
            # `TABLE t` is a query without saying so.
            raise QueryRefused(f"The word {token.text} is not one that may be used.")


def without_comments(tokens: list[Token], dialect: Dialect) -> str:
    """The text of the tokens, with a space between any two of them: so the parser sees no others than these.

    For MySQL texts that follow each other are joined to the one that they are there. Raises QueryRefused where they
    follow each other elsewhere: they are one, two, or wrong, by dialect and by the white space between them.
    """
    parts: list[str] = []
    former: Token | None = None
    for token in tokens:
        text = token.text
        if token.kind == "text":
            text = _with_single_quotes(text)
            if former is not None and former.kind == "text":
                if not dialect.double_is_text:
                    raise QueryRefused(f"Two texts follow each other, at character {token.start + 1}.")
                parts[-1] = parts[-1][:-1] + text[1:]
                former = token
                continue
        parts.append(text)
        former = token
    return " ".join(parts)


def _with_single_quotes(text: str) -> str:
    return text if text[0] == "'" else "'" + text[1:-1].replace('""', '"').replace("'", "''") + "'"
