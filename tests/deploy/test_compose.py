"""docker-compose.yml and the Dockerfile agree with the suite: its processes, settings, addresses and folders."""

import re
import tomllib
from typing import Any

import pytest
import yaml

from source_tree import DISTRIBUTIONS, ROOT, SERVICES

PROCESSES = (*SERVICES, "pull", "gateway")
#: processes whose code another one's distribution holds
IMAGES = {"pull": "ingest"}
SETTING = re.compile(r"`(INTERTIE_[A-Z_]+)`")


@pytest.fixture
def compose() -> dict[str, Any]:
    """The parsed file, its anchors and merges resolved."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return loaded


def test_runs_every_process(compose: dict[str, Any]) -> None:
    """MariaDB, the migration, and each process from the image that holds it."""
    assert {"mariadb", "migrate", *PROCESSES} == set(compose["services"])
    built = {
        name: service["build"]["args"]["SERVICE"] for name, service in compose["services"].items() if "build" in service
    }
    assert {"migrate": "cli", **{process: IMAGES.get(process, process) for process in PROCESSES}} == built


def test_sets_only_what_is_read(compose: dict[str, Any]) -> None:
    """Each INTERTIE_ variable is a setting; a misspelt one would be ignored in silence."""
    known = set(SETTING.findall((ROOT / "docs" / "settings.md").read_text(encoding="utf-8")))
    given = {
        name
        for service in compose["services"].values()
        for name in service.get("environment", {})
        if name.startswith("INTERTIE_")
    }
    assert set() == given - known


def test_processes_reach_each_other(compose: dict[str, Any]) -> None:
    """Each process listens beyond its container, on the port under which the others look for it."""
    for process in PROCESSES:
        environment = compose["services"][process]["environment"]
        for service in (*SERVICES, "pull"):
            host, port = environment[f"INTERTIE_{service.upper()}_ADDRESS"].split(":")
            assert (service, f"0.0.0.0:{port}") == (host, environment[f"INTERTIE_{service.upper()}_LISTEN"])
    gateway = compose["services"]["gateway"]
    assert gateway["ports"] == ["127.0.0.1:8080:8080"]
    assert gateway["environment"]["INTERTIE_GATEWAY_LISTEN"].endswith(":8080")


def test_processes_share_identity_and_wait_for_the_tables(compose: dict[str, Any]) -> None:
    """All have the same keys, and none starts before the migration has ended well."""
    for process in PROCESSES:
        service = compose["services"][process]
        assert service["volumes"] == ["identity:/data"]
        assert service["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert {"database", "identity"} == set(compose["volumes"])


def test_no_password_is_in_the_file(compose: dict[str, Any]) -> None:
    """Passwords come from whoever starts it, and starting without one is refused."""
    values = [
        compose["services"]["mariadb"]["environment"]["MARIADB_PASSWORD"],
        compose["x-settings"]["INTERTIE_DATABASE_URL"],
    ]
    assert all("${DATABASE_PASSWORD:?" in value for value in values)


def test_image_is_built_from_every_distribution() -> None:
    """The Dockerfile copies and builds each folder of a process, and .dockerignore lets each through. The client is for
    modules: no process of ours needs it.
    """
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for home in (home for package, home in DISTRIBUTIONS.items() if package != "intertie_client"):
        folder = home.relative_to(ROOT)
        assert f"COPY {folder.parts[0]} {folder.parts[0]}\n" in dockerfile
        assert re.search(rf" \./{folder}(\s|$)", dockerfile), folder
        assert f"!{folder.parts[0]}" in ignored


def test_command_brings_every_owner_of_tables() -> None:
    """The image that migrates has the code of all services in it: the command declares them."""
    project = tomllib.loads((ROOT / "cli" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.split(r"[^a-z-]", requirement)[0] for requirement in project["dependencies"]}
    assert {f"intertie-{service}" for service in SERVICES} <= declared
    assert "intertie" in project["scripts"]
