"""How two values of a part differ, field by field, and how that is shown: never with a credential."""

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from intertie_cli.declared.nodes import Path, shown_path

_LONGEST = 140
_AROUND = 2


class _Absent:
    """Stands where there is no value."""


ABSENT = _Absent()


@dataclass(frozen=True, slots=True)
class FieldChange:
    """What becomes of a field; both values as they are shown, empty where there is none."""

    field: str
    old: str = ""
    new: str = ""
    #: what is told of a credential instead
    secret: str = ""
    #: where one line is too short for both values: how their lines differ
    lines: tuple[str, ...] = ()


def between(old: Any, new: Any, written: dict[Path, str], path: Path) -> Iterator[FieldChange]:
    """How JSON values differ. Objects are compared by their members, lists as a whole.

    Args:
        written: texts that hold variables: they are shown as they are written, and what they replace not at all, since
            nobody knows what a variable holds.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*new, *(key for key in old if key not in new)]:
            yield from between(old.get(key, ABSENT), new.get(key, ABSENT), written, (*path, key))
    elif not is_same(old, new):
        if any(each[: len(path)] == path for each in written):
            shown = "" if old is ABSENT else "(not shown)"
            new = _as_written(new, written, path)
            yield FieldChange(shown_path(path), shown, _shown(new), lines=_lines(ABSENT, new))
        else:
            yield FieldChange(shown_path(path), _shown(old), _shown(new), lines=_lines(old, new))


def is_same(old: Any, new: Any) -> bool:
    """Whether two values are the same JSON; the order of an object's members does not matter."""
    if old is ABSENT or new is ABSENT:
        return old is new
    return json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)


def _shown(value: Any) -> str:
    return "" if value is ABSENT else json.dumps(value, ensure_ascii=False)


def _lines(old: Any, new: Any) -> tuple[str, ...]:
    """How the lines of two values differ; none where both fit into one line."""
    is_long = len(_shown(old)) + len(_shown(new)) > _LONGEST
    if not is_long and not any(isinstance(each, str) and "\n" in each.rstrip("\n") for each in (old, new)):
        return ()
    found = difflib.unified_diff(_written_out(old), _written_out(new), lineterm="", n=_AROUND)
    told = [line for line in found if not line.startswith(("---", "+++"))]
    # Where each place stands in the value is of no use; that some lines are left out between two is.
    return tuple("…" if line.startswith("@@") else line for line in told[1:])


def _written_out(value: Any) -> list[str]:
    if value is ABSENT:
        return []
    return (value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)).split("\n")


def _as_written(value: Any, written: dict[Path, str], path: Path) -> Any:
    """The value with its texts that hold variables as they are written."""
    if path in written:
        return written[path]
    if isinstance(value, dict):
        return {key: _as_written(item, written, (*path, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_written(item, written, (*path, index)) for index, item in enumerate(value)]
    return value
