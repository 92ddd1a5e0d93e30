"""Check requirements.lock offline: all pinned and hashed, nothing missing, installed as locked, free of known faults.

What it cannot know without a network is what was published since: see CONTRIBUTING.md for that.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
WANTED = ROOT / "requirements.in"
ADVISORIES = Path(__file__).with_name("advisories.toml")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def entries(text: str) -> Iterator[tuple[Requirement, int]]:
    """Give each requirement of a lock with the number of its hashes. Raises ValueError for a line that is none."""
    for entry in text.replace("\\\n", " ").splitlines():
        if not entry.strip() or entry.startswith("#"):
            continue
        hashes = _HASH.findall(entry)
        yield Requirement(_HASH.sub("", entry).strip()), len(hashes)


def faults_of_lock(lock: str, wanted: str, advisories: str) -> Iterator[str]:
    """Say what is wrong with a lock: its form, what it lacks of what is wanted, and versions with known faults."""
    pinned: dict[str, Version] = {}
    for requirement, hashes in entries(lock):
        name, pins = canonicalize_name(requirement.name), list(requirement.specifier)
        if len(pins) != 1 or pins[0].operator != "==" or requirement.url:
            yield f"{name} is not pinned to one version"
            continue
        if not hashes:
            yield f"{name} has no hash"
        if name in pinned:
            yield f"{name} is locked twice"
        pinned[name] = Version(pins[0].version)
    for line in wanted.splitlines():
        if line.strip() and not line.startswith("#"):
            requirement = Requirement(line)
            found = pinned.get(canonicalize_name(requirement.name))
            if found is None or not requirement.specifier.contains(found):
                yield f"{requirement} is wanted, and the lock has {found or 'nothing'}"
    for advisory in tomllib.loads(advisories)["advisory"]:
        name, fixed = canonicalize_name(advisory["package"]), advisory["fixed"]
        if name in pinned and pinned[name] < Version(fixed):
            yield f"{name} {pinned[name]} has {advisory['id']} ({advisory['about']}): take {fixed} or newer"


def faults_of_environment(lock: str) -> Iterator[str]:
    """Say which packages are not installed as they are locked."""
    for requirement, _ in entries(lock):
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            yield f"{requirement.name} is locked and not installed; run `make setup`"
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            yield f"{requirement} is locked, and {installed} is installed; run `make setup`"


def main() -> int:
    """Print each fault; 1 when there is one."""
    lock = LOCK.read_text(encoding="utf-8")
    faults = [*faults_of_lock(lock, WANTED.read_text(encoding="utf-8"), ADVISORIES.read_text(encoding="utf-8"))]
    faults += faults_of_environment(lock)
    for fault in faults:
        print(f"requirements.lock: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
