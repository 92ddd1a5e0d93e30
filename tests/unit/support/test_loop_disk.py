"""Disks whose power is cut keep what was synced and nothing else, and none outlives its run."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import processes
import requirement
from loop_disk import Disks

TESTS = Path(processes.__file__).parent

MAKES_A_DISK = """
import sys, time
sys.path.insert(0, sys.argv[1])
from loop_disk import Disks
print(Disks.open().make("left", mebibytes=8).path, flush=True)
time.sleep(60)
"""


@pytest.fixture
def disks() -> Iterator[Disks]:
    """Disks of the test's own."""
    opened = Disks.open()
    if opened is None:
        requirement.missing("loop devices", "run as root, on Linux with e2fsprogs and util-linux")
    with opened:
        yield opened


def test_a_cut_takes_what_nobody_synced(disks: Disks) -> None:
    """Of two files, and of one whose end was not synced; the disk itself goes on with all of it."""
    disk = disks.make("live", mebibytes=16)
    (disk.path / "unsynced").write_bytes(b"gone")
    with (disk.path / "synced").open("wb") as file:
        file.write(b"kept")
        file.flush()
        os.fsync(file.fileno())
        file.write(b" and gone")
    cut = disks.cut(disk, "cut")
    assert (cut.path / "synced").read_bytes() == b"kept"
    assert not (cut.path / "unsynced").exists() or not (cut.path / "unsynced").read_bytes()
    assert (disk.path / "synced").read_bytes() == b"kept and gone"
    disk.sync()
    assert (disks.cut(disk, "later").path / "unsynced").read_bytes() == b"gone"


def test_what_a_killed_run_left_is_removed(disks: Disks) -> None:
    """Its disk is still mounted when the next one begins, and not any more when that has begun; ours stays."""
    ours = disks.make("ours", mebibytes=8)
    run = subprocess.Popen([sys.executable, "-c", MAKES_A_DISK, str(TESTS)], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    left = Path(run.stdout.readline().strip())
    run.send_signal(signal.SIGKILL)
    run.wait()
    run.stdout.close()
    assert left.is_mount()
    another = Disks.open()
    assert another is not None
    another.close()
    assert not left.is_mount()
    assert not left.parent.exists()
    assert ours.path.is_mount()
