"""A secret setting may stand in a file that its ``_FILE`` variable names."""

from pathlib import Path

import pytest

from intertie_chassis.errors import StartupError
from intertie_chassis.file_settings import MOST_BYTES, secrets_of
from intertie_chassis.settings import Settings, with_password


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that holds a secret, as editors and orchestrators leave it."""
    path = tmp_path / "secret"
    path.write_text("mysql://u:hunter2@h/LGU\n")
    return path


def test_the_file_is_read_in_place_of_the_variable(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERTIE_DATABASE_URL_FILE", str(file))
    settings = Settings.load()
    assert settings.database_url_for("registry") == "mysql+asyncmy://u:hunter2@h/LGU"
    assert "hunter2" not in repr(settings)


def test_a_line_end_is_no_part_of_a_secret_and_a_space_is(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_bytes(b" two words \r\n")
    monkeypatch.setenv("INTERTIE_DATABASE_PASSWORD_FILE", str(file))
    given = Settings.load().database_password
    assert given is not None
    assert given.get_secret_value() == " two words "


def test_a_variable_and_its_file_are_one_too_many(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERTIE_DATABASE_URL_FILE", str(file))
    monkeypatch.setenv("INTERTIE_DATABASE_URL", "mysql://u:hunter3@h/LGU")
    with pytest.raises(StartupError, match="INTERTIE_DATABASE_URL and INTERTIE_DATABASE_URL_FILE") as caught:
        Settings.load()
    assert "hunter" not in str(caught.value)


def test_an_empty_name_of_a_file_names_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERTIE_DATABASE_URL_FILE", "")
    assert Settings.load().database_url is None


@pytest.mark.parametrize(
    ("content", "fault"),
    [(None, "cannot be read"), (b"\n", "is empty"), (b"\xff", "UTF-8"), (b"x" * (MOST_BYTES + 1), "too long")],
)
def test_a_file_that_holds_no_secret_stops_the_process(
    content: bytes | None, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "missing"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("INTERTIE_DATABASE_PASSWORD_FILE", str(path))
    with pytest.raises(StartupError, match=rf"INTERTIE_DATABASE_PASSWORD_FILE: .*{fault}"):
        Settings.load()


def test_a_setting_with_a_file_of_its_own_stays_what_it_is(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service token's file is read again when it changes, so its text is not taken here."""
    monkeypatch.setenv("INTERTIE_SERVICE_TOKEN_FILE", str(file))
    settings = Settings.load()
    assert (settings.service_token, settings.service_token_file) == (None, file)
    assert "service_token" not in dict(secrets_of(Settings))


@pytest.mark.parametrize(
    ("url", "complete"),
    [
        ("mysql+asyncmy://u@h:3306/d", "mysql+asyncmy://u:p%40%2F%3A%25@h:3306/d"),
        ("mysql+asyncmy://u:own@h/d", "mysql+asyncmy://u:own@h/d"),
        ("mysql+asyncmy://h/d?x=a@b", "mysql+asyncmy://h/d?x=a@b"),
        ("sqlite+aiosqlite:////a@b/c.db", "sqlite+aiosqlite:////a@b/c.db"),
    ],
)
def test_the_password_goes_where_a_user_has_none(url: str, complete: str) -> None:
    assert with_password(url, "p@/:%") == complete
