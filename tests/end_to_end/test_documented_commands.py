"""Every command in the documentation has been run: page by page, in one shell a page, against the demo."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import which

import pytest

import command_server
import processes
import requirement
from documented_blocks import PAGES, Command, commands, pattern
from mapping_examples import Example, examples
from source_tree import ROOT
from suite import Suite
from waiting import eventually

RUN = [page for page in PAGES if commands(page)]
#: what commands of the pages need, beside what every machine has
PROGRAMS = ("curl", "openssl", "sqlite3")
RESTORING = "docs/operations.md"
BEFORE_THE_BACKUP = {"id": "kept", "title": "Before the backup", "date": "2026-01-01"}
#: where the pages have the processes listen, as they do when nothing else is said
DOCUMENTED = {"gateway": 8080, "registry": 50051, "ingest": 50052, "mapper": 50053, "audit": 50054, "pull": 50055}


class Shell:
    """The shell of one reader, in a folder like a clone's in which the suite runs."""

    def __init__(self, folder: Path, suite: Suite, address: Path) -> None:
        self._folder = folder
        self._addresses = {
            f"127.0.0.1:{port}": suite.env[f"INTERTIE_{name.upper()}_LISTEN"] for name, port in DOCUMENTED.items()
        }
        programs = folder / ".venv" / "bin"
        programs.mkdir(parents=True)
        command_server.write_shim(programs / "intertie", address)
        (folder / "data").symlink_to(suite.data)
        (folder / "docs").symlink_to(ROOT / "docs")
        self._process = processes.open_shell(folder, {**suite.env, "INTERTIE_DATA_DIR": "data"}, programs)

    def run(self, number: int, command: Command) -> tuple[bool, str]:
        """Run a block; gives whether each of its commands succeeded, and what it printed. A file is written."""
        text = command.block.text
        for documented, real in self._addresses.items():
            text = text.replace(documented, real)
        if command.block.file:
            (self._folder / command.block.file).write_text(text)
            return True, ""
        script, output = self._folder / f".{number}.sh", self._folder / f".{number}.out"
        script.write_text(text)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"source {script} >{output} 2>&1 </dev/null; echo done\n")
        self._process.stdin.flush()
        done = self._process.stdout.readline() == "done\n"
        printed = output.read_text(errors="replace")
        for documented, real in self._addresses.items():
            printed = printed.replace(real, documented)
        return done, printed

    def end(self) -> None:
        """End the shell."""
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """The suite as `make up` starts it."""
    suite = Suite(tmp_path_factory.mktemp("documented")).start("--demo")
    yield suite
    suite.stop()


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the `intertie` command is served."""
    folder = tmp_path_factory.mktemp("command")
    address = folder / "socket"
    server = processes.start([sys.executable, command_server.__file__, str(address)], log=folder / "log")
    yield address
    processes.stop(server)


@pytest.mark.parametrize("page", RUN)
async def test_a_pages_commands_do_what_it_says(page: str, demo: Suite, command: Path, tmp_path: Path) -> None:
    """Each command succeeds, and prints what is shown behind it. What was sent has landed before the next is typed."""
    for program in PROGRAMS:
        if not which(program) and any(f"{program} " in each.block.text for each in commands(page)):
            requirement.missing(program, f"install {program}")
    await eventually(command.exists)
    if page == RESTORING:
        assert demo.webhook("law_enforcement", BEFORE_THE_BACKUP).status_code == 202
        await eventually(lambda: not _pending(demo))
    shell = Shell(tmp_path, demo, command)
    try:
        for number, documented in enumerate(commands(page)):
            if documented.block.text.startswith("node ") and not which("node"):
                requirement.missed["node (install nodejs)"] += 1  # one example of many: the page goes on without
                continue
            _hold(shell, number, documented)
            await eventually(lambda: not _pending(demo))
    finally:
        shell.end()
    if page == RESTORING:
        _require_whole(tmp_path, demo)


def _require_whole(folder: Path, before: Suite) -> None:
    """What the page restored starts, its log is intact, its credentials open, and it knows what it had."""
    restored = Suite(folder)
    (folder / "data").unlink()
    (folder / "restored").rename(folder / "data")
    restored.start()
    try:
        assert "intact" in restored.cli("audit", "verify", "--anchor", "data/anchor/audit.jsonl").stdout
        assert json.loads(restored.cli("secrets", "status", "-o", "json").stdout)["unreadable"] == []
        assert [row["id"] for row in restored.rows("events")] == [row["id"] for row in before.rows("events")]
        again = restored.webhook("law_enforcement", BEFORE_THE_BACKUP)
        assert (again.status_code, again.json()["duplicate"]) == (202, True)
    finally:
        restored.stop()


@pytest.mark.parametrize("example", examples(), ids=lambda example: f"line {example.line}")
async def test_a_worked_example_lands_in_its_table(example: Example, demo: Suite) -> None:
    """The mapping guide's: saved as it stands, and its body sent to a running suite."""
    system = f"example-{example.line}"
    demo.add_system(system)
    demo.add_mapping(system, "example", json.loads(example.mapping), example.table)
    mapping = {"system": system, "mapping": "example"}
    await eventually(lambda: demo.request("GET", "/cache", params=mapping).status_code == 200)
    answer = demo.webhook(system, example.body, Content_Type=example.content_type)
    assert answer.status_code == 202, answer.text

    def landed() -> bool:
        for row in example.rows:
            where = " AND ".join(f"{column} {'IS' if value is None else '='} %s" for column, value in row.items())
            assert len(demo.rows(example.table, where, list(row.values()))) == 1, demo.rows(example.table)[-3:]
        return True

    await eventually(landed)


def _hold(shell: Shell, number: int, documented: Command) -> None:
    where = f"{documented.block.page}:{documented.block.line}"
    done, printed = shell.run(number, documented)
    if not done:
        pytest.fail(f"{where}: a command failed:\n{documented.block.text}\n{printed}", pytrace=False)
    shown = documented.shown
    if shown and not pattern(shown.text).search(printed):
        pytest.fail(f"{where} prints\n{printed}\nand not\n{shown.text}", pytrace=False)


def _pending(suite: Suite) -> bool:
    # A record under a lease is as yet nowhere; one that is due later waits for what the page will do, or for a tick.
    waiting = "sync_status = 'pending' AND (lease_token IS NOT NULL OR available_at < datetime('now', '+1 second'))"
    return bool(suite.rows("external_data_cache", waiting, owner="ingest"))
