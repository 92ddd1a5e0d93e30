"""`intertie up --metrics-port`: one switch gives every process a page."""

import socket
from pathlib import Path

import pytest

from intertie_chassis.errors import StartupError
from intertie_cli import addresses
from intertie_cli.settings import CliSettings
from intertie_cli.supervisor import PARTS

NAMES = tuple(part.name for part in PARTS)


def test_each_process_gets_the_next_port_and_the_gateway_the_last(tmp_path: Path) -> None:
    """Its workers take those behind it. What a setting says stays."""
    own = CliSettings(data_dir=tmp_path, mapper_metrics_listen="10.0.0.1:9000")
    settings = addresses.with_metrics(own, NAMES, 9464)
    environment = addresses.environment(settings, addresses.reached(settings, NAMES), "json")
    listeners = {name: environment[f"INTERTIE_{name.upper()}_METRICS_LISTEN"] for name in NAMES}
    assert listeners["registry"] == "127.0.0.1:9464"
    assert listeners["mapper"] == "10.0.0.1:9000"
    assert NAMES[-1] == "gateway"
    assert listeners["gateway"] == "127.0.0.1:9469"
    assert len(set(listeners.values())) == len(NAMES)


def test_without_the_switch_there_is_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(f"INTERTIE_{name.upper()}_METRICS_LISTEN", raising=False)
    settings = CliSettings(data_dir=tmp_path)
    environment = addresses.environment(settings, addresses.reached(settings, NAMES), "json")
    assert [name for name in environment if name.endswith("_METRICS_LISTEN")] == []


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        settings = CliSettings(data_dir=tmp_path, audit_metrics_listen=f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(StartupError, match="INTERTIE_AUDIT_METRICS_LISTEN"):
            addresses.check_free(settings, ("audit",))
