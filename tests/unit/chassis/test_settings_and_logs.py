"""Settings are read from the environment alone and show no secret; neither do the logs."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from intertie_chassis import calls, logs
from intertie_chassis.errors import StartupError
from intertie_chassis.settings import Settings, with_async_driver


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_each_setting_says_what_it_is_for() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("owner", "file"),
    [("registry", "registry.db"), ("ingest", "ingest.db"), ("audit", "audit.db"), ("mapper", "campaign.db")],
)
def test_unset_each_owner_has_its_own_file(owner: str, file: str, tmp_path: Path) -> None:
    assert Settings(data_dir=tmp_path).database_url_for(owner) == f"sqlite+aiosqlite:///{tmp_path}/{file}"


def test_an_owners_own_database_goes_before_the_common_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERTIE_DATABASE_URL", "mysql://u:p@h/LGU")
    monkeypatch.setenv("INTERTIE_TARGET_DATABASE_URL", "mariadb://u:p@h/modules")
    settings = Settings.load()
    assert settings.database_url_for("registry") == "mysql+asyncmy://u:p@h/LGU"
    assert settings.database_url_for("mapper") == "mysql+asyncmy://u:p@h/modules"
    assert settings.database_url_for("target") == "mysql+asyncmy://u:p@h/modules"


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("mysql://h/d", "mysql+asyncmy://h/d"),
        ("mysql+pymysql://h/d", "mysql+asyncmy://h/d"),
        (" MySQL://h/d\n", "mysql+asyncmy://h/d"),
        ("mariadb+mariadbconnector://h/d", "mysql+asyncmy://h/d"),
        ("sqlite:////a/b.db", "sqlite+aiosqlite:////a/b.db"),
        ("sqlite+aiosqlite:////a/b.db", "sqlite+aiosqlite:////a/b.db"),
    ],
)
def test_a_url_gets_the_driver_that_is_installed(given: str, used: str) -> None:
    assert with_async_driver(given) == used


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERTIE_DATABASE_URL", "mysql://u:hunter2@h/d")
    monkeypatch.setenv("INTERTIE_SERVICE_TOKEN", "hunter2")
    assert "hunter2" not in repr(Settings.load())


def test_a_fault_names_the_variable_and_not_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERTIE_LOG_FORMAT", "hunter2")
    monkeypatch.setenv("INTERTIE_TABLE_PREFIX", "a-b hunter2")
    with pytest.raises(StartupError) as caught:
        Settings.load()
    assert "INTERTIE_LOG_FORMAT" in str(caught.value)
    assert "INTERTIE_TABLE_PREFIX" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERTIE_DATABASE_URL", "")
    assert Settings.load().database_url is None


def _lines(capfdbinary: pytest.CaptureFixture[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capfdbinary.readouterr().err.splitlines()]


def test_a_line_is_json_with_its_service_and_request(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    logs.configure("registry", "json", "info")
    calls.set_request_id("trace-9")
    structlog.get_logger().info("saved", path=Path("/x"), count=3)
    structlog.get_logger().debug("not shown")
    [line] = _lines(capfdbinary)
    assert {key: line[key] for key in ("event", "service", "request_id", "level", "path", "count")} == {
        "event": "saved",
        "service": "registry",
        "request_id": "trace-9",
        "level": "info",
        "path": "/x",
        "count": 3,
    }


def test_secrets_are_masked_wherever_they_hide(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    logs.configure("registry", "json", "info")
    log = structlog.get_logger()
    log.info(
        "hidden",
        webhook_secret="hunter2",
        headers={"Authorization": "hunter2", "X-Webhook-Secret": "hunter2"},
        rows=[{"db_password": "hunter2"}],
        url="mysql://user:hunter2@host/db",
        said="sent Authorization: Bearer hunter2.hunter2",
    )
    try:
        raise RuntimeError("cannot reach mysql://user:hunter2@host/db")
    except RuntimeError:
        log.exception("failed")
    logging.getLogger("library").warning("password in %s", "amqp://user:hunter2@host")
    raw = capfdbinary.readouterr().err
    assert b"hunter2" not in raw
    assert b"mysql://user:***@host/db" in raw


def test_libraries_log_through_the_same_chain(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    logs.configure("registry", "json", "info")
    logging.getLogger("library").warning("told %d times", 3)
    logging.getLogger("alembic").info("not shown")
    [line] = _lines(capfdbinary)
    assert (line["event"], line["logger"], line["level"]) == ("told 3 times", "library", "warning")


def test_a_console_has_colours_when_asked(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    logs.configure("registry", "console", "info")
    structlog.get_logger().info("saved")
    assert b"\x1b[" in capfdbinary.readouterr().err
