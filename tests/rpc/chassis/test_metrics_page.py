"""The page of metrics that a process shows where its settings say so."""

import asyncio
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import structlog

from intertie_chassis import metrics
from intertie_chassis.identity import KeyRing
from intertie_chassis.process import Process
from intertie_chassis.settings import Settings
from waiting import eventually


async def test_metrics_are_shown_while_the_process_runs(tmp_path: Path, free_port: int) -> None:
    """On the address of its own setting, and no longer than it runs."""
    KeyRing(tmp_path).ensure()
    settings = Settings(data_dir=tmp_path, registry_metrics_listen=f"127.0.0.1:{free_port}")
    process = Process("registry", settings, "127.0.0.1:0")
    metrics.DATABASE_AVAILABLE.labels("shown").set(1)

    def page() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/metrics") as answer:
            return str(answer.read().decode())

    async def shown() -> str:
        try:
            return await asyncio.to_thread(page)
        except urllib.error.URLError as error:
            raise AssertionError(str(error)) from None

    await process.server.start()
    text = await eventually(shown)
    assert 'intertie_database_available{database="shown"} 1.0' in text
    assert "process_resident_memory_bytes" in text
    await process.server.stop()

    async def gone() -> bool:
        try:
            await asyncio.to_thread(page)
        except OSError:  # refused, or reset in the moment of the stop
            return True
        return False

    await eventually(gone)


async def test_a_port_that_is_taken_is_waited_for(free_port: int) -> None:
    """It is said in a line, and the page is there as soon as the port is."""
    with socket.create_server(("127.0.0.1", free_port)), structlog.testing.capture_logs() as logs:
        showing = asyncio.create_task(metrics.expose(f"127.0.0.1:{free_port}"))
        await eventually(lambda: [line for line in logs if line["log_level"] == "error"])
        assert "is the port taken?" in logs[0]["event"]
    with structlog.testing.capture_logs() as logs:
        await eventually(lambda: [line for line in logs if line["event"] == "metrics are shown"])
    showing.cancel()
    await asyncio.wait({showing})


async def test_without_the_setting_nothing_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(metrics, "start_http_server", lambda *_: asked.append("asked"))
    KeyRing(tmp_path).ensure()
    process = Process("registry", Settings(data_dir=tmp_path), "127.0.0.1:0")
    await process.server.start()
    await process.server.stop()
    assert asked == []
