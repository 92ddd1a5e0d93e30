"""Source paths into nested objects and arrays, compiled to closures.

`location.street`, `items[0].sku`, `items[*].sku`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from intertie_mapping.values import MISSING, JsonObject, JsonValue, Missing

#: From a record to the value at the path: MISSING when the path leads nowhere, None when a null stands there or on the
#: way.
Reader: TypeAlias = Callable[[JsonObject], "JsonValue | Missing"]

#: From any value to what the rest of a path finds in it; used between the steps.
_Step: TypeAlias = Callable[[JsonValue], "JsonValue | Missing"]

MAX_LENGTH = 1000
_BRACKETED = re.compile(r"\[(?:(?P<index>-?\d{1,9})|(?P<all>\*))\]")


class PathError(ValueError):
    """The text is not a source path."""


def compile_path(text: str) -> Reader:
    """The reader of a path. Raises PathError, whose text says what is wrong.

    A key that literally is the rest of the path wins over stepping into it, at every object on the way: `a.b` reads
    `{"a.b": 1}` before `{"a": {"b": 1}}`. On an array a number is a position (from the end when negative); `[*]` makes
    a list of what the rest finds in each element, leaving out elements where it finds nothing. On an object, `items.0`
    is the key "0".
    """
    if not text:
        raise PathError("a path must not be empty")
    if len(text) > MAX_LENGTH:
        raise PathError(f"a path must not be longer than {MAX_LENGTH} characters")
    if "." not in text and "[" not in text:
        return _top_level(text)
    return _into(text, *_split(text))


def _top_level(key: str) -> Reader:
    def read(record: JsonObject) -> JsonValue | Missing:
        return record.get(key, MISSING)

    return read


def _split(rest: str) -> tuple[str | int | None, str]:
    """The first step of a path (a key, a position, or None for all elements) and what follows it."""
    match = _BRACKETED.match(rest)
    if match:
        step: str | int | None = None if match["all"] else int(match["index"])
        after = rest[match.end() :]
        if after.startswith("."):
            after = after[1:]
            if not after:
                raise PathError(f"{rest!r} ends with a dot")
        elif after and not after.startswith("["):
            raise PathError(f"after {match[0]} a path goes on with a dot or a bracket, not with {after!r}")
        return step, after
    if rest[0] == "[":
        raise PathError(f"{rest!r} has a bracket that is neither a position such as [0] nor [*]")
    end = next((position for position, character in enumerate(rest) if character in ".["), len(rest))
    key, after = rest[:end], rest[end:]
    if not key:
        raise PathError(f"{rest!r} has an empty step")
    if after.startswith("."):
        after = after[1:]
        if not after or after.startswith("["):
            raise PathError(f"{rest!r} has an empty step")
    return key, after


def _into(whole: str, step: str | int | None, rest: str) -> _Step:
    """What `whole`, which is `step` and then `rest`, finds in a value."""
    onward = _into(rest, *_split(rest)) if rest else None
    if step is None:
        return _each(whole, rest, onward)
    if isinstance(step, int):
        return _literal_or(whole, None, step, onward)
    position = int(step) if step.isascii() and step.isdigit() and len(step) < 10 else None
    return _literal_or(whole, step, position, onward)


def _literal_or(whole: str, key: str | None, position: int | None, onward: _Step | None) -> _Step:
    def read(value: JsonValue) -> JsonValue | Missing:
        if type(value) is dict:
            if whole in value:
                return value[whole]
            if key is None or key not in value:
                return MISSING
            found = value[key]
        elif type(value) is list and position is not None and -len(value) <= position < len(value):
            found = value[position]
        else:
            return None if value is None else MISSING
        return found if onward is None else onward(found)

    return read


def _each(whole: str, rest: str, onward: _Step | None) -> _Step:
    flatten = "[*]" in rest

    def read(value: JsonValue) -> JsonValue | Missing:
        if type(value) is dict:
            return value.get(whole, MISSING)
        if type(value) is not list:
            return None if value is None else MISSING
        if onward is None:
            return value
        results: list[JsonValue] = []
        for element in value:
            found = onward(element)
            if found is MISSING:
                continue
            if flatten and type(found) is list:  # a wildcard inside a wildcard makes one list, not a list of lists
                results.extend(found)
            else:
                results.append(found)
        return results

    return read
