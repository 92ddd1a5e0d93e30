"""`intertie up`: what it prints works when pasted, what crashes comes back, and nothing is ever left behind."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import victims
from suite import READY_LINE, SERVICES, Suite
from waiting import eventually

PARTS = (*SERVICES, "gateway")
INCIDENT = {"id": "1", "title": "One", "date": "2025-01-20"}

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Suite]:
    """A suite of the test's own on embedded SQLite, not started."""
    suite = Suite(tmp_path / "suite")
    suite.directory.mkdir()
    yield suite
    suite.stop()
    suite.http.close()


def running(suite: Suite) -> set[int]:
    """The processes of this suite, whatever they run: all have its data directory in their environment."""
    owned = f"INTERTIE_DATA_DIR={suite.data}".encode()
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                # A zombie has an empty environment: it is gone but for being waited for.
                if owned in (entry / "environ").read_bytes().split(b"\0"):
                    found.add(int(entry.name))
            except OSError:
                continue
    return found


def log_of(suite: Suite) -> str:
    """All that `up` and its processes have written."""
    return suite.log.read_text(errors="replace")


async def test_what_it_prints_works_when_pasted(fresh: Suite) -> None:
    """Webhook and push answer 202; what is printed after them shows what became of them, asks, and syncs."""
    suite = fresh.start("--demo")
    printed = "\n".join(line for line in log_of(suite).partition(READY_LINE)[2].splitlines() if line[:1] != "{")
    blocks = re.split(r"\n(?=curl |INTERTIE_DATA_DIR=)|\n\n", printed)
    commands = [block for block in blocks if block.startswith(("curl ", "INTERTIE_DATA_DIR="))]

    def paste(command: str) -> str:
        ran = subprocess.run(
            ["bash", "-c", command.strip()],
            env={**os.environ, **suite.env, "no_proxy": "*"},
            cwd=suite.directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    webhook, push, records, checkpoints, logs, database, api, closures, works = commands
    assert "202 Accepted" in paste(webhook)
    assert "202 Accepted" in paste(push)
    await eventually(lambda: paste(records).count("synced") == 2, timeout=30)
    assert paste(checkpoints).count("confirmed") == 2
    await eventually(lambda: '"query_type":"webhook"' in paste(logs), timeout=30)
    titles = {row["event_title"] for row in suite.rows("events")}
    assert titles == {"Traffic Accident", "Road Closure"}
    assert '"count":4' in paste(database)
    assert "Water main replacement" in paste(api)
    assert "succeeded" in paste(closures)
    assert "succeeded" in paste(works)
    assert len(suite.rows("events")) == 2 + 12 + 7


@linux_only
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_stops_all(fresh: Suite, number: signal.Signals) -> None:
    """Ctrl-C, a service manager's stop and a closed terminal end every process, and the command with 0."""
    suite = fresh.start()
    assert len(running(suite)) >= len(PARTS) + 1
    supervisor = suite._process
    assert supervisor is not None
    supervisor.send_signal(number)
    assert supervisor.wait(40) == 0
    assert running(suite) == set()
    assert "all processes have ended" in log_of(suite)


@linux_only
@pytest.mark.parametrize("part", PARTS)
async def test_a_killed_part_comes_back_and_it_is_said(fresh: Suite, part: str) -> None:
    """kill -9 of one process: it is started again, told of by name, and the others stay as they are."""
    suite = fresh.start("--demo")
    others = {name: victims.find_process(suite, name) for name in PARTS if name != part}
    victim = victims.find_process(suite, part)
    os.kill(victim, signal.SIGKILL)
    await eventually(lambda: f"{part} was killed (SIGKILL); starting it again" in log_of(suite))

    def again() -> int:
        try:
            return victims.find_process(suite, part)
        except LookupError:
            return 0

    assert await eventually(again) != victim
    assert {name: victims.find_process(suite, name) for name in others} == others

    def accepted() -> bool:
        try:
            return suite.webhook("law_enforcement", INCIDENT).status_code == 202
        except victims.CONNECTION_LOST:
            return False

    await eventually(accepted, timeout=30)
    await eventually(lambda: suite.rows("events"), timeout=30)


@linux_only
async def test_not_even_killing_the_command_leaves_a_process(fresh: Suite) -> None:
    """kill -9 of `intertie up` takes all its processes with it, and it can be started again at once."""
    suite = fresh.start("--demo")
    supervisor = suite._process
    assert supervisor is not None
    supervisor.kill()
    supervisor.wait()
    await eventually(lambda: running(suite) == set())
    suite.start("--demo")
    assert suite.webhook("law_enforcement", INCIDENT).status_code == 202
    assert "the demo is left out: its system is there already" in log_of(suite)


@linux_only
async def test_a_taken_port_is_said_before_anything_starts(fresh: Suite) -> None:
    """The message names the address, who would have it, and the setting that moves it."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        fresh.env["INTERTIE_INGEST_LISTEN"] = address
        refused = fresh.cli("up", check=False)
    assert refused.returncode == 1
    assert f"{address} for ingest (INTERTIE_INGEST_LISTEN)" in refused.stderr
    assert running(fresh) == set()


@linux_only
async def test_two_suites_do_not_share_a_data_directory(fresh: Suite) -> None:
    """The second is refused with the number of the first, which goes on."""
    suite = fresh.start()
    assert suite._process is not None
    second = Suite(fresh.directory)
    refused = second.cli("up", check=False)
    assert refused.returncode == 1
    assert f"another `intertie up` (process {suite._process.pid}) runs on {suite.data}" in refused.stderr
    assert suite.http.get("/readyz").status_code == 200


async def test_the_demo_is_refused_where_others_could_reach_it(fresh: Suite) -> None:
    """Its secret is public; nothing is started, and nothing is made."""
    fresh.env["INTERTIE_GATEWAY_LISTEN"] = f"0.0.0.0:{fresh.port}"
    refused = fresh.cli("up", "--demo", check=False)
    assert refused.returncode == 1
    assert "--demo is refused" in refused.stderr
    assert not fresh.data.exists()


async def test_the_demo_is_left_out_where_there_are_systems(fresh: Suite) -> None:
    """An installation that is in use is not decorated."""
    suite = fresh.start()
    suite.add_system("mine")
    suite.stop()
    suite.start("--demo")
    assert [system["system_name"] for system in suite.get("/systems")["systems"]] == ["mine"]
    assert "the demo is left out: the registry is not empty" in log_of(suite)


@linux_only
async def test_a_setting_that_cannot_work_ends_the_start(fresh: Suite) -> None:
    """A process that cannot start as it is configured says why, and nothing stays."""
    fresh.env["INTERTIE_AUDIT_MOST_TAILS"] = "none"
    refused = fresh.cli("up", check=False)
    assert refused.returncode == 1
    assert "INTERTIE_AUDIT_MOST_TAILS" in refused.stderr
    assert "audit cannot start as it is configured" in refused.stderr
    assert running(fresh) == set()


@linux_only
async def test_a_database_that_is_away_is_waited_for(fresh: Suite, free_port: int) -> None:
    """It is said, and Ctrl-C ends the waiting."""
    fresh.env["INTERTIE_DATABASE_URL"] = f"mysql://nobody:secret-word@127.0.0.1:{free_port}/nothing"
    with fresh.log.open("wb") as log:
        waiting = subprocess.Popen(
            fresh.command("up"), env={**os.environ, **fresh.env}, cwd=fresh.directory, stdout=log, stderr=log
        )
    try:
        await eventually(lambda: "waiting for the database" in log_of(fresh), timeout=30)
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(20) == 0
    finally:
        waiting.kill()
        waiting.wait()
    assert "secret-word" not in log_of(fresh)
    await eventually(lambda: running(fresh) == set())
