"""PromQL as far as tests look at it: whether all that opens closes, and what metrics, labels and functions it names.

No parser: that a query means what it should is not found here.
"""

import re
from dataclasses import dataclass

KEYWORDS = {"by", "without", "on", "ignoring", "group_left", "group_right", "offset", "bool", "and", "or", "unless"}
FUNCTIONS = {
    *("sum", "max", "min", "avg", "count", "topk"),
    *("rate", "increase", "changes", "histogram_quantile", "time", "absent", "clamp_min"),
}
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_CLOSING = {")": "(", "]": "[", "}": "{"}
_GROUPED = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
_MATCHED = re.compile(r"\{([^}]*)\}")
_WINDOW = re.compile(r"\[(\d+[smhd]|\$__rate_interval)\]")


@dataclass(frozen=True, slots=True)
class Query:
    """What an expression names."""

    metrics: frozenset[str]
    labels: frozenset[str]
    functions: frozenset[str]


def read(expression: str) -> Query:
    """Read an expression. Raises ValueError when something does not close, or a name is called that is no function."""
    bare = _TEXT.sub('""', expression)
    if bare.count('"') % 2:
        raise ValueError("a text does not end")
    _require_balanced(bare)
    labels = {name for group in _GROUPED.findall(bare) for name in _names(group)}
    labels |= {name for group in _MATCHED.findall(bare) for name in re.findall(r"(\w+)\s*[=!]~?", group)}
    rest = _MATCHED.sub(" ", _GROUPED.sub(" ", bare))
    for window in re.findall(r"\[[^\]]*\]", rest):
        if not _WINDOW.fullmatch(window):
            raise ValueError(f"{window} is no window")
    rest = re.sub(r"\[[^\]]*\]|\boffset\s+\d+[smhd]|\b\d[\d.e]*\b", " ", rest)
    functions = set(re.findall(r"\b([a-zA-Z_]\w*)\s*\(", rest)) | set(re.findall(r"\b(sum|max|min|avg|count)\b", rest))
    if functions - FUNCTIONS:
        raise ValueError(f"{sorted(functions - FUNCTIONS)} are no functions")
    return Query(frozenset(set(_names(rest)) - functions - KEYWORDS), frozenset(labels), frozenset(functions))


def _names(text: str) -> list[str]:
    return re.findall(r"[a-zA-Z_:][\w:]*", text)


def _require_balanced(text: str) -> None:
    is_open: list[str] = []
    for character in text:
        if character in _CLOSING.values():
            is_open.append(character)
        elif character in _CLOSING and (not is_open or is_open.pop() != _CLOSING[character]):
            raise ValueError(f"{character} closes nothing")
    if is_open:
        raise ValueError(f"{is_open[-1]} is never closed")
