"""Files that are whole at any moment, also after the power failed: replaced at once, or only added to; one writer at a
time. All of it blocks for the disk.
"""

import fcntl
import glob
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PRIVATE, PUBLIC = 0o600, 0o644

FileVersion = tuple[int, int, int]


def version_of(path: Path) -> FileVersion | None:
    """What differs when the file was replaced or written to; None when it is not there."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock that this file is, made if need be; the kernel frees it with the process. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: str | bytes, mode: int) -> None:
    """Writes the file whole or not at all, for good when this returns. Raises OSError."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    keep_names(path.parent)


def clear_away(path: Path) -> None:
    """Removes what writes of the file have left that were cut off: it may be a secret.

    For whoever holds the lock against other writers. Raises OSError.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        if left.suffix != ".lock":
            left.unlink(missing_ok=True)


def append_lines(path: Path, lines: bytes) -> None:
    """Adds whole lines to the file, its owner's alone, for good when this returns. Raises OSError; then some may be
    there already.

    What a write that was cut off has left at the end of the file becomes a line of its own.
    """
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, PRIVATE)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            lines = b"\n" + lines
        while lines:
            lines = lines[os.write(descriptor, lines) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if is_new:
        keep_names(path.parent)


def keep_names(directory: Path) -> None:
    """Makes what was made, renamed or removed in the directory last. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
