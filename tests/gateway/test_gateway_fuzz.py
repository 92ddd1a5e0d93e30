"""Requests made from /openapi.json by a machine: its promises hold, and nothing makes the gateway fail."""

import os
import subprocess
import sys
from pathlib import Path

from gateway_rig import GatewayProcess, Script

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "unsupported_method",
)


def test_the_description_holds(gateway: GatewayProcess, script: Script, tmp_path: Path) -> None:
    """For every operation, with valid and invalid requests: no 5xx, and answers as they are described."""
    command = [str(Path(sys.executable).parent / "schemathesis"), "run"]
    command += [f"http://127.0.0.1:{gateway.port}/openapi.json", "--header", "Authorization: Bearer x"]
    command += ["--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing", "--max-examples", "5"]
    command += ["--continue-on-failure", *(["--generation-deterministic"] if "CI" in os.environ else [])]
    environment = {**os.environ, "NO_COLOR": "1"}
    run = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=100, env=environment, check=False
    )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
