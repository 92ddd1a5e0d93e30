"""deploy/secrets.sh makes what docker-compose.yml mounts: private, once, and in the form that each reader takes."""

import shutil
import subprocess
from pathlib import Path

import pytest

from compose_file import compose
from intertie_chassis.sealing_keys import parse
from source_tree import ROOT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a copy of the command has made the secrets."""
    shutil.copy(ROOT / "deploy" / "secrets.sh", tmp_path)
    _make(tmp_path / "secrets")
    return tmp_path / "secrets"


def _make(folder: Path) -> str:
    done = subprocess.run([folder.parent / "secrets.sh"], check=True, capture_output=True, text=True, cwd="/")
    return done.stdout


def test_makes_all_that_are_mounted_and_no_other(folder: Path) -> None:
    declared = {Path(secret["file"]) for secret in compose()["secrets"].values()}
    assert {ROOT / path for path in declared} == {ROOT / "deploy" / "secrets" / file.name for file in folder.iterdir()}


def test_keeps_others_out_and_lets_containers_read(folder: Path) -> None:
    """A mounted file has the owner and the mode that it has outside, and each container a user of its own."""
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o644}


def test_what_is_there_stays(folder: Path) -> None:
    (folder / "grafana_password").unlink()
    before = (folder / "database_password").read_text()
    said = _make(folder)
    assert (folder / "database_password").read_text() == before
    assert "kept  deploy/secrets/database_password" in said
    assert "made  deploy/secrets/grafana_password" in said
    assert before.strip() not in said


def test_each_is_in_the_form_that_its_reader_takes(folder: Path) -> None:
    for name in ("database_password", "grafana_password"):
        assert len((folder / name).read_text().strip()) >= 32
    assert len(parse((folder / "sealing_keys").read_text(), "sealing_keys").all) == 1


def test_no_secret_is_checked_in() -> None:
    ignored = subprocess.run(
        ["git", "check-ignore", "deploy/secrets/database_password"], cwd=ROOT, capture_output=True, check=False
    )
    if ignored.returncode == 128:
        pytest.skip("this is no clone")
    assert ignored.returncode == 0
