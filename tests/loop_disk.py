"""Disks whose power can be cut: an ext4 file system in a file, of which a copy is what the disk held at that moment.

What programs wrote and nobody synced stands in the page cache and not in the file, so that it is gone in the copy, as
after a real cut. The disk itself is taken to keep what it was given: writes that a device's own cache would lose are
not lost here. Needs root, for loop devices and mounts.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

_PREFIX = "intertie-disks-"
_PROGRAMS = ("mkfs.ext4", "losetup", "mount", "umount", "cp", "sync")
_SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
_BUSY_SECONDS = 20.0
_COPIES = 20


class Disks:
    """A directory of disks, `with Disks.open() as disks:`; at the end all are unmounted and removed.

    What runs that were killed have left is removed by the next one.
    """

    def __init__(self, directory: Path, lock: int) -> None:
        """For `open`."""
        self.directory = directory
        self._lock = lock
        self._disks: list[Disk] = []

    @classmethod
    def open(cls) -> "Disks | None":
        """None where this machine or account has no loop devices."""
        if os.geteuid() != 0 or not Path("/dev/loop-control").exists():
            return None
        if any(shutil.which(program, path=_SEARCH_PATH) is None for program in _PROGRAMS):
            return None
        _remove_leftovers()
        made = Path(tempfile.mkdtemp(prefix=f"new-{_PREFIX}"))
        # Held until the process ends, however it does: by it other runs know whether the directory is in use.
        lock = os.open(made / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        # None of them has seen it without its lock.
        disks = cls(made.rename(made.with_name(made.name.removeprefix("new-"))), lock)
        try:
            disks.make("trial", mebibytes=8).remove()
        except subprocess.CalledProcessError:
            disks.close()
            return None
        return disks

    def __enter__(self) -> "Disks":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def make(self, name: str, *, mebibytes: int) -> "Disk":
        """An empty disk; it takes as much room as is written to it. Raises CalledProcessError."""
        image = self.directory / f"{name}.img"
        with image.open("wb") as file:
            file.truncate(mebibytes << 20)
        # All is laid out now: what the kernel lays out later, in the background, it writes while nobody expects it.
        layout = "lazy_itable_init=0,lazy_journal_init=0,nodiscard"
        _run("mkfs.ext4", "-q", "-F", "-N", "4096", "-E", layout, str(image))
        return self._mounted(image)

    def cut(self, disk: "Disk", name: str) -> "Disk":
        """A disk with what `disk` would hold if its power failed now; its programs must not be running meanwhile."""
        image = self.directory / f"{name}.img"
        for _ in range(_COPIES):
            before = disk.written()
            _run("cp", "--sparse=always", str(disk.image), str(image))
            # The kernel still writes when it likes to; a copy of two moments is of no power cut.
            if before is not None and before == disk.written():
                return self._mounted(image)
        raise RuntimeError(f"{disk.image} was written to during each of {_COPIES} copies")

    def close(self) -> None:
        """Unmount and remove all."""
        for disk in self._disks:
            disk.remove()
        shutil.rmtree(self.directory, ignore_errors=True)
        os.close(self._lock)

    def _mounted(self, image: Path) -> "Disk":
        disk = Disk(image)
        self._disks.append(disk)
        disk.mount()
        return disk


class Disk:
    """One of them, mounted at `path`."""

    def __init__(self, image: Path) -> None:
        """For `Disks`."""
        self.image = image
        self.path = image.with_suffix("")

    def mount(self) -> None:
        """Mount it; the kernel does what it does after a power cut. Raises CalledProcessError."""
        self.path.mkdir()
        # Direct: the file is then written to when the device is, not when the kernel comes to it.
        device = _run("losetup", "--show", "-f", "--direct-io=on", str(self.image)).strip()
        try:
            _run("mount", "-o", "noatime,nodiscard", device, str(self.path))
        finally:
            # The kernel lets a device that is in use go when it no longer is.
            _run("losetup", "-d", device)

    def written(self) -> tuple[int, int] | None:
        """How often and how much was written to it so far; None while something is under way."""
        number = self.path.stat().st_dev
        fields = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/stat").read_text().split()
        return None if int(fields[8]) else (int(fields[4]), int(fields[6]))

    def sync(self) -> None:
        """Write what stands in the page cache."""
        _run("sync", "--file-system", str(self.path))

    def remove(self) -> None:
        """Unmount it, waiting for those who have just been killed on it, and remove it; nothing when that was done."""
        _unmount(self.path)
        self.image.unlink(missing_ok=True)


def _unmount(path: Path) -> None:
    until = time.monotonic() + _BUSY_SECONDS
    while path.is_mount():
        try:
            _run("umount", str(path))
        except subprocess.CalledProcessError:
            if time.monotonic() > until:
                _run("umount", "--lazy", str(path))  # gone for us now, and for the kernel when its last user is
            time.sleep(0.1)
    with suppress(FileNotFoundError):
        path.rmdir()


def _remove_leftovers() -> None:
    for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError, subprocess.CalledProcessError):
            lock = os.open(directory / "lock", os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for path in directory.iterdir():
                    if path.is_mount():
                        _unmount(path)
                shutil.rmtree(directory)
            finally:
                os.close(lock)


def _run(program: str, *arguments: str) -> str:
    done = subprocess.run(
        [program, *arguments],
        env={**os.environ, "PATH": _SEARCH_PATH},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
