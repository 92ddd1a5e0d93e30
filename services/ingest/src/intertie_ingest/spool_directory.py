"""The directory of a spool: made for its owner alone, and one process's at a time."""

import fcntl
import os
import sys
from pathlib import Path

from intertie_chassis.durable_files import PRIVATE, keep_names
from intertie_chassis.errors import StartupError

_FILE, _LOCK = "spool.db", "spool.lock"


class SpoolDirectory:
    """A directory that this process has taken; the kernel gives it back when the process dies."""

    def __init__(self, path: Path, lock: int) -> None:
        """For `take`."""
        self._path = path
        self._lock = lock

    @classmethod
    def take(cls, path: Path) -> "SpoolDirectory":
        """Makes the directory and its file if need be, both readable by their owner alone, and takes it.

        A directory that is there keeps its mode. Raises StartupError when another process has it, or it cannot be used.
        """
        path = path.absolute()
        try:
            is_new = not path.exists()
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = _opened(path / _LOCK)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # SQLite gives its files beside this one the same mode.
                os.close(_opened(path / _FILE))
                keep_names(path)
                if is_new:
                    keep_names(path.parent)
            except BaseException:
                os.close(lock)
                raise
        except BlockingIOError:
            raise StartupError(
                f"another process has the spool in {path}; each replica of ingest needs its own INTERTIE_SPOOL_DIR"
            ) from None
        except OSError as error:
            raise StartupError(f"the spool directory {path} cannot be used ({error.strerror})") from error
        return cls(path, lock)

    @property
    def url(self) -> str:
        """The URL of the database in it."""
        return f"sqlite+aiosqlite:///{self._path / _FILE}"

    @property
    def free(self) -> int:
        """Bytes that its file system still has for this process; without end when it does not say."""
        try:
            found = os.statvfs(self._path)
        except OSError:
            return sys.maxsize
        return found.f_bavail * found.f_frsize

    def release(self) -> None:
        """Gives the directory back; the second time nothing."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
