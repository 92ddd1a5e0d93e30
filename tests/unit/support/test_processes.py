"""What tests start ends with them, also when the run is killed."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

import processes
from waiting import eventually

TESTS = Path(processes.__file__).parent

STARTS_A_SERVER = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import processes
server = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", sys.argv[2]]
processes.start(server, log=Path(sys.argv[3]))
time.sleep(600)
"""


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a process to the one that started it")
async def test_a_killed_run_leaves_no_process(free_port: int, tmp_path: Path) -> None:
    """Kill -9 of whoever started a process ends that process too."""
    run = subprocess.Popen([sys.executable, "-c", STARTS_A_SERVER, str(TESTS), str(free_port), str(tmp_path / "log")])
    try:
        await eventually(lambda: _listens(free_port))
    finally:
        run.kill()
        run.wait()
    await eventually(lambda: not _listens(free_port))


def test_settings_of_the_machine_do_not_reach_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """INTERTIE_ variables of whoever runs the tests are not inherited, those that a test gives are."""
    monkeypatch.setenv("INTERTIE_DATABASE_URL", "mysql://production")
    log = tmp_path / "log"
    show = "import os; print(sorted(name for name in os.environ if name.startswith('INTERTIE_')))"
    process = processes.start([sys.executable, "-c", show], log=log, env={"INTERTIE_DATA_DIR": "here"})
    assert process.wait(30) == 0
    assert log.read_text() == "['INTERTIE_DATA_DIR']\n"
