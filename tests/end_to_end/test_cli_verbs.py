"""The `intertie` command against a running suite: every verb, tables and JSON, and faults."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from intertie_audit.migrations.triggers import triggers
from suite import PREFIX, SECRET, Suite
from waiting import eventually

CONFIG = {"field_mappings": {"title": "event_title", "date": "date"}}
#: what a command says does not depend on the store
ON_ONE_STORE = pytest.mark.parametrize("suite", ["sqlite"], indirect=True)


def answer(suite: Suite, *arguments: str) -> Any:
    """What a command prints as JSON."""
    ran = suite.cli(*arguments, "--output", "json", check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def refused(suite: Suite, code: int, *arguments: str) -> str:
    """What a command that fails with this exit code says; nothing of it is on standard output."""
    ran = suite.cli(*arguments, check=False)
    assert ran.returncode == code, ran.stderr
    assert ran.stdout == ""
    assert "Traceback" not in ran.stderr
    return ran.stderr


@ON_ONE_STORE
async def test_a_system_from_its_creation_to_its_end(suite: Suite, system: str, tmp_path: Path) -> None:
    """Created, listed, changed and deleted with connection, mapping and grant, all by the command alone."""
    created = answer(suite, "systems", "create", system, "--type", "hybrid", "--display-name", "Äußere Stelle")
    assert (created["system_name"], created["system_type"], created["is_active"]) == (system, "hybrid", True)
    assert system in suite.cli("systems", "list", "--limit", "1000").stdout
    changed = answer(suite, "systems", "update", system, "--inactive")
    assert (changed["is_active"], changed["display_name"]) == (False, "Äußere Stelle")
    answer(suite, "systems", "update", system, "--active")

    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    connection = answer(
        suite, "connections", "create", system, "--api-base-url", "https://sender.example.com", "--push-auth", "none"
    )
    number = str(connection["id"])
    assert connection["config_json"] == {"push_auth": "none"}
    updated = answer(suite, "connections", "update", number, "--webhook-secret", f"@{secret}")
    assert updated["config_json"] == {"push_auth": "none"}
    assert updated["secrets_set"] == ["config_json.webhook_secret"]
    assert SECRET not in suite.cli("connections", "list", "--limit", "1000").stdout
    assert SECRET not in suite.cli("connections", "get", number, "--output", "json").stdout

    config = tmp_path / "mapping.json"
    config.write_text(json.dumps(CONFIG))
    table = f"{PREFIX}events"
    name = f"{system}/incidents"
    validated = suite.cli("mappings", "validate", "--target-table", table, "--config", f"@{config}")
    assert "fits" in validated.stderr
    mapping = answer(
        suite,
        "mappings",
        "create",
        name,
        "--target-table",
        table,
        "--config",
        f"@{config}",
        "--sync-frequency",
        "realtime",
    )
    assert answer(suite, "mappings", "get", name) == answer(suite, "mappings", "get", str(mapping["id"]))
    assert answer(suite, "mappings", "get", name)["mapping_config"] == CONFIG
    assert answer(suite, "mappings", "update", name, "--inactive")["is_active"] is False
    answer(suite, "mappings", "update", name, "--active")

    grant = answer(suite, "grants", "create", "events", system, "--access", "read")
    assert (
        answer(suite, "grants", "update", f"events/{system}", "--access", "read_write")["access_type"] == "read_write"
    )
    assert answer(suite, "grants", "get", str(grant["id"]))["module_name"] == "events"

    record = {"id": "1", "title": "By hand", "date": "2025-01-20"}
    await eventually(lambda: suite.webhook(system, record).status_code == 202)

    assert "--yes" in refused(suite, 2, "systems", "delete", system)
    for noun, reference in (("grants", f"events/{system}"), ("mappings", name), ("connections", number)):
        suite.cli(noun, "delete", reference, "--yes")
    suite.cli("systems", "delete", system, "--yes")
    assert f"{system}" in refused(suite, 1, "systems", "get", system)


@ON_ONE_STORE
async def test_what_a_delivery_became(suite: Suite, system: str) -> None:
    """Deliveries, records, cache, checkpoints and log of one webhook, in tables and as JSON."""
    suite.add_system(system)
    suite.add_mapping(system, "incidents", CONFIG)
    record = {"id": "7", "title": "Seen", "date": "2025-01-20"}

    def routed() -> Any:
        # Until ingest has seen the mapping, a delivery is kept unrouted.
        assert suite.webhook(system, record).status_code in (202, 401)
        return answer(suite, "records", "list", "--system", system)

    (stored,) = await eventually(routed)
    delivery_id = stored["delivery_id"]
    await eventually(lambda: answer(suite, "records", "list", "--system", system)[0]["sync_status"] == "synced")
    assert refused(suite, 1, "mappings", "get", f"{system}/nothing").count("intertie mappings list") == 1
    delivery = answer(suite, "deliveries", "get", delivery_id)
    assert delivery["body"] == record
    assert [each["state"] for each in delivery["records"]] == ["DELIVERY_STATE_SYNCED"]
    listed = suite.cli("deliveries", "list", "--system", system, "--state", "synced", "--since", "1h").stdout
    assert delivery_id in listed
    (kept,) = answer(suite, "records", "list", "--system", system)
    assert kept["data_json"] == record
    assert answer(suite, "records", "get", kept["id"]) == kept
    assert [each["data_json"] for each in answer(suite, "cache", "list", system)] == [record]
    (checkpoint,) = answer(suite, "checkpoints", "list", "--system", system)
    assert (checkpoint["integration_status"], checkpoint["received_data"]) == ("confirmed", record)
    shown = answer(suite, "checkpoints", "get", "events", checkpoint["target_id"], system)
    assert shown["id"] == checkpoint["id"]

    def logged() -> bool:
        entries = answer(suite, "audit", "list", "--system", system, "--delivery", delivery_id)
        return sorted(entry["query_type"] for entry in entries) == ["mapping", "webhook"]

    await eventually(logged)
    entry = answer(suite, "audit", "list", "--system", system, "--type", "webhook", "--limit", "1")[0]
    assert answer(suite, "audit", "get", entry["id"]) == entry
    assert delivery_id in suite.cli("audit", "list", "--system", system).stdout


@ON_ONE_STORE
async def test_records_that_do_not_fit(suite: Suite, system: str) -> None:
    """Set aside with reason and field; found, looked into, and replayed at a rate once the mapping is mended.

    The preview says beforehand what the list says afterwards; a replay that comes too early says so by its exit code;
    the log has who replayed what.
    """
    suite.add_system(system)
    suite.add_mapping(system, "incidents", CONFIG)
    bad = [{"id": str(number), "title": f"Bad date {number}", "date": "someday"} for number in range(4)]
    (preview,) = answer(suite, "mappings", "preview", f"{system}/incidents", "--record", json.dumps(bad[0]))["previews"]
    assert (preview["action"], preview["field"]) == ("ACTION_REFUSED", "date")
    assert "someday" in suite.cli("mappings", "preview", f"{system}/incidents", "--record", json.dumps(bad[0])).stdout
    await eventually(lambda: suite.webhook(system, bad).status_code == 202)

    def set_aside() -> Any:
        found = answer(suite, "records", "list", "--system", system, "--status", "error", "--since", "1h")
        return found if len(found) == 4 else None

    kept = (await eventually(set_aside))[0]
    assert (kept["error_field"], kept["error_reason"]) == ("date", preview["reason"])
    assert answer(suite, "records", "get", kept["id"]) == kept
    assert len(answer(suite, "records", "list", "--delivery", kept["delivery_id"], "--until", "2999-01-01")) == 4
    again = suite.cli("records", "replay", kept["id"], "--follow", check=False)
    assert (again.returncode, again.stdout) == (1, "1 records were handed to mapper: 1 set aside again\n")

    mended = {**CONFIG, "defaults": {"date": "2025-01-01"}, "field_mappings": {"title": "event_title"}}
    suite.cli("mappings", "update", f"{system}/incidents", "--config", json.dumps(mended))
    tried = answer(suite, "mappings", "preview", f"{system}/incidents", "--set-aside")["previews"]
    assert [one["action"] for one in tried] == ["ACTION_INSERT"] * 4
    choice = ("records", "replay", "--system", system, "--since", "1h")
    dry = suite.cli(*choice, "--dry-run").stdout
    assert "4 records would be handed to mapper" in dry
    assert preview["reason"] in dry
    assert (
        "0 records would be" in suite.cli("records", "replay", "--until", "1h", "--dry-run", "--system", system).stdout
    )

    def replayed() -> bool:
        ran = suite.cli(*choice, "--rate", "20", "--follow", "--yes", "--json", check=False)
        told = json.loads(ran.stdout)
        assert told["replayed"] == told["synced"] + told["set_aside"]
        return ran.returncode == 0

    await eventually(replayed)
    assert len(answer(suite, "records", "list", "--system", system, "--status", "synced")) == 4

    def logged() -> Any:
        entries = answer(suite, "audit", "list", "--type", "replay")
        return [entry for entry in entries if entry["request_payload"]["system"] == system]

    entry = (await eventually(logged))[0]
    assert entry["actor"]
    assert entry["request_payload"]["records_per_second"] == 20
    assert entry["response_payload"]["ids"]


async def test_rejections(suite: Suite, system: str) -> None:
    """A wrong secret is counted, and shown with its reason."""
    suite.add_system(system)
    suite.add_mapping(system, "incidents", CONFIG)
    await eventually(lambda: suite.webhook(system, {"id": "1", "title": "x", "date": "2025-01-20"}).status_code == 202)
    assert suite.webhook(system, {"id": "1"}, "wrong").status_code == 401
    rejections = await eventually(lambda: answer(suite, "rejections", "list", "--system", system))
    assert rejections[0]["reason"]
    assert rejections[0]["reason"] in suite.cli("rejections", "list", "--system", system).stdout


async def test_audit_tail(suite: Suite, system: str) -> None:
    """Entries appear as they come, a line each; Ctrl-C ends it."""
    with subprocess.Popen(
        [*suite.command("audit", "tail"), "--system", system, "--output", "json"],
        env={**os.environ, **suite.env},
        stdout=subprocess.PIPE,
        text=True,
    ) as tail:
        try:
            suite.add_system(system)
            assert tail.stdout is not None
            entry = json.loads(tail.stdout.readline())
            assert (entry["query_type"], entry["system"]) == ("configuration", system)
            tail.send_signal(signal.SIGINT)
            assert tail.wait(20) == 130
        finally:
            tail.kill()


async def test_the_log_is_proven(suite: Suite, system: str, tmp_path: Path) -> None:
    """Verified, exported and checked by the command alone; what somebody changes by SQL is named with its place."""
    suite.add_system(system)
    suite.webhook(system, {"id": 1, "title": "=1+1", "date": "2025-01-20"})
    entries = await eventually(lambda: _sealed(suite, system))
    keys, anchor, file = tmp_path / "keys.json", tmp_path / "anchor.json", tmp_path / "export"
    keys.write_text(suite.cli("audit", "keys").stdout)
    anchor.write_text(suite.cli("audit", "checkpoints", "--limit", "3", "--output", "json").stdout)
    verified = answer(suite, "audit", "verify", "--anchor", str(anchor))
    assert (verified["verdict"]["is_intact"], verified["findings"]) == (True, [])
    assert int(verified["verified"]) >= len(entries)

    exported = answer(suite, "audit", "export", "--system", system, "--format", "csv", "--file", str(file))
    assert exported["lines"] >= len(entries)
    checked = answer(suite, "audit", "check", str(file), "--keys", str(keys))
    assert (checked["is_intact"], checked["lines"], checked["findings"]) == (True, exported["lines"], [])
    assert checked["signed"] >= int(entries[-1]["sequence"])

    changed = entries[-1]
    with _unguarded(suite):
        statement = f"UPDATE {PREFIX}integration_query_logs SET status = %s WHERE id = %s"
        suite.sql("audit", statement, ["timeout", changed["id"]])
        try:
            shown = suite.cli("audit", "verify", check=False)
        finally:
            suite.sql("audit", statement, [changed["status"], changed["id"]])
    assert shown.returncode == 1
    (finding,) = [line.split() for line in shown.stdout.splitlines() if line.startswith("ENTRY_")]
    assert finding[:3] == ["ENTRY_ALTERED", str(changed["sequence"]), str(changed["id"])]
    assert "NOT INTACT, 1 findings" in shown.stdout


def _sealed(suite: Suite, system: str) -> list[Any]:
    """The entries of a system, all sealed and one of them a delivery's; the newest first."""
    entries: list[Any] = suite.get("/logs", system=system)["logs"]
    assert "webhook" in {entry["query_type"] for entry in entries}
    assert all(int(entry["sequence"]) for entry in entries)
    return entries


