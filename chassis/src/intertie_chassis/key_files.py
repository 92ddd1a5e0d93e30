"""The files of a data directory that say who is who: their places, one writer at a time, each write whole or none."""

import fcntl
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


class KeyFiles:
    """The files. Everything that writes does so within `locked`."""

    def __init__(self, data_dir: Path | str) -> None:
        self.data_dir = Path(data_dir)
        self.directory = self.data_dir / "keys"
        self.signing = self.directory / "signing.jwk"
        """The private key that signs."""
        self.next = self.directory / "next.jwk"
        """The private key that will sign next, while it is only published."""
        self.public = self.directory / "jwks.json"
        """The public keys that verify."""
        self.journal = self.directory / "journal.jsonl"
        """What happened to tokens and keys."""
        self.revoked = self.directory / "revoked.json"
        """What is refused, derived from the journal."""
        self.admin_token = self.data_dir / "admin.token"
        """The admin token, one line."""

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the directory, made if need be; the kernel frees it with the process. Raises OSError."""
        # The data directory is the owner's alone, too: the embedded databases in it hold the secrets of systems.
        for directory in (self.data_dir, self.directory):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._clear_away()
            yield
        finally:
            os.close(descriptor)

    def _clear_away(self) -> None:
        """Removes what writes have left that were cut off: it may be a private key or a token."""
        for path in (self.signing, self.next, self.public, self.revoked, self.admin_token):
            for left in path.parent.glob(f".{path.name}.*"):
                left.unlink(missing_ok=True)

    def write(self, path: Path, text: str, mode: int) -> None:
        """Writes the file whole or not at all, also when the power fails. Raises OSError."""
        write_whole(path, text, mode)

    def append(self, path: Path, text: str) -> None:
        """Adds whole lines to the file, for good when this returns. Raises OSError.

        What a write that was cut off has left at the end of the file becomes a line of its own.
        """
        is_new = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, PRIVATE)
        try:
            size = os.fstat(descriptor).st_size
            is_torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            data = ("\n" + text if is_torn else text).encode()
            while data:
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if is_new:
            _keep_names(path.parent)

    def rename(self, path: Path, target: Path) -> None:
        """Puts the file in the place of another one, for good when this returns. Raises OSError."""
        os.replace(path, target)
        _keep_names(target.parent)

    def remove(self, path: Path) -> None:
        """Removes the file, for good when this returns. Raises OSError."""
        path.unlink(missing_ok=True)
        _keep_names(path.parent)


def write_whole(path: Path, text: str, mode: int) -> None:
    """Writes the file whole or not at all, also when the power fails. Raises OSError."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    _keep_names(path.parent)


def _keep_names(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
