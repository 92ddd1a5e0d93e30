"""Where in the text of a config_json its secrets stand, so that they can be replaced and all else stays to the letter.

What is read back must be the very text that was written: the registry tells by its digest whether SQL changed it, and
JSON written anew would differ in spaces, escapes and digits.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from intertie_registry import secrets
from intertie_registry.secrets import IsSecret

Path = tuple[str | int, ...]

_TOKEN = re.compile(
    r'[ \t\n\r]*+(?:(?P<mark>[\[\]{},:])|(?P<text>"[^"\\]*+(?:\\.[^"\\]*+)*+")|(?P<plain>[^ \t\n\r\[\]{},:"]++))',
    re.DOTALL,
)
_UNSET = ("null", '""')


@dataclass(frozen=True, slots=True)
class Span:
    """The value of a secret member."""

    #: the keys, and the places in lists, that lead to it
    path: Path
    #: the value, as JSON, is text[start:end]
    start: int
    end: int


@dataclass(slots=True)
class _Open:
    """An object or a list that has begun."""

    #: whether a member of it is secret; None for a list
    is_secret: IsSecret | None
    #: the member that comes or is there; None before the next key of an object
    at: str | int | None


def secret_spans(text: str) -> list[Span]:
    """The values of secret members at any depth, whatever JSON they are; those that are null or empty are not set.

    A text that is no JSON has none.
    """
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return []
    found: list[Span] = []
    frames: list[_Open] = []
    begun: tuple[int, int] | None = None  # of the secret that we are in: how deep it is, where it begins
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup or ""
        word, start = token[kind], token.start(kind)
        top = frames[-1] if frames else None
        if word == ":" and kind == "mark":
            continue
        if word == "," and kind == "mark":
            if top is not None:
                top.at = top.at + 1 if isinstance(top.at, int) else None
            continue
        if kind == "mark" and word in "]}":
            frames.pop()
        elif top is not None and top.is_secret is not None and top.at is None:
            top.at = str(json.loads(word))
            continue
        else:
            if begun is None and top is not None and top.is_secret is not None and top.is_secret(str(top.at)):
                begun = len(frames), start
            if kind == "mark":
                frames.append(_Open(_members(top), None) if word == "{" else _Open(None, 0))
                continue
        if begun is not None and begun[0] == len(frames):
            path = tuple(frame.at for frame in frames if frame.at is not None)
            if text[begun[1] : token.end()] not in _UNSET:
                found.append(Span(path, begun[1], token.end()))
            begun = None
    return found


def replaced(text: str, change: Callable[[Path, str], str | None]) -> str:
    """The text with the secrets that `change` gives another JSON for, called with the path and the JSON of each."""
    parts, done = [], 0
    for span in secret_spans(text):
        new = change(span.path, text[span.start : span.end])
        if new is not None:
            parts += [text[done : span.start], new]
            done = span.end
    return "".join([*parts, text[done:]])


def _members(parent: _Open | None) -> IsSecret:
    """What is secret in an object, by where it stands: `redacted` has the same rule."""
    if parent is None or parent.is_secret is None:
        return secrets.is_secret
    return secrets.inside(str(parent.at))
