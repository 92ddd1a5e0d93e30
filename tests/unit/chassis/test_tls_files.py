"""A process's own certificate: which settings are one, what is said of faults, and what a change of the files does."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

import certificate_samples
from intertie_chassis import tls_files
from intertie_chassis.errors import StartupError
from intertie_chassis.settings import Settings
from intertie_chassis.tls import token_for
from intertie_chassis.tls_files import TlsFiles
from intertie_cli.authority import Authority, Holder


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An authority with certificates of ingest and registry."""
    authority = Authority.make(tmp_path / "certs", 10)
    for name in ("ingest", "registry"):
        authority.issue(Holder("service", name), [], 5)
    return authority.directory


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    """Settings of a data directory of the test's own."""
    return lambda **fields: Settings(data_dir=tmp_path / "data", **fields)


def test_a_directory_has_the_files_by_name(directory: Path, settings: Callable[..., Settings]) -> None:
    """Each process finds its own."""
    files = TlsFiles.of(settings(tls_dir=directory), "ingest")
    assert files is not None
    material = files.material()
    assert material.identity.label == "service:ingest"
    assert material.certificate == (directory / "ingest.pem").read_bytes()
    assert material.authority == (directory / "ca.pem").read_bytes()
    assert TlsFiles.of(settings(), "ingest") is None


def _all_three(directory: Path, name: str = "ingest") -> dict[str, Path]:
    return {
        "tls_certificate": directory / f"{name}.pem",
        "tls_key": directory / f"{name}.key",
        "tls_ca": directory / "ca.pem",
    }


@pytest.mark.parametrize("missing", ["tls_certificate", "tls_key", "tls_ca"])
def test_one_of_three_that_is_missing_is_named(
    directory: Path, settings: Callable[..., Settings], missing: str
) -> None:
    """Half a configuration is never taken for none."""
    given = _all_three(directory)
    del given[missing]
    with pytest.raises(StartupError, match=f"INTERTIE_{missing.upper()} is not set"):
        TlsFiles.of(settings(**given), "ingest")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tls_key": "registry.key"}, "is not the key of"),
        ({"tls_certificate": "nowhere.pem"}, "nowhere.pem cannot be read"),
        ({"tls_certificate": "ingest.key"}, "holds no certificate in PEM"),
        ({"tls_key": "ingest.pem"}, "holds no private key in PEM"),
        ({"tls_ca": "ingest.key"}, "holds no certificate in PEM"),
    ],
)
def test_files_that_cannot_be_used_end_the_start(
    directory: Path, settings: Callable[..., Settings], change: dict[str, str], says: str
) -> None:
    """In one line, with the path."""
    given = _all_three(directory) | {field: directory / file for field, file in change.items()}
    with pytest.raises(StartupError, match=says) as caught:
        TlsFiles.of(settings(**given), "ingest")
    assert "\n" not in str(caught.value)


def test_a_certificate_that_has_ended_ends_the_start(directory: Path, settings: Callable[..., Settings]) -> None:
    """Nobody would believe it."""
    certificate_samples.issue(directory, "ingest", uris=["spiffe://intertie/service/ingest"], days=-1)
    with pytest.raises(StartupError, match=r"ended on .* renew it"):
        TlsFiles.of(settings(tls_dir=directory), "ingest")


@pytest.fixture
def files(directory: Path, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> TlsFiles:
    """Ingest's files, looked at each time they are asked for."""
    monkeypatch.setattr(tls_files, "_LOOK_EVERY", 0.0)
    made = TlsFiles.of(settings(tls_dir=directory), "ingest")
    assert made is not None
    return made


def test_changed_files_are_read_again(directory: Path, files: TlsFiles) -> None:
    """Unchanged ones give the very same object, by which others see that nothing is new."""
    before = files.material()
    assert files.material() is before
    Authority.open(directory).issue(Holder("service", "ingest"), [], 5)
    after = files.material()
    assert after.certificate == (directory / "ingest.pem").read_bytes() != before.certificate
    assert after.key == (directory / "ingest.key").read_bytes()


def test_broken_files_leave_the_last_good_ones(directory: Path, files: TlsFiles) -> None:
    """The log says so once; what is mended later is taken."""
    before = files.material()
    good = (directory / "ingest.pem").read_bytes()
    (directory / "ingest.pem").write_bytes((directory / "registry.pem").read_bytes())
    with capture_logs() as logs:
        assert files.material() is before
        assert files.material() is before
        (directory / "ingest.pem").unlink()
        assert files.material() is before
    said: list[Any] = [log["cause"] for log in logs if log["log_level"] == "error"]
    assert len(said) == 2
    assert "is not the key of" in said[0]
    assert "cannot be read" in said[1]
    (directory / "ingest.pem").write_bytes(good)
    assert files.material().certificate == good
    Authority.open(directory).issue(Holder("service", "ingest"), [], 5)
    assert files.material().certificate != good


def test_the_coming_end_is_said(directory: Path, settings: Callable[..., Settings]) -> None:
    """At the start and for each new certificate, not at each look."""
    with capture_logs() as logs:
        files = TlsFiles.of(settings(tls_dir=directory), "ingest")
        assert files is not None
        files.material()
    warnings = [log for log in logs if log["log_level"] == "warning"]
    assert len(warnings) == 1
    assert time.strftime("%Y", time.gmtime(files.material().identity.ends_at)) in warnings[0]["ends"]


def test_a_certificate_takes_the_tokens_place(
    directory: Path, settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """Then no key is made or needed; a certificate of another name, or a token that is given, keeps the token."""
    files = TlsFiles.of(settings(tls_dir=directory), "ingest")
    assert token_for(settings(), "ingest", files) is None
    assert not (tmp_path / "data").exists()
    given = token_for(settings(service_token="abc"), "ingest", files)
    assert given is not None
    assert given.token() == "abc"
    assert token_for(settings(), "pull", files) is not None
