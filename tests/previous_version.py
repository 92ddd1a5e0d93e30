"""The version before this one, out of the history: what has to live beside this one on one database."""

import os
import subprocess
import tarfile
from pathlib import Path

import requirement
from source_tree import DISTRIBUTIONS, ROOT

COMMIT = "8a8e1eed15e01f08a0dc99ec2424c6591307b4c3"


def unpack(directory: Path) -> Path:
    """Put its source tree into a folder below ``directory``; the test is skipped in a clone without history."""
    archive = directory / "previous.tar"
    done = subprocess.run(["git", "archive", "-o", archive, COMMIT], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        requirement.missing("history", "clone with its history: git fetch --unshallow")
    tree = directory / "previous"
    with tarfile.open(archive) as packed:
        packed.extractall(tree, filter="data")
    return tree


def python_path(tree: Path) -> str:
    """Say where its code is found, before what is installed."""
    return os.pathsep.join(str(tree / home.relative_to(ROOT) / "src") for home in DISTRIBUTIONS.values())
