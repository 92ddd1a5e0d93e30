"""What a file holds, each value with the place where it stands: what is wrong with it can be told where it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str | int, ...]
"""Where a value stands in an object: keys, and positions in lists."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in a file; lines and columns count from 1, and 0 is the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """What is wrong at a place."""

    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


@dataclass(slots=True)
class Node:
    """A value of a file: an object (`entries`), a list (`items`), or a text, number, true, false or null (`scalar`)."""

    place: Place
    scalar: Any = None
    entries: dict[str, Node] | None = None
    items: list[Node] | None = None
    key_places: dict[str, Place] = field(default_factory=dict)
    #: of a text that holds variables: as it is written
    written: str | None = None
    #: how many values it has, itself and what aliases repeat among them
    weight: int = 1

    @property
    def is_null(self) -> bool:
        """Whether it is null, or left empty."""
        return self.entries is None and self.items is None and self.scalar is None

    def plain(self) -> Any:
        """The value as JSON has it."""
        if self.entries is not None:
            return {key: node.plain() for key, node in self.entries.items()}
        if self.items is not None:
            return [node.plain() for node in self.items]
        return self.scalar

    def walk(self, path: Path = ()) -> Iterator[tuple[Path, Node]]:
        """It and all that is in it, each with its path."""
        yield path, self
        for key, node in (self.entries or {}).items():
            yield from node.walk((*path, key))
        for index, node in enumerate(self.items or ()):
            yield from node.walk((*path, index))

    def nearest(self, text: str) -> Node:
        """The value at a path such as ``transformations.date[1].format``, or the last one on the way that is there."""
        text = text.removeprefix(".")
        if self.items is not None and text.startswith("["):
            number, _, rest = text[1:].partition("]")
            if number.isdigit() and int(number) < len(self.items):
                return self.items[int(number)].nearest(rest)
        # The longest key that fits: keys may hold dots themselves.
        for key in sorted(self.entries or (), key=len, reverse=True):
            if text == key or text.startswith((f"{key}.", f"{key}[")):
                return (self.entries or {})[key].nearest(text[len(key) :])
        return self


def shown_path(path: Path) -> str:
    """The path for people: ``config_json.headers.X-Key``, ``sync.key_fields[0]``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """The problems by file and line, each once."""
    return sorted(set(problems))
