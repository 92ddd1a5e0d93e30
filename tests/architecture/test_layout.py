"""How files are named, how long they are, and what none of them may hold."""

import ast
import re
from collections import Counter

import pytest

from source_tree import DISTRIBUTIONS, ROOT, SERVICES, SourceFile, distributed_files, hand_written_files

#: names that say nothing about what is inside; name the file by its noun instead
BANNED_NAMES = {"utils", "util", "common", "helpers", "helper", "misc", "base", "manager", "managers"}
LONGEST_FILE = 400
LONGEST_MAIN = 60
RINGS = {"unit", "stores", "rpc", "gateway", "end_to_end", "faults", "architecture", "deploy"}


def _package_files(*packages: str) -> list[SourceFile]:
    return [file for file in distributed_files() if file.package in packages and not file.generated]


def test_every_file_is_named_by_its_noun() -> None:
    """No file or folder is a place for whatever has no place."""
    assert [file.name for file in hand_written_files() if file.nouns & BANNED_NAMES] == []


def test_no_file_is_too_long() -> None:
    """Over the limit a file is about more than one thing: split it."""
    assert {file.name: file.lines for file in hand_written_files() if file.lines > LONGEST_FILE} == {}


def test_every_main_only_composes() -> None:
    """A __main__ reads settings, builds and serves; what else it held would be untested."""
    mains = [file for file in hand_written_files() if file.path.name == "__main__.py"]
    assert {file.name: file.lines for file in mains if file.lines > LONGEST_MAIN} == {}


def test_every_file_says_what_it_is_for() -> None:
    """Each module opens with a docstring (an empty __init__ has nothing to say)."""
    assert [file.name for file in hand_written_files() if file.tree.body and not ast.get_docstring(file.tree)] == []


def test_nothing_is_left_for_later() -> None:
    """What is not done is an issue, not a comment."""
    later = re.compile(r"#\s*(TODO|FIXME|XXX)\b")
    assert [file.name for file in hand_written_files() if later.search(file.path.read_text(encoding="utf-8"))] == []


def test_only_settings_read_the_environment() -> None:
    """A process reads its environment in one place, once: what it can be told is then all in docs/settings.md."""
    packages = [f"intertie_{service}" for service in SERVICES]
    readers = {
        file.name
        for file in _package_files("intertie_chassis", "intertie_gateway", *packages)
        if "settings" not in file.nouns
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
    }
    assert set() == readers


def test_a_service_file_catches_nothing() -> None:
    """Errors are translated by the chassis, for every method alike; a method that catches is one that differs."""
    services = _package_files(*(f"intertie_{service}" for service in SERVICES))
    catching = {
        file.name
        for file in services
        if "service" in file.nouns
        for node in ast.walk(file.tree)
        if isinstance(node, ast.ExceptHandler)
    }
    assert set() == catching


@pytest.mark.parametrize("package", DISTRIBUTIONS)
def test_distribution_is_named_as_it_is_imported(package: str) -> None:
    """Distribution name = import name with hyphens, one package each, and typed."""
    home = DISTRIBUTIONS[package]
    name = "intertie-protos" if package == "intertie" else package.replace("_", "-")
    assert f'name = "{name}"' in (home / "pyproject.toml").read_text()
    assert [package] == [path.name for path in (home / "src").iterdir() if path.suffix != ".egg-info"]
    assert (home / "src" / package / "py.typed").exists()


def test_contracts_are_a_namespace() -> None:
    """No __init__.py among the generated code: path = package = import, and nothing to keep in step."""
    assert list((ROOT / "protos" / "src").rglob("__init__.py")) == []


def test_every_test_is_in_a_ring() -> None:
    """Test files lie in a ring's folder, each with a name of its own (there are no packages to tell them apart)."""
    tests = sorted((ROOT / "tests").rglob("test_*.py"))
    rings = {path.relative_to(ROOT / "tests").parts[0] for path in tests}
    assert set() == rings - RINGS
    assert [name for name, count in Counter(path.name for path in tests).items() if count > 1] == []


def test_the_lock_names_no_address() -> None:
    """The lock holds versions and hashes; where packages come from is each machine's own setting."""
    lock = (ROOT / "requirements.lock").read_text()
    assert "--hash=sha256:" in lock
    assert not re.search(r"://|--(extra-)?index-url|--find-links", lock)
