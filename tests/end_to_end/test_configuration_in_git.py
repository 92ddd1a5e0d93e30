"""The configuration in files, as users keep it: applied to a running suite, exported, and no secret shown."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from canaries import canary, found
from declared_samples import CREDENTIALS, PARTS, SCHEMES, sample
from intertie_cli.demo import SECRET as DEMO_SECRET
from intertie_cli.demo_api import TOKEN as DEMO_TOKEN
from source_tree import ROOT
from suite import PREFIX, Suite
from waiting import eventually

EXAMPLE = ROOT / "docs" / "examples" / "integrations.yaml"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """The suite with its demo, on embedded SQLite."""
    running = Suite(tmp_path_factory.mktemp("declared")).start("--demo")
    yield running
    running.stop()


@pytest.fixture(params=["demo", "_suite_on_mariadb"], ids=["sqlite", "mariadb"])
def either(request: pytest.FixtureRequest) -> Suite:
    """The suite with its demo, and the one on MariaDB."""
    suite: Suite = request.getfixturevalue(request.param)
    return suite


def know(suite: Suite, variables: dict[str, str]) -> None:
    """Sets variables of the environment for the commands to come; none of their values may be printed."""
    suite.env.update(variables)
    suite.secrets |= {value for value in variables.values() if value.startswith("canary/")}


def told(suite: Suite, *arguments: str, code: int = 0) -> str:
    """What a command that ends with this exit code says, on both of its outputs."""
    ran = suite.cli(*arguments, check=False)
    assert ran.returncode == code, f"{ran.stdout}{ran.stderr}"
    assert "Traceback" not in ran.stderr
    return ran.stdout + ran.stderr


def no_change(suite: Suite, file: Path) -> None:
    """Asserts that applying a file would do nothing."""
    assert "No changes" in told(suite, "apply", "-f", str(file), "--dry-run", "--exit-code")


async def test_apply_export_and_apply_again_is_no_change(either: Suite, system: str, tmp_path: Path) -> None:
    """Every scheme, syncs, credentials in headers and lists, grants that end, the demo; and what is applied works."""
    system = system[:20]
    rich, file, exported = sample(system), tmp_path / "f.yaml", tmp_path / "exported.yaml"
    know(either, rich.variables)
    file.write_text(rich.text)
    dry = told(either, "apply", "-f", str(file), "--dry-run", "--exit-code", code=3)
    assert f"Plan: {PARTS} to create; 0 unchanged." in dry
    assert told(either, "apply", "-f", str(file)).count("created ") == PARTS
    no_change(either, file)

    secrets = [rich.variables["WEBHOOK_SECRET"], canary(f"{system} another")]
    await eventually(lambda: is_accepted(either, f"{system} secret", {"id": "1"}, secrets[0]))
    assert is_accepted(either, f"{system} none", {"id": "1"}, None)

    # Of a suite that other tests use, too, without their systems.
    has_demo = "law_enforcement" in told(either, "systems", "list")
    names = [] if has_demo else re.findall(r"system_name: (.+)", rich.text)
    said = told(either, "export", "-o", str(exported), *(word for name in names for word in ("--system", name)))
    needed = re.findall(rf"^  (\w+)  (\S+) of connection ({system}.*)$", said, re.MULTILINE)
    assert len(needed) == CREDENTIALS
    assert found(either.secrets, exported.read_bytes()) == []
    assert "is not set" in told(either, "apply", "-f", str(exported), "--dry-run", code=1)
    assert "No changes" in told(either, "apply", "-f", str(exported), "--dry-run", "--keep-secrets")
    others = dict(re.findall(r"^  ((?:CITY_ROADS|LAW_ENFORCEMENT)\w+)  (\S+) of", said, re.MULTILINE))
    know(either, {name: DEMO_TOKEN if at == "api_auth_token" else DEMO_SECRET for name, at in others.items()})
    know(either, {name: rich.value(at, title) for name, at, title in needed})
    no_change(either, exported)

    know(either, {"WEBHOOK_SECRET": secrets[1]})
    changed = told(either, "apply", "-f", str(file), "--overlap", "1")
    assert changed.count("config_json.webhook_secret: (secret changed)") == len(SCHEMES)
    no_change(either, file)
    for number, secret in enumerate(secrets, 2):
        body = {"id": str(number)}
        await eventually(lambda body=body, secret=secret: is_accepted(either, f"{system} secret", body, secret))


def is_accepted(suite: Suite, system: str, body: dict[str, str], secret: str | None) -> bool:
    """Whether a webhook is."""
    return suite.webhook(system, body, secret).status_code == 202


def small(system: str, **connection: Any) -> dict[str, Any]:
    """A file with one system that has a connection, a mapping and a grant."""
    hooks = {"system": system, "name": "hooks", "connection_type": "api", **connection}
    mapping = {
        "system": system,
        "mapping_name": "m",
        "target_table": f"{PREFIX}events",
        "mapping_config": {"field_mappings": {"title": "event_title", "date": "date"}},
    }
    return {
        "version": 1,
        "systems": [{"system_name": system}],
        "connections": [hooks],
        "mappings": [mapping],
        "grants": [{"module_name": "events", "system": system}],
    }


def written(tmp_path: Path, *contents: dict[str, Any]) -> str:
    """A directory with a file for each content."""
    for number, content in enumerate(contents):
        (tmp_path / f"{number}.yaml").write_text(yaml.safe_dump(content))
    return str(tmp_path)


async def test_what_files_do_not_have_goes_only_when_asked(demo: Suite, system: str, tmp_path: Path) -> None:
    """It is switched off, or deleted, of declared systems alone; who is at no terminal must say yes."""
    told(demo, "apply", "-f", written(tmp_path, small(system)))
    bare = written(tmp_path, {"version": 1, "systems": [{"system_name": system}]})
    assert "No changes" in told(demo, "apply", "-f", bare, "--dry-run")
    assert "Say --yes" in told(demo, "apply", "-f", bare, "--prune", code=2)
    assert told(demo, "apply", "-f", bare, "--prune", "--yes").count("switched off ") == 3
    assert [each["is_active"] for each in demo.get("/grants", system=system)["grants"]] == [False]
    assert "No changes" in told(demo, "apply", "-f", bare, "--prune", "--yes")
    assert told(demo, "apply", "-f", bare, "--prune", "--delete", "--yes").count("deleted ") == 3
    assert demo.get("/connections", system=system)["connections"] == []
    empty = tmp_path / "empty.yaml"
    empty.write_text("version: 1\n")
    everything = ("--prune", "--prune-systems", "--delete", "--yes")
    assert "declare nothing" in told(demo, "apply", "-f", str(empty), *everything, code=2)
    assert demo.get("/systems/law_enforcement")["is_active"] is True


async def test_nothing_is_done_when_anything_is_wrong(demo: Suite, system: str, tmp_path: Path) -> None:
    """In one answer: what the files say wrong, and then what registry and the target tables say."""
    faulty = small(system, api_timeout=5000)
    faulty["grants"][0]["access_type"] = "everything"
    directory = written(tmp_path, small(f"{system} 2"), faulty)
    said = told(demo, "apply", "-f", directory, code=1)
    assert re.findall(r"1\.yaml:\d+:\d+: (\w+) must be", said) == ["api_timeout", "access_type"]
    assert "2 problems; nothing was done" in said
    misfit = small(system, config_json={"webhook_auth": "github"}, api_base_url="ftp://h.example")
    misfit["mappings"][0]["mapping_config"]["constants"] = {"no_such_column": 1}
    said = told(demo, "apply", "-f", written(tmp_path, small(f"{system} 2"), misfit), "--dry-run", code=1)
    for field in ("api_base_url", "config_json.webhook_secret", "constants.no_such_column"):
        assert re.search(rf"1\.yaml:\d+:\d+: \w+ {system}\S* ?.*{field}", said), field
    assert demo.request("GET", f"/systems/{system} 2").status_code == 404


async def test_the_plan_is_there_for_programs(demo: Suite, system: str, tmp_path: Path) -> None:
    """As one JSON object, before and after; with a file on standard input."""
    directory = written(tmp_path, small(system))
    plan = json.loads(demo.cli("apply", "-f", directory, "--dry-run", "--json").stdout)
    assert [change["kind"] for change in plan["changes"]] == ["system", "connection", "mapping", "grant"]
    assert plan["applied"] is False
    done = json.loads(demo.cli("apply", "-f", directory, "--json").stdout)
    assert {**done, "applied": False} == plan
    again = json.loads(demo.cli("apply", "-f", directory, "--json").stdout)
    assert again == {"applied": False, "changes": [], "unchanged": 4}


async def test_the_example_of_the_documentation_is_applied(demo: Suite) -> None:
    """With the variables that it names, and then it is as declared; its schema is the one that is printed."""
    names = re.findall(r"\$\{(\w+)\}", EXAMPLE.read_text())
    know(demo, {name: canary(name) for name in names})
    assert "Plan: 10 to create" in told(demo, "apply", "-f", str(EXAMPLE))
    no_change(demo, EXAMPLE)
    assert demo.cli("schema").stdout == (ROOT / "docs" / "integrations.schema.json").read_text()
    for name in ("police", "shop"):
        told(demo, "systems", "delete", name, "--yes")
