"""Whether a SQL statement reads, as far as that can be told without understanding it. Pure."""

import re

_LEADING = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/|\()*", re.DOTALL)
_WORD = re.compile(r"[a-z]+", re.IGNORECASE)
_WRITING = re.compile(r"\b(insert|update|delete|merge|replace|into|call|lock)\b", re.IGNORECASE)


def is_read(statement: str) -> bool:
    """Whether the statement is certainly one that only reads: then it may be sent again when its answer was lost.

    A doubt counts as writing, a text that holds one of the words of writing too; the service judges by itself what a
    statement does, and this decides about repetition alone.
    """
    start = _LEADING.match(statement)
    word = _WORD.match(statement, start.end() if start else 0)
    return word is not None and word[0].lower() in ("select", "with") and not _WRITING.search(statement)
