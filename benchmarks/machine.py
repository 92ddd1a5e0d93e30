"""On what a run was made: the machine, and the versions of all that takes part."""

import os
import platform
import re
import sqlite3
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path

from mariadb import find

_PACKAGES = ("grpcio", "protobuf", "SQLAlchemy", "asyncmy", "aiosqlite", "uvicorn", "uvloop", "httptools", "orjson")
_NOT_DURABLE = {"tmpfs", "ramfs", "overlay"}


def missing() -> list[str]:
    """What has to be installed before anything can be measured, each with how; empty when all is there."""
    lines = []
    if find("wrk") is None:
        lines.append("wrk, the load generator, is missing; on Debian: apt-get install wrk")
    if find("mariadbd") is None or find("mariadb-install-db") is None:
        lines.append("MariaDB's server is missing; on Debian: apt-get install mariadb-server")
    return lines


def describe() -> dict[str, str]:
    """The machine, in words."""
    one, five, fifteen = os.getloadavg()
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{pages / 2**30:.0f} GiB",
        "system": _system(),
        "kernel": platform.release(),
        "file system": filesystem(Path(tempfile.gettempdir())),
        "load before": f"{one:.1f}, {five:.1f}, {fifteen:.1f} (1, 5, 15 minutes)",
    }


def versions() -> dict[str, str]:
    """By name."""
    return {
        "Python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
        "SQLite": sqlite3.sqlite_version,
        "MariaDB": _said("mariadbd", "--version", r"Ver (\S+)"),
        "wrk": _said("wrk", "--version", r"wrk \D*([\d.]+)"),
    }


def filesystem(directory: Path) -> str:
    """The kind of the file system on which a directory lies; says so when it is none on which commits are durable."""
    kinds = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    over = [(Path(place), kind) for place, kind in kinds if directory.is_relative_to(place)]
    # Of two mounts on one place the later one counts.
    kind = max(enumerate(over), key=lambda one: (len(one[1][0].parts), one[0]))[1][1]
    return f"{kind} (in memory or layered: commits may not reach a disk; set TMPDIR)" if kind in _NOT_DURABLE else kind


def _processor() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found.group(1) if found else platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def _said(program: str, flag: str, pattern: str) -> str:
    """The version in what a program says of itself; wrk exits with 1 when it says it."""
    done = subprocess.run(
        [find(program) or program, flag], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    found = re.search(pattern, done.stdout + done.stderr)
    return found.group(1) if found else "unknown"
