"""Where a run of tests keeps its files: in memory, where there is plenty of it.

A disk that others keep busy makes servers look as if they hung, and every test waits for its flushes. What a power cut
leaves is tested on disks that those tests make.
"""

import os
import subprocess
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")
_BYTES_FREE = 12 << 30
_SCRIPT = "#!/bin/sh\n"


def use() -> None:
    """Has `tempfile`, and whatever a test starts, make files in memory; not where somebody has named a directory."""
    if "TMPDIR" not in os.environ and _has_room() and _runs_programs():
        os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)


def _has_room() -> bool:
    """Whether as much as a run needs is free, of memory too: a tmpfs promises more than there is."""
    try:
        memory = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return min(memory, os.statvfs(_MEMORY).f_bavail * os.statvfs(_MEMORY).f_frsize) > _BYTES_FREE
    except (OSError, ValueError):
        return False


def _runs_programs() -> bool:
    """Tests make environments and run what is in them, which containers often forbid there."""
    try:
        with tempfile.TemporaryDirectory(dir=_MEMORY) as directory:
            program = Path(directory) / "program"
            program.write_text(_SCRIPT)
            program.chmod(0o700)
            return subprocess.run([program], check=False).returncode == 0
    except OSError:
        return False
