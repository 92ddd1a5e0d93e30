"""`intertie certs`: a private certificate authority, and certificates of services and modules."""

import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509

from intertie_chassis.certificates import identity_of
from intertie_chassis.errors import StartupError
from intertie_cli.authority import PROCESSES, Authority, Holder
from intertie_cli.problems import UsageError
from intertie_cli.session import Session
from intertie_cli.verbs import group, verb

app = group("certs", "Certificates with which services speak TLS to each other.")

Directory = Annotated[
    Path | None,
    typer.Option("--dir", help="Where they are. Default: INTERTIE_TLS_DIR, else `certs` in the data directory."),
]
Hosts = Annotated[
    list[str] | None,
    typer.Option("--host", help="One more name or address under which services are reached; may be repeated."),
]
Days = Annotated[int, typer.Option("--days", min=1, max=3650, help="How long the certificates are valid.")]

_AUTHORITY_DAYS = 3650
_SOON_DAYS = 30
_VALID, _ENDS_SOON, _ENDED = "valid", "ends soon", "has ended"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
_ADDRESS = re.compile(r"[0-9a-fA-F:.]{2,45}")


@dataclass(frozen=True, slots=True)
class _Listed:
    """A certificate as `list` shows it."""

    file: str
    holder: str
    subject: str
    names: list[str]
    ends: str
    state: str


@app.callback()
def certificates() -> None:
    """Certificates with which services speak TLS to each other."""


@verb(app, "init")
async def make_authority(session: Session, directory: Directory = None, host: Hosts = None, days: Days = 365) -> None:
    """Make a private certificate authority, and a certificate of each process. Never replaces one that is there."""
    hosts = _hosts(host, None)
    where = _directory(session, directory)
    authority = Authority.make(where, _AUTHORITY_DAYS)
    for name in PROCESSES:
        authority.issue(Holder("service", name), hosts, days)
    session.printer.note(
        f"made an authority and {len(PROCESSES)} certificates in {where}, valid for {days} days; set INTERTIE_TLS_DIR "
        "to it. Processes need ca.pem and their own two files; keep ca.key where you issue certificates, and only there"
    )


@verb(app, "issue")
async def issue_certificate(
    session: Session,
    holder: Annotated[str, typer.Argument(help=f"service:NAME, module:NAME, or one of {', '.join(PROCESSES)}.")],
    directory: Directory = None,
    host: Hosts = None,
    days: Days = 365,
) -> None:
    """Make a certificate, or renew one: running processes take it within a second, without a restart.

    A renewed one keeps the hosts of the one before, unless --host names others.
    """
    whose = _holder(holder)
    hosts = _hosts(host, whose)
    where = _directory(session, directory)
    authority = Authority.open(where)
    if not hosts and whose.role == "service":
        hosts = _hosts_of(where / f"{whose.file}.pem")
    certificate = authority.issue(whose, hosts, days)
    session.printer.line(f"{where / f'{whose.file}.pem'}: {whose.label}, until {_day(certificate)}")


@verb(app, "list")
async def list_certificates(session: Session, directory: Directory = None) -> int | None:
    """List the certificates in a directory. Ends with 1 when one has ended, and warns 30 days before."""
    where = _directory(session, directory)
    found = [(path, _read(path)) for path in sorted(where.glob("*.pem"))]
    if not found:
        raise StartupError(f"there are no certificates in {where}; `intertie certs init` makes some")
    rows = [_listed(path, certificate) for path, certificate in found]
    if session.printer.is_json:
        session.printer.json([asdict(row) for row in rows])
    else:
        session.printer.rows(
            ["file", "holder", "names", "ends", "state"],
            ([row.file, row.holder, " ".join(row.names), row.ends, row.state] for row in rows),
        )
    for row in rows:
        if row.state != _VALID:
            remedy = "make a new authority" if row.file == "ca.pem" else f"`intertie certs issue {row.holder}`"
            session.printer.note(f"{row.file} {row.state} ({row.ends}); renew it: {remedy}")
    return 1 if any(row.state == _ENDED for row in rows) else None


def _directory(session: Session, given: Path | None) -> Path:
    return given or session.settings.tls_dir or session.settings.data_dir / "certs"


def _holder(text: str) -> Holder:
    """Raises UsageError."""
    if text in PROCESSES:
        return Holder("service", text)
    role, _, name = text.partition(":")
    is_taken = role == "service" and (name == "ca" or name.startswith("module-"))  # the names of others' files
    if role not in ("service", "module") or not _NAME.fullmatch(name) or is_taken:
        raise UsageError(f"{text} is not service:NAME, module:NAME, or one of {', '.join(PROCESSES)}")
    return Holder(role, name)


def _hosts(given: list[str] | None, whose: Holder | None) -> list[str]:
    """Raises UsageError for what is no host, and for names by which others are known."""
    for host in given or ():
        if not (_HOST.fullmatch(host) or (_ADDRESS.fullmatch(host) and ":" in host)):
            raise UsageError(f"--host: {host} is neither the name nor the address of a host")
        if host.lower() in PROCESSES and (whose is None or host != whose.name):
            # Whoever connects to registry asks for a certificate of that name.
            raise UsageError(f"--host: {host} is the name of a process, and stands in its own certificate only")
        if whose is not None and whose.role == "module":
            raise UsageError("--host: a module only calls; nobody connects to it, so its certificate bears no host")
    return list(given or ())


def _hosts_of(path: Path) -> list[str]:
    """Those in the certificate that is there, to be kept."""
    if not path.exists():
        return []
    try:
        names = _read(path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [
        *names.get_values_for_type(x509.DNSName),
        *(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    ]


def _read(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise StartupError(f"{path} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise StartupError(f"{path} holds no certificate in PEM") from error


def _listed(path: Path, certificate: x509.Certificate) -> _Listed:
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    return _Listed(
        file=path.name,
        holder=identity_of(certificate).label,
        subject=certificate.subject.rfc4514_string(),
        names=_hosts_of(path),
        ends=_day(certificate),
        state=_ENDED if left.total_seconds() <= 0 else _ENDS_SOON if left.days < _SOON_DAYS else _VALID,
    )


def _day(certificate: x509.Certificate) -> str:
    return certificate.not_valid_after_utc.strftime("%Y-%m-%d %H:%M UTC")
