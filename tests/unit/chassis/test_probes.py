"""Which process a probe asks, and where."""

import pytest

from intertie_chassis import probe
from intertie_chassis.listening import reached_at


@pytest.mark.parametrize(
    ("module", "process"),
    [
        ("intertie_registry", "registry"),
        ("intertie_ingest", "ingest"),
        ("intertie_ingest.pull", "pull"),
        ("intertie_gateway", "gateway"),
        ("mapper", "mapper"),
        ("intertie_cli", ""),
        ("", ""),
    ],
)
def test_the_module_that_runs_says_which_process_it_is(module: str, process: str) -> None:
    assert probe.process_of(module) == process


@pytest.mark.parametrize(
    ("listen", "reached"),
    [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), (":1", "127.0.0.1:1"), ("10.0.0.4:1", "10.0.0.4:1")],
)
def test_what_listens_everywhere_is_reached_on_the_loopback(listen: str, reached: str) -> None:
    assert reached_at(listen) == reached


def test_nobody_there_is_not_well(
    free_port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INTERTIE_AUDIT_LISTEN", f"127.0.0.1:{free_port}")
    assert probe.main(["audit"]) == 1
    assert probe.main(["intertie_audit", "--live"]) == 1
    assert f"audit at 127.0.0.1:{free_port} is not ready" in capsys.readouterr().err


def test_a_probe_of_no_process_is_wrong_usage() -> None:
    with pytest.raises(SystemExit) as ended:
        probe.main(["database"])
    assert ended.value.code == 2
