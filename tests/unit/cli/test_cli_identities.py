"""`intertie token` and `intertie keys` on a data directory, without a running suite."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from intertie_chassis.errors import Unauthenticated
from intertie_chassis.identity import KeyRing, Verifier
from intertie_cli.app import app

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `intertie` on a data directory of the test's own; `fed` is what comes on standard input."""
    monkeypatch.setenv("INTERTIE_DATA_DIR", str(tmp_path))
    return lambda *arguments, fed=None: CliRunner().invoke(app, arguments, input=fed)


def _issue(run: Run, *arguments: str) -> str:
    ran = run("token", "issue", *arguments)
    assert ran.exit_code == 0, ran.stderr
    (token,) = ran.stdout.splitlines()
    return str(token)


def _listed(run: Run, *arguments: str) -> list[dict[str, Any]]:
    ran = run(*arguments, "--output", "json")
    assert ran.exit_code == 0, ran.stderr
    listed: list[dict[str, Any]] = json.loads(ran.stdout)
    return listed


def _holds(directory: Path, token: str) -> bool:
    try:
        Verifier(KeyRing(directory).jwks_path).verify(token)
    except Unauthenticated:
        return False
    return True


def test_tokens_are_listed_with_their_states(run: Run) -> None:
    _issue(run, "--role", "module:events", "--subject", "events team")
    alice = _issue(run, "--role", "viewer", "--subject", "alice")
    assert run("token", "revoke", "-", fed=alice + "\n").exit_code == 0
    listed = _listed(run, "token", "list")
    assert [(each["role"], each["subject"], each["state"]) for each in listed] == [
        ("admin", "admin", "active"),
        ("module:events", "events team", "active"),
        ("viewer", "alice", "revoked"),
    ]
    assert [each["role"] for each in _listed(run, "token", "list", "--active")] == ["admin", "module:events"]
    assert [each["role"] for each in _listed(run, "token", "list", "--role", "module")] == ["module:events"]
    table = run("token", "list", "--subject", "alice").stdout
    assert listed[2]["id"] in table
    assert "events team" not in table
    assert alice.rpartition(".")[2] not in table


def test_tokens_are_revoked_by_id_by_subject_and_by_role(run: Run, tmp_path: Path) -> None:
    tokens = {name: _issue(run, "--role", "viewer", "--subject", name) for name in ("a", "b", "c")}
    module = _issue(run, "--role", "module:events")
    named = next(each["id"] for each in _listed(run, "token", "list") if each["subject"] == "a")
    assert "revoked 1 token" in run("token", "revoke", named).stderr
    assert "had been revoked before" in run("token", "revoke", named).stderr
    asked = run("token", "revoke", "--subject", "b")
    assert (asked.exit_code, "Revoke 1 token? Say --yes" in asked.stderr) == (2, True)
    assert _holds(tmp_path, tokens["b"])
    assert run("token", "revoke", "--subject", "b", "--yes").exit_code == 0
    assert run("token", "revoke", "--role", "module", "--yes").exit_code == 0
    held = [_holds(tmp_path, token) for token in (*tokens.values(), module)]
    assert held == [False, False, True, False]
    assert "nothing was revoked" in run("token", "revoke", "--role", "module", "--yes").stderr


def test_the_admin_tokens_end_is_said(run: Run, tmp_path: Path) -> None:
    _issue(run, "--role", "viewer")
    admin = KeyRing(tmp_path).admin_token()
    ran = run("token", "revoke", "--role", "admin", "--yes")
    assert "the next start, or `intertie token issue`" in ran.stderr
    assert not _holds(tmp_path, admin)
    _issue(run, "--role", "viewer")
    assert _holds(tmp_path, KeyRing(tmp_path).admin_token())


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["token", "revoke"], 2, "--subject"),
        (["token", "revoke", "x", "--role", "viewer"], 2, "--subject"),
        (["token", "revoke", "unknown"], 1, "no token with the id unknown"),
        (["keys", "withdraw", "unknown", "--yes"], 1, "no such key"),
        (["keys", "rotate", "--stage", "--overlap", "1"], 2, "--overlap"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_done_is_said(run: Run, arguments: list[str], code: int, said: str) -> None:
    _issue(run, "--role", "viewer")
    ran = run(*arguments)
    assert (ran.exit_code, said in ran.stderr, ran.stdout) == (code, True, "")


@pytest.mark.parametrize(
    "arguments", [["token", "list"], ["token", "revoke", "x"], ["keys", "list"], ["keys", "rotate"]]
)
def test_no_keys_are_made_by_who_only_looks(run: Run, tmp_path: Path, arguments: list[str]) -> None:
    ran = run(*arguments)
    assert (ran.exit_code, "--data-dir" in ran.stderr, list(tmp_path.iterdir())) == (1, True, [])


def test_keys_are_staged_rotated_and_withdrawn(run: Run, tmp_path: Path) -> None:
    token = _issue(run, "--role", "viewer")
    (first,) = (each["id"] for each in _listed(run, "keys", "list"))
    staged = run("keys", "rotate", "--stage").stdout.strip()
    assert run("keys", "rotate").stdout.strip() == staged
    states = {each["id"]: (each["state"], each["active_tokens"]) for each in _listed(run, "keys", "list")}
    # The admin token of each key is among them.
    assert states == {first: ("verifying", 2), staged: ("signing", 1)}
    assert _holds(tmp_path, token)
    assert "rotate first" in run("keys", "withdraw", staged, "--yes").stderr
    assert "2 active tokens" in run("keys", "withdraw", first).stderr
    assert run("keys", "withdraw", first, "--yes").exit_code == 0
    assert not _holds(tmp_path, token)
    assert "withdrawn" in run("keys", "list").stdout
