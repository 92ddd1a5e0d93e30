"""The client installs by itself, with what it declares and nothing of a server; and there its examples run."""

import json
import os
import subprocess
from pathlib import Path

import pytest

import environments
from source_tree import DISTRIBUTIONS, ROOT
from suite import Suite

EXAMPLES = ROOT / "client" / "examples"
LIST_IMPORTABLE = """
import importlib.util, json, sys
print(json.dumps([name for name in sys.argv[1:] if importlib.util.find_spec(name)]))
"""
#: what only servers need
OF_SERVERS = ("sqlalchemy", "pydantic", "starlette", "uvicorn", "structlog", "cryptography", "httpx", "opentelemetry")
#: what each example says at its end
SAYS = {
    "asynchronous.py": "RW-207 Pedestrian crossing",
    "cache.py": "all are read: True",
    "checkpoints.py": "{'case': 'A-17'}",
    "push.py": "refused: INVALID_REQUEST",
    "query.py": "the API has no such thing: 404",
    "sync.py": "succeeded 7",
}


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an environment that holds the client and what it declares."""
    home = tmp_path_factory.mktemp("client-alone")
    return environments.create(home / "environment", "intertie-client", home)


def test_it_brings_nothing_of_a_server(interpreter: Path, tmp_path: Path) -> None:
    """Neither ours nor others'; and it is imported without what it does not need."""
    asked = [*DISTRIBUTIONS, *OF_SERVERS]
    listed = subprocess.run(
        [interpreter, "-I", "-c", LIST_IMPORTABLE, *asked], check=True, capture_output=True, cwd=tmp_path
    )
    assert set(json.loads(listed.stdout)) == {"intertie", "intertie_client"}


def test_every_example_runs_where_nothing_else_is(interpreter: Path, tmp_path: Path) -> None:
    """Against the demo, as docs/client.md says it."""
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SAYS)
    suite = Suite(tmp_path / "suite").start("--demo")
    try:
        addresses = {name: value for name, value in suite.env.items() if name.endswith("_ADDRESS")}
        environment = {**os.environ, **addresses, "INTERTIE_TOKEN": suite.token("module:events")}
        said = {}
        for name in SAYS:
            ran = subprocess.run(
                [interpreter, EXAMPLES / name],
                env=environment,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert (ran.returncode, ran.stderr) == (0, ""), name
            said[name] = ran.stdout
    finally:
        suite.stop()
    assert {name: text for name, text in said.items() if SAYS[name] not in text} == {}
