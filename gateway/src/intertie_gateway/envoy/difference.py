"""The files of a configuration beside those on disk: what differs, and how they are put in place."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from intertie_chassis.durable_files import PUBLIC, keep_names, write_whole
from intertie_chassis.errors import StartupError
from intertie_gateway.envoy.document import BOOTSTRAP, DESCRIPTORS
from intertie_gateway.envoy.tls import SECRETS

_OURS = (BOOTSTRAP, SECRETS, "cds.yaml", "lds.yaml", "rds-*.yaml", DESCRIPTORS)
"""Names, or patterns, of all files that a configuration may have."""


@dataclass(frozen=True, slots=True)
class Change:
    """One file that is not as it should be."""

    name: str
    before: bytes | None
    """What it holds; None: it is not there."""
    after: bytes | None
    """What it should hold; None: it should not be there."""


def changes(directory: Path, files: Mapping[str, bytes]) -> list[Change]:
    """What must change in the directory, in the order of the files, and what is left over of another configuration.

    Raises StartupError when it cannot be read.
    """
    try:
        found = [Change(name, _read(directory / name), after) for name, after in files.items()]
        left = sorted({path.name for pattern in _OURS for path in directory.glob(pattern)} - files.keys())
        found += [Change(name, _read(directory / name), None) for name in left]
    except OSError as error:
        raise StartupError(f"{error.filename} cannot be read ({error.strerror})") from None
    return [change for change in found if change.before != change.after]


def told(found: Iterable[Change]) -> str:
    """The changes as a unified diff; of contracts, which are no text, only their size. Empty: there are none."""
    lines: list[str] = []
    for change in found:
        if change.name.endswith(".yaml"):
            before, after = (_lines(content) for content in (change.before, change.after))
            names = (
                f"{change.name} (on disk)" if change.before is not None else "/dev/null",
                f"{change.name} (made anew)" if change.after is not None else "/dev/null",
            )
            lines += difflib.unified_diff(before, after, *names, lineterm="")
        elif change.after is None:
            lines.append(f"- {change.name}: contracts as they were, {len(change.before or b'')} bytes")
        else:
            lines.append(f"+ {change.name}: contracts as they are, {len(change.after)} bytes")
    return "\n".join(lines)


def place(directory: Path, found: Iterable[Change]) -> None:
    """Makes the changes: each file is replaced whole, and what others refer to comes first and goes last.

    Raises StartupError when the directory cannot be written to.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for change in found:
            if change.after is None:
                (directory / change.name).unlink(missing_ok=True)
            else:
                write_whole(directory / change.name, change.after, PUBLIC)
        keep_names(directory)
    except OSError as error:
        raise StartupError(f"{directory} cannot be written to ({error.strerror})") from None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _lines(content: bytes | None) -> list[str]:
    return (content or b"").decode("utf-8", "replace").splitlines()
