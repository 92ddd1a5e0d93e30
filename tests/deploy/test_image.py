"""Each image, as far as it can be tried without an engine of containers: the Dockerfile's own lines are run.

In a tree of its own each distribution is installed by the Dockerfile's RUN lines, from wheels alone, and started by its
ENTRYPOINT as the user of the image, on a root that cannot be written; its HEALTHCHECK is asked.
"""

import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import dockerfile
import environments
import image_tree
import processes
import requirement
from source_tree import DISTRIBUTIONS, SERVICES
from waiting import eventually

*_, INSTALLED, FINAL = dockerfile.stages()
#: what an image may hold of ours beside its own distribution
SHARED = {"intertie", "intertie_chassis", "intertie_mapping"}
#: processes of each image, by the module that PROCESS names
PROCESSES = {
    **{service: [f"intertie_{service}"] for service in SERVICES},
    "ingest": ["intertie_ingest", "intertie_ingest.pull"],
    "gateway": ["intertie_gateway"],
}
#: registry and audit need nobody; the others may say that they are not ready, and keep looking for those whom they need
READY_ALONE = {"intertie_registry", "intertie_audit"}
LIST_IMPORTABLE = """
import importlib.util, json, sys
print(json.dumps([name for name in sys.argv[1:] if importlib.util.find_spec(name)]))
"""
WRITE = "for place in / /app /app/lib /usr/local /etc /data /tmp; do (: > $place/written) 2>&- && echo $place; done; :"


class Image:
    """An image of one distribution, built."""

    def __init__(self, service: str, tree: image_tree.ImageTree) -> None:
        self.service = service
        self.tree = tree

    def command(self, *words: str, **env: str) -> list[str]:
        """Spell a command that runs in a container of this image."""
        return self.tree.command(FINAL, words, self.service, env)

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(self.command(*words, **env), capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the stage of wheels leaves: every wheel that one of ours needs, and ours."""
    directory = tmp_path_factory.mktemp("wheels")
    for name in (*SERVICES, "gateway", "cli"):
        ours, others = environments.needed_by(f"intertie-{name}")
        environments.wheels_of(ours, directory)
        environments.repacked(others, directory)
    return directory


@pytest.fixture(params=[*SERVICES, "gateway", "cli"])
async def image(request: pytest.FixtureRequest, wheels: Path, tmp_path: Path) -> AsyncIterator[Image]:
    """An image built by the Dockerfile's last two stages."""
    if why := image_tree.missing():
        requirement.missing("mount namespaces", why)
    tree = await image_tree.ImageTree.make(wheels, tmp_path / "tree.log")
    try:
        tree.build([*INSTALLED.runs(), *FINAL.runs()], request.param)
        tree.seal()
        yield Image(request.param, tree)
    finally:
        tree.close()


async def test_image_holds_its_distribution_alone_and_starts(image: Image, tmp_path: Path) -> None:
    """Nothing of another service, nothing that installs, no root, nowhere to write; it comes up, says so, and ends."""
    package = f"intertie_{image.service}"
    importable = set(json.loads(image.run("python", "-I", "-c", LIST_IMPORTABLE, *DISTRIBUTIONS, "pip").stdout))
    if image.service == "cli":
        assert set(DISTRIBUTIONS) - {"intertie_client"} == importable
        assert "Usage" in image.run("intertie", "--help", TERM="dumb").stdout
    else:
        assert {package, "intertie", "intertie_chassis"} <= importable <= SHARED | {package}
    assert image.run("ls", "/app/bin/pip", "/usr/local/bin/pip").stdout == ""
    assert image.run("sh", "-c", WRITE).stdout.split() == ["/data", "/tmp"]
    assert image.run("id", "-u").stdout.strip() == "10001"
    assert "CapEff:\t0000000000000000" in image.run("cat", "/proc/self/status").stdout

    ports = {process: processes.free_port() for process in (*SERVICES, "pull", "gateway")}
    addresses = {f"INTERTIE_{process.upper()}_ADDRESS": f"127.0.0.1:{port}" for process, port in ports.items()}
    listens = {f"INTERTIE_{process.upper()}_LISTEN": f"127.0.0.1:{port}" for process, port in ports.items()}
    for module in PROCESSES.get(image.service, ()):
        settings = {**addresses, **listens, "PROCESS": module}
        process = processes.start(image.command(*FINAL.words("ENTRYPOINT"), **settings), log=tmp_path / "log")
        try:
            await eventually(
                lambda settings=settings: _is_well(image, settings, tmp_path / "log"), timeout=60, every=0.5
            )
        finally:
            status = processes.stop(process)
        assert status == 0, (tmp_path / "log").read_text()


def _is_well(image: Image, settings: dict[str, str], log: Path) -> bool:
    """Ask as an orchestrator does: by HEALTHCHECK, or where others are needed whether the process is alive."""
    healthy = image.run(*FINAL.words("HEALTHCHECK"), **settings)
    if settings["PROCESS"] in READY_ALONE:
        assert healthy.returncode == 0, f"{healthy.stderr}\n{log.read_text()}"
        return True
    assert healthy.returncode == 0 or "is not ready" in healthy.stderr, healthy.stderr
    alive = image.run("python", "-m", "intertie_chassis.probe", settings["PROCESS"], "--live", **settings)
    assert alive.returncode == 0, f"{alive.stderr}\n{log.read_text()}"
    return True
