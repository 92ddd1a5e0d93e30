"""What the manifests say is run without a cluster: pods with their settings, secrets and volumes, each of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
import yaml

import manifests
from compose_file import IMAGES, PROCESSES
from deployed import Deployed, without_password
from manifests import BASE, HOME
from source_tree import ROOT
from waiting import eventually

ORDER = ("gateway", "mapper", "pull", "ingest", "audit", "registry")
ALL = manifests.of_folder(BASE)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """The folder of secrets that the command makes for an overlay."""
    (tmp_path / "overlay").mkdir()
    _make(tmp_path / "overlay")
    return tmp_path / "overlay" / "secrets"


def _make(overlay: Path, *options: str) -> str:
    environment = {"PATH": "/usr/bin:/bin", "INTERTIE": str(Path(sys.executable).with_name("intertie"))}
    command = [HOME / "secrets.sh", overlay, *options]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/", check=True)
    return done.stdout


@pytest.fixture
def pods(tmp_path: Path, made: Path, mariadb_url: str) -> Iterator[Deployed]:
    """A pod of each process, none started: a folder of each for its data, and its secrets as they are mounted."""
    url, password = without_password(mariadb_url)
    (made / "database_password").write_text(f"{password}\n")
    environments = {}
    for workload in manifests.workloads(ALL):
        container = workload.containers()[0]
        environments[workload.name] = manifests.environment(ALL, container)
        mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        pod = tmp_path / workload.name
        for volume in workload.pod["volumes"]:
            if "secret" in volume:
                _project(made, volume["secret"]["secretName"], pod / Path(mounted[volume["name"]]).name)
        (pod / "data").mkdir(parents=True)
    images = {**{process: IMAGES.get(process, process) for process in PROCESSES}, "migrate": "cli", "envoy": "cli"}
    places = {"/run/secrets/": f"{tmp_path}/{{name}}/", "/data": f"{tmp_path}/{{name}}/data"}
    pods = Deployed(tmp_path, environments, images, url, places)
    yield pods
    pods.stop()


def _project(made: Path, secret: str, folder: Path) -> None:
    """Put the files of a secret where it is mounted, as the example's secretGenerator names them."""
    generated = yaml.safe_load((HOME / "overlays" / "example" / "kustomization.yaml").read_text(encoding="utf-8"))
    [files] = [each["files"] for each in generated["secretGenerator"] if each["name"] == secret]
    folder.mkdir(parents=True)
    for file in files:
        key, _, source = file.partition("=")
        (folder / key).write_bytes((made / Path(source).name).read_bytes())
        (folder / key).chmod(0o440)


async def test_pods_become_ready_whatever_the_order_and_none_can_sign(pods: Deployed, made: Path) -> None:
    """With public keys and a token of its own each pod takes calls and makes them; the tables are made last."""
    assert set(ORDER) == set(PROCESSES)
    for name in ORDER:
        pods.start(name)
    migrate = next(each for each in manifests.workloads(ALL) if each.name == "migrate")
    migrated = pods.run("migrate", *migrate.pod["containers"][0]["command"])
    assert migrated.returncode == 0, migrated.stderr
    for name in ORDER:
        try:
            await eventually(partial(pods.is_healthy, name), timeout=60, every=0.2)
        except AssertionError:
            pytest.fail(pods.log(name).read_text(), pytrace=False)
    assert list(pods.directory.glob("*/data/keys/signing.jwk")) == []
    assert list(pods.directory.glob("*/data/admin.token")) == []

    admin = (made / "identity" / "admin.token").read_text().strip()
    gateway = f"http://127.0.0.1:{pods.ports['gateway']}"
    async with httpx.AsyncClient(base_url=gateway, headers={"Authorization": f"Bearer {admin}"}) as client:
        created = await client.post(
            "/api/v1/integrations/systems",
            json={"system_name": "hospital", "display_name": "Hospital", "system_type": "hybrid"},
        )
        assert created.status_code == 200, created.text

        async def is_logged() -> bool:
            entries = (await client.get("/api/v1/integrations/logs")).json()
            return "hospital" in json.dumps(entries)

        # Registry's entry reaches audit: services believe each other by these tokens.
        await eventually(is_logged, timeout=30)
    # What Envoy is configured with may ask what the services offer, and look; not change anything.
    environment = pods.environment("envoy")
    assert Path(environment["INTERTIE_TOKEN_FILE"]).read_text() == (made / "token-envoy").read_text()
    looked = pods.run("envoy", "intertie", "systems", "list", "--json")
    assert "hospital" in looked.stdout, looked.stderr
    refused = pods.run("envoy", "intertie", "systems", "delete", "hospital", "--yes")
    assert refused.returncode != 0
    assert pods.stop() == [0] * len(ORDER)


def test_secrets_are_private_and_stay(made: Path) -> None:
    """A second run keeps what is there; `--renew-tokens` makes tokens anew, with the same keys."""
    assert all(path.stat().st_mode & 0o077 == 0 for path in made.iterdir())
    before = {path.name: path.read_bytes() for path in made.iterdir() if path.is_file()}
    said = _make(made.parent)
    assert said.count("kept") == len(before) - 2  # what pods know of the keys is copied anew
    assert {path.name: path.read_bytes() for path in made.iterdir() if path.is_file()} == before
    _make(made.parent, "--renew-tokens")
    assert (made / "token-mapper").read_bytes() != before["token-mapper"]
    assert (made / "jwks.json").read_bytes() == before["jwks.json"]
    assert (made / "sealing_keys").read_bytes() == before["sealing_keys"]


def test_a_revocation_gets_into_what_pods_are_given(made: Path) -> None:
    intertie = [
        str(Path(sys.executable).with_name("intertie")),
        "token",
        "revoke",
        "--data-dir",
        made / "identity",
        "-",
    ]
    subprocess.run(intertie, input=(made / "token-pull").read_bytes(), check=True, capture_output=True)
    _make(made.parent)
    revoked = json.loads((made / "revoked.json").read_text())
    assert len(revoked["tokens"]) == 1


def test_no_overlays_secret_is_checked_in() -> None:
    path = "deploy/kubernetes/overlays/example/secrets/token-pull"
    ignored = subprocess.run(["git", "check-ignore", path], cwd=ROOT, capture_output=True, check=False)
    if ignored.returncode == 128:
        pytest.skip("this is no clone")
    assert ignored.returncode == 0
