"""The files that hold a configuration: those that are named, all of a directory, or standard input."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from intertie_cli.declared.nodes import Place, Problem

MOST_BYTES = 1024 * 1024
"""Bytes of one file."""
MOST_FILES = 500
SUFFIXES = (".yaml", ".yml", ".json")
#: a schema may lie beside what it describes
_NO_CONFIGURATION = ".schema.json"


@dataclass(frozen=True, slots=True)
class Source:
    """A text and what it is called in messages."""

    name: str
    text: str


def read(names: Iterable[str]) -> tuple[list[Source], list[Problem]]:
    """The texts of files by the names that were given, a directory's files by theirs; and what cannot be read."""
    sources: list[Source] = []
    problems: list[Problem] = []
    seen: set[Path] = set()
    for name in names:
        for path in [None] if name == "-" else _files(name, problems):
            if path is not None and path.resolve() in seen:
                continue
            if len(sources) == MOST_FILES:
                problems.append(Problem(Place(name), f"there are more than {MOST_FILES} files"))
                return sources, problems
            if path is not None:
                seen.add(path.resolve())
            source = _source(path, problems)
            if source is not None:
                sources.append(source)
    return sources, problems


def _files(name: str, problems: list[Problem]) -> Iterator[Path]:
    path = Path(name)
    if not path.is_dir():
        yield path
        return
    found = sorted(each for each in path.rglob("*") if _is_configuration(each, path))
    if not found:
        problems.append(Problem(Place(name), f"holds no file that ends in {', '.join(SUFFIXES)}"))
    yield from found


def _is_configuration(path: Path, directory: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(directory).parts)
    return path.suffix in SUFFIXES and not path.name.endswith(_NO_CONFIGURATION) and not hidden and path.is_file()


def _source(path: Path | None, problems: list[Problem]) -> Source | None:
    name = "standard input" if path is None else str(path)
    try:
        if path is None:
            raw = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with path.open("rb") as file:
                raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        problems.append(Problem(Place(name), f"cannot be read ({error.strerror})"))
        return None
    if len(raw) > MOST_BYTES:
        problems.append(Problem(Place(name), f"has more than {MOST_BYTES // 1024} KiB"))
        return None
    try:
        return Source(name, raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = len(raw[raw.rfind(b"\n", 0, error.start) + 1 : error.start].decode(errors="replace")) + 1
        problems.append(Problem(Place(name, line, column), "is not UTF-8"))
        return None
