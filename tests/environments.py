"""Empty Python environments that hold one distribution of ours and what it declares, made offline."""

import base64
import hashlib
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging import tags
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from source_tree import DISTRIBUTIONS

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet")
OURS: dict[NormalizedName, Path] = {
    canonicalize_name("intertie-protos" if package == "intertie" else package): home
    for package, home in DISTRIBUTIONS.items()
}


def wheels_of(names: Iterable[NormalizedName], directory: Path) -> list[str]:
    """Give a wheel of each of these distributions of ours; what is not yet in ``directory`` is built from source."""
    built = {canonicalize_name(wheel.name.split("-")[0]): str(wheel) for wheel in directory.glob("*.whl")}
    sources = [str(OURS[name]) for name in names if name not in built]
    if not sources:
        return [built[name] for name in names]
    command = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "--no-index", f"--wheel-dir={directory}"]
    subprocess.run([*command, *sources], check=True)
    return wheels_of(names, directory)


def needed_by(name: str) -> tuple[set[NormalizedName], set[NormalizedName]]:
    """Follow the declared dependencies of a distribution of ours: (those of ours with itself, other people's)."""
    ours: set[NormalizedName] = set()
    others: set[NormalizedName] = set()
    seen: set[tuple[NormalizedName, frozenset[str]]] = set()
    waiting = [Requirement(name)]
    while waiting:
        requirement = waiting.pop()
        key = canonicalize_name(requirement.name)
        if (key, frozenset(requirement.extras)) in seen:
            continue
        seen.add((key, frozenset(requirement.extras)))
        if key in OURS:
            ours.add(key)
            project = tomllib.loads((OURS[key] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
            waiting += _wanted(project.get("dependencies", ()), set())
        else:
            others.add(key)
            waiting += _wanted(metadata.requires(key) or (), requirement.extras)
    return ours, others


_TAGS = {str(tag) for tag in tags.sys_tags()}
_WRITTEN_BY_PIP = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}


def repacked(names: Iterable[NormalizedName], directory: Path) -> None:
    """Put a wheel of each of these installed distributions into ``directory``, made of the files that pip unpacked.

    So an installation can be tried that finds wheels and nothing else, without fetching any.
    """
    for name in names:
        distribution = metadata.distribution(name)
        lines = (distribution.read_text("WHEEL") or "").splitlines()
        tag = next(tag for line in lines if (tag := line.removeprefix("Tag: ")) in _TAGS)
        target = directory / f"{distribution.metadata['Name'].replace('-', '_')}-{distribution.version}-{tag}.whl"
        if not target.exists():
            _pack(distribution, target)


def _pack(distribution: metadata.Distribution, target: Path) -> None:
    files = [file for file in distribution.files or () if file.parts[0] != ".." and "__pycache__" not in file.parts]
    folder = next(file.parts[0] for file in files if file.parts[0].endswith(".dist-info"))
    record = [f"{folder}/RECORD,,"]
    with zipfile.ZipFile(target, "w") as wheel:
        for file in files:
            if file.parts[0] == folder and file.name in _WRITTEN_BY_PIP:
                continue
            content = Path(str(file.locate())).read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            wheel.writestr(str(file), content)
            record.append(f"{file},sha256={digest},{len(content)}")
        wheel.writestr(f"{folder}/RECORD", "\n".join([*record, ""]))


def _wanted(requirements: Iterable[str], extras: set[str]) -> list[Requirement]:
    """Keep the requirements that apply on this machine, with these extras."""
    parsed = [Requirement(text) for text in requirements]
    return [
        requirement
        for requirement in parsed
        if requirement.marker is None
        or any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *sorted(extras)))
    ]


def create(directory: Path, name: str, wheels: Path) -> Path:
    """Make an environment for the distribution ``name`` and return its interpreter.

    Ours are built into the directory ``wheels``, once each, and installed by pip. What they declare of other people's
    is linked out of the environment that runs the tests, package by package, so that nothing else is there to be
    imported by accident; pip then checks that no requirement is missing.
    """
    venv.create(directory, symlinks=True)
    interpreter = directory / "bin" / "python"
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(directory)}))
    here = Path(sysconfig.get_path("purelib"))
    ours, others = needed_by(name)
    for other in others:
        for file in metadata.distribution(other).files or ():
            link = packages / file.parts[0]
            if file.parts[0] != ".." and not link.exists():
                link.symlink_to(here / file.parts[0])
    install = ["--python", str(interpreter), "install", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*PIP, *install, *wheels_of(ours, wheels)], check=True)
    subprocess.run([*PIP, "--python", str(interpreter), "check"], check=True, capture_output=True)
    return interpreter
