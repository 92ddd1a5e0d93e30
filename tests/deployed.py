"""The processes of a deployment, without what would run their containers: each with the settings that it is given.

The containers' names and ports become ports of the loopback, their volumes and secrets folders of the test; all else is
as the deployment says. What starts and what asks them are the image's own ENTRYPOINT and HEALTHCHECK.
"""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import dockerfile
import processes
from source_tree import SERVICES

FINAL = dockerfile.stages()[-1]
_PATH = f"{Path(sys.executable).parent}:/usr/bin:/bin"


class Deployed:
    """The containers of a deployment, by their names; none runs before it is started."""

    def __init__(
        self,
        directory: Path,
        environments: Mapping[str, Mapping[str, str]],
        images: Mapping[str, str],
        database_url: str,
        places: Mapping[str, str] | None = None,
    ) -> None:
        """Args:
        environments: what the deployment sets for each container.
        images: whose image each container has: registry, ingest, …, cli.
        database_url: takes the place of the deployment's; without a password.
        places: where paths of the containers are here, by their beginnings; `{name}` in it is the container's name.
            Default: secrets and data of all in one folder each.
        """
        self.directory = directory
        self.ports = {name: processes.free_port() for name in (*SERVICES, "pull", "gateway")}
        self.metrics = {name: processes.free_port() for name in self.ports}
        self._environments = environments
        self._images = images
        self._database_url = database_url
        self._places = places or {"/run/secrets/": f"{directory}/secrets/", "/data": f"{directory}/data"}
        self._running: list[subprocess.Popen[bytes]] = []

    def environment(self, name: str) -> dict[str, str]:
        """Give what is in the environment of the container."""
        given = {**FINAL.environment(self._images[name]), **self._environments[name]}
        return {variable: self._placed(name, variable, value) for variable, value in given.items()} | {"PATH": _PATH}

    def run(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the place of the container, to its end."""
        return subprocess.run(
            words, capture_output=True, text=True, timeout=90, env=self.environment(name), cwd=self.directory
        )

    def start(self, name: str) -> None:
        """Start the container's process."""
        command = FINAL.words("ENTRYPOINT")
        self._running.append(
            processes.start(command, log=self.log(name), env=self.environment(name), cwd=self.directory)
        )

    def is_healthy(self, name: str) -> bool:
        """Ask its image's check of health."""
        return self.run(name, *FINAL.words("HEALTHCHECK")).returncode == 0

    def log(self, name: str) -> Path:
        """The file of what the process says."""
        return self.directory / f"{name}.log"

    def stop(self) -> list[int]:
        """Tell all to end, once, and give their exit codes; who takes longer than 40 s is killed."""
        running, self._running = self._running, []
        for process in running:
            process.terminate()
        return [_ended(process) for process in running]

    def _placed(self, name: str, variable: str, value: str) -> str:
        if variable == "INTERTIE_DATABASE_URL":
            return self._database_url
        process = variable.removeprefix("INTERTIE_").partition("_")[0].lower()
        if variable.endswith("_METRICS_LISTEN"):
            return f"127.0.0.1:{self.metrics[process]}"
        if variable.endswith(("_LISTEN", "_ADDRESS")):
            return f"127.0.0.1:{self.ports[process]}"
        for beginning, place in self._places.items():
            if value.startswith(beginning):
                return place.format(name=name) + value.removeprefix(beginning)
        return value


def _ended(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(40)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def without_password(url: str) -> tuple[str, str]:
    """Take the password out of a database URL: (the rest, the password)."""
    scheme, _, rest = url.partition("://")
    user, _, server = rest.partition("@")
    name, _, password = user.partition(":")
    return f"{scheme}://{name}@{server}", password
