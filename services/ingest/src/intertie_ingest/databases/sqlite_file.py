"""Which file an SQLite connection may open: a database of others', never one of the suite's own."""

import os
import stat
from collections.abc import Collection
from pathlib import Path
from urllib.parse import quote

from intertie_ingest.errors import ConnectionUnusable

_REFUSED = (
    "db_name must be the absolute path of a SQLite file that is there and is not one of Intertie's own, or the name of "
    "one in the folder `external` of the data directory"
)
_SIDES = ("-wal", "-shm", "-journal")
_NO_FILES = ("proc", "sys")
"""Directories of the root in which the kernel shows itself as files, some of which pass for empty databases."""

EXTERNAL = "external"
"""The folder of a forbidden directory that is for files of others; names that are no absolute paths lie there."""


def checked(name: str, forbidden: Collection[Path]) -> Path:
    """The file itself, behind all links. Raises ConnectionUnusable, with one text for all that may not be opened.

    Args:
    forbidden: files, and directories with all that is below them but their folder `external`.
    """
    if not name or "\0" in name:
        raise ConnectionUnusable(_REFUSED)
    try:
        path = _place(name, forbidden).resolve(strict=True)
        found = path.stat()
    except (OSError, RuntimeError):
        raise ConnectionUnusable(_REFUSED) from None
    is_file = stat.S_ISREG(found.st_mode) and path.parts[1] not in _NO_FILES
    if not is_file or path.name.endswith(_SIDES) or _is_forbidden(path, found, forbidden):
        raise ConnectionUnusable(_REFUSED)
    return path


def _place(name: str, forbidden: Collection[Path]) -> Path:
    """Columns for names are short and directories may move: so a file in `external` is known by its name alone."""
    if Path(name).is_absolute():
        return Path(name)
    places = [other / EXTERNAL / name for other in forbidden]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise ConnectionUnusable(_REFUSED)
    return found


def uri(path: Path, mode: str) -> str:
    """The file as SQLite opens it in this mode, `ro` or `rw`: neither makes one."""
    return f"file:{quote(str(path))}?mode={mode}"


def _is_forbidden(path: Path, found: os.stat_result, forbidden: Collection[Path]) -> bool:
    for other in forbidden:
        target = other.resolve()
        if target == path or (target in path.parents and target / EXTERNAL not in path.parents):
            return True
        # A hard link is the same file under a name that no path tells.
        if found.st_nlink > 1 and _same_as_any(found, target):
            return True
    return False


def _same_as_any(found: os.stat_result, target: Path) -> bool:
    try:
        files = [target, *target.rglob("*")] if target.is_dir() else [target]
        return any(os.path.samestat(found, file.stat()) for file in files)
    except OSError:
        return False