@contextmanager
def _unguarded(suite: Suite) -> Iterator[None]:
    """Without the triggers on the log, as somebody has it who owns the database."""
    dialect = "mysql" if suite.database_url else "sqlite"
    made = {name: text for name, text in triggers(PREFIX, dialect).items() if "query_logs" in name}
    assert len(made) == 2
    for name in made:
        suite.sql("audit", f"DROP TRIGGER {name}")
    try:
        yield
    finally:
        for text in made.values():
            suite.sql("audit", text)


async def test_a_reader_that_has_enough(suite: Suite) -> None:
    """`| head` ends a long list without a word about broken pipes."""
    suite.add_system("has_enough")
    with subprocess.Popen(
        [*suite.command("audit", "list"), "--output", "json", "--limit", "1000"],
        env={**os.environ, **suite.env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as listing:
        assert listing.stdout is not None
        assert listing.stderr is not None
        listing.stdout.close()
        assert listing.stderr.read() == b""


async def test_tokens(suite: Suite) -> None:
    """One line on standard output and nothing else; it works, and a role that does not exist is refused."""
    issued = suite.cli("token", "issue", "--role", "viewer", "--subject", "someone", "--days", "1")
    assert issued.stderr == ""
    (token,) = issued.stdout.splitlines()
    headers = {"Authorization": f"Bearer {token}"}
    assert suite.request("GET", "/systems", role=None, headers=headers).status_code == 200
    assert "module:<name>" in refused(suite, 1, "token", "issue", "--role", "king")
    before = dict(suite.env)
    try:
        suite.env["INTERTIE_TOKEN"] = token
        suite.cli("systems", "list")
        assert "viewer" in refused(suite, 1, "systems", "create", "never")
        suite.env["INTERTIE_TOKEN"] = "rubbish"
        assert "does not take INTERTIE_TOKEN" in refused(suite, 1, "systems", "list")
    finally:
        suite.env.clear()
        suite.env.update(before)


async def test_keys_and_tokens_change_under_a_running_suite(suite: Suite) -> None:
    """A new key signs and everything goes on; a revoked token is refused everywhere, and audit has it all."""
    issued = suite.cli("token", "issue", "--role", "viewer", "--subject", "gone soon").stdout.strip()
    headers = {"Authorization": f"Bearer {issued}"}
    (listed,) = answer(suite, "token", "list", "--subject", "gone soon", "--active")

    key = suite.cli("keys", "rotate").stdout.strip()
    assert suite.request("GET", "/systems", role=None, headers=headers).status_code == 200
    # The command has the new admin token, the services mint theirs with the new key.
    suite.cli("systems", "list")
    assert next(each for each in answer(suite, "keys", "list") if each["state"] == "signing")["id"] == key

    suite.cli("token", "revoke", "--subject", "gone soon", "--yes")
    for path in ("/systems", "/logs", "/deliveries", "/checkpoints", "/sync/runs"):
        await eventually(lambda path=path: _is_refused(suite, path, headers), timeout=5)
    wanted = {f"rotate key {key}", f"issue token {listed['id']}", f"revoke token {listed['id']}"}

    def is_told() -> bool:
        logs = suite.get("/logs", limit=100, query_type="configuration")["logs"]
        return wanted <= {entry["query_string"] for entry in logs if entry["actor"] == "command"}

    await eventually(is_told)
    # All have the directory before them, so none needs to remember what it is told.
    assert not (suite.data / "revoked-elsewhere.json").exists()


def _is_refused(suite: Suite, path: str, headers: dict[str, str]) -> bool:
    return suite.request("GET", path, role=None, headers=headers).status_code == 401


async def test_database_status(suite: Suite) -> None:
    """All owners fit, and migrating again does nothing."""
    states = answer(suite, "db", "status")
    assert {each["owner"]: each["state"] for each in states} == dict.fromkeys(
        ("registry", "ingest", "mapper", "audit"), "current"
    )
    assert "nothing to do" in suite.cli("db", "migrate").stdout


@pytest.mark.parametrize(
    ("code", "arguments", "says"),
    [
        (1, ("systems", "get", "no such system"), "no such system"),
        (1, ("mappings", "get", "999999"), "999999"),
        (1, ("mappings", "get", "nowhere/nothing"), "nowhere"),
        (1, ("grants", "get", "events/nowhere"), "nowhere"),
        (2, ("mappings", "get", "nothing"), "SYSTEM/MAPPING"),
        (2, ("mappings", "create", "a/b", "--target-table", "t", "--config", "{"), "not JSON"),
        (2, ("mappings", "create", "a/b", "--target-table", "t", "--config", "@/no/such/file"), "cannot be read"),
        (2, ("systems", "update", "a"), "nothing to change"),
        (2, ("audit", "list", "--since", "yesterday"), "--since"),
        (1, ("audit", "list", "--status", "bad"), "success, error or timeout"),
        (2, ("deliveries", "list", "--state", "lost"), "set-aside"),
        (2, ("records", "replay"), "--system"),
        (2, ("no-such-noun",), "No such command"),
        (2, ("mappings", "get", "99999999999999999999"), "not the number of anything"),
        (2, ("audit", "get", "99999999999999999999"), "Invalid value"),
        (2, ("systems", "get", b"\xff"), "not UTF-8"),
    ],
)
@ON_ONE_STORE
async def test_faults_are_told_so_that_one_can_act(
    suite: Suite, code: int, arguments: tuple[str, ...], says: str
) -> None:
    """One or a few lines on standard error, an exit code, no stack."""
    assert says in refused(suite, code, *arguments)


async def test_a_service_that_is_away_is_named_with_its_address(suite: Suite, free_port: int, tmp_path: Path) -> None:
    """And so is what starts it; a data directory without a token is another thing, and says so."""
    before = dict(suite.env)
    try:
        suite.env["INTERTIE_REGISTRY_ADDRESS"] = f"127.0.0.1:{free_port}"
        said = refused(suite, 1, "systems", "list")
        assert f"registry does not answer on 127.0.0.1:{free_port}" in said
        assert "`intertie up`" in said
        elsewhere = refused(suite, 1, "systems", "list", "--data-dir", str(tmp_path / "elsewhere"))
        assert "--data-dir" in elsewhere
        assert not (tmp_path / "elsewhere").exists()
    finally:
        suite.env.clear()
        suite.env.update(before)
