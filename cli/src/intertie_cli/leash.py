"""Becomes a process of the suite that cannot outlive the one that started it.

Run as a file by itself, before anything of ours is imported: `python -I leash.py PARENT NICENESS MODULE`. Doing this in
the forked child (`preexec_fn`) instead is not safe once threads run, and asyncio starts some.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, niceness: int, command: list[str]) -> None:
    """Ties this process to its parent, lowers its priority, and becomes the command."""
    if sys.platform == "linux":
        # SIGKILL: the parent is gone without a word, and nobody is left to wait for a graceful end. What was
        # acknowledged is on disk by then. It holds through exec.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)  # it was gone before we asked
    os.nice(niceness)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
