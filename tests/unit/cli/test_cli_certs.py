"""The certificates that `intertie certs` makes: what they say, whose they may be, and what is never replaced."""

import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from typer.testing import CliRunner, Result

import certificate_samples
from intertie_cli.app import app
from intertie_cli.authority import PROCESSES

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `intertie certs` on a data directory of the test's own."""
    monkeypatch.setenv("INTERTIE_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("INTERTIE_TLS_DIR", raising=False)
    return lambda *arguments: CliRunner().invoke(app, ["certs", *arguments])


def _read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _names(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def test_init_makes_an_authority_and_a_certificate_of_each_process(run: Run, tmp_path: Path) -> None:
    """Signed by it, named by URI and by the hosts where the process is reached; keys are for their owner alone."""
    assert run("init", "--host", "box.example.com", "--host", "10.0.0.7", "--days", "30").exit_code == 0
    certs = tmp_path / "certs"
    authority = _read(certs / "ca.pem")
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    for name in PROCESSES:
        certificate = _read(certs / f"{name}.pem")
        certificate.verify_directly_issued_by(authority)
        names = _names(certificate)
        assert names.get_values_for_type(x509.UniformResourceIdentifier) == [f"spiffe://intertie/service/{name}"]
        assert names.get_values_for_type(x509.DNSName) == ["localhost", name, "box.example.com"]
        assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1", "10.0.0.7"]
        assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert certificate.not_valid_after_utc - datetime.now(UTC) < timedelta(days=30)
    assert {stat.S_IMODE(path.stat().st_mode) for path in certs.glob("*.key")} == {0o600}


def test_init_replaces_nothing(run: Run, tmp_path: Path) -> None:
    """Neither an authority, nor a lone certificate."""
    run("init")
    before = {path: path.read_bytes() for path in (tmp_path / "certs").iterdir()}
    refused = run("init")
    assert refused.exit_code == 1
    assert "holds certificates or keys already" in refused.stderr
    assert {path: path.read_bytes() for path in (tmp_path / "certs").iterdir()} == before


def test_a_modules_certificate_only_calls(run: Run, tmp_path: Path) -> None:
    """It bears no DNS name, so a module that is called `audit` cannot take audit's place."""
    run("init")
    assert run("issue", "module:audit").exit_code == 0
    certificate = _read(tmp_path / "certs" / "module-audit.pem")
    assert [name.value for name in _names(certificate)] == ["spiffe://intertie/module/audit"]
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_a_renewed_certificate_keeps_its_hosts(run: Run, tmp_path: Path) -> None:
    """With another key."""
    run("init", "--host", "box.example.com")
    path = tmp_path / "certs" / "ingest.pem"
    before = _read(path)
    assert run("issue", "ingest").exit_code == 0
    assert _names(_read(path)) == _names(before)
    assert _read(path).public_key() != before.public_key()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("issue", "somebody"), "is not service:NAME"),
        (("issue", "service:ca"), "is not service:NAME"),
        (("issue", "service:module-events"), "is not service:NAME"),
        (("issue", "module:a/b"), "is not service:NAME"),
        (("issue", "ingest", "--host", "Registry"), "is the name of a process"),
        (("issue", "module:events", "--host", "box"), "a module only calls"),
        (("issue", "ingest", "--host", "a b"), "neither the name nor the address"),
        (("issue", "ingest", "--host", "*.example.com"), "neither the name nor the address"),
    ],
)
def test_what_is_not_issued(run: Run, tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    """No file is written for it."""
    run("init")
    before = {path: path.read_bytes() for path in (tmp_path / "certs").iterdir()}
    refused = run(*arguments)
    assert refused.exit_code == 2
    assert says in refused.stderr
    assert {path: path.read_bytes() for path in (tmp_path / "certs").iterdir()} == before


def test_without_an_authority_nothing_is_issued(run: Run) -> None:
    """The answer says how to get one."""
    refused = run("issue", "ingest")
    assert refused.exit_code == 1
    assert "intertie certs init" in refused.stderr


def test_the_list_warns_of_ends(run: Run, tmp_path: Path) -> None:
    """Of one that has ended by the exit code, too."""
    run("init")
    listed = run("list")
    assert listed.exit_code == 0
    assert listed.stderr == ""
    assert "service:registry" in listed.stdout
    run("issue", "pull", "--days", "3")
    certificate_samples.issue(tmp_path / "certs", "mapper", uris=["spiffe://intertie/service/mapper"], days=-1)
    listed = run("list")
    assert listed.exit_code == 1
    assert "pull.pem ends soon" in listed.stderr
    assert "mapper.pem has ended" in listed.stderr


def test_up_takes_no_certificate_for_all_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would claim to be the same one."""
    monkeypatch.setenv("INTERTIE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("INTERTIE_TLS_CERTIFICATE", str(tmp_path / "one.pem"))
    refused = CliRunner().invoke(app, ["up"])
    assert refused.exit_code == 1
    assert "set INTERTIE_TLS_DIR" in refused.stderr
    assert not (tmp_path / "data").exists()
