"""A private certificate authority in a directory: its key, its certificate, and the certificates that it issues.

Each is two files, ``<name>.pem`` and ``<name>.key`` (PKCS 8, for the owner alone); the authority's are ``ca``. What
INTERTIE_TLS_DIR names is such a directory.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from intertie_chassis.certificates import uri_of
from intertie_chassis.durable_files import PRIVATE, PUBLIC, write_whole
from intertie_chassis.errors import StartupError

PROCESSES = ("registry", "ingest", "pull", "mapper", "audit", "gateway", "cli", "envoy")
"""Whose certificates a new authority makes."""

_LOCAL = ("localhost", "127.0.0.1", "::1")
_SKEW = timedelta(minutes=5)
"""How much earlier a certificate begins than it is made: clocks differ."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom a certificate is for."""

    role: str
    """service or module."""
    name: str

    @property
    def label(self) -> str:
        """``service:gateway``, ``module:events``."""
        return f"{self.role}:{self.name}"

    @property
    def file(self) -> str:
        """What its files are called: a service's by its name alone, as its process looks for them."""
        return self.name if self.role == "service" else f"module-{self.name}"


class Authority:
    """The authority of one directory."""

    def __init__(self, directory: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.directory = directory
        self.certificate = certificate
        self._key = key

    @classmethod
    def make(cls, directory: Path, days: int) -> "Authority":
        """A new one. Raises StartupError when the directory holds certificates or keys, or cannot be written."""
        if directory.is_dir() and any(path.suffix in (".pem", ".key") for path in directory.iterdir()):
            raise StartupError(
                f"{directory} holds certificates or keys already; name another directory, or remove it. Whoever has "
                "certificates of one authority does not believe those of another"
            )
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Intertie private CA")])
        now = datetime.now(UTC)
        certificate = (
            _builder(name, name, key.public_key(), now - _SKEW, now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(directory, "ca", certificate, key)
        except OSError as error:
            raise StartupError(f"{directory} cannot be written ({error.strerror})") from error
        return cls(directory, certificate, key)

    @classmethod
    def open(cls, directory: Path) -> "Authority":
        """The one that is there. Raises StartupError when there is none, or its files are damaged."""
        try:
            certificate = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
            key = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), None)
        except FileNotFoundError as error:
            raise StartupError(
                f"{directory} has no certificate authority (ca.pem and ca.key); `intertie certs init` makes one"
            ) from error
        except OSError as error:
            raise StartupError(f"{error.filename} cannot be read ({error.strerror})") from error
        except (ValueError, TypeError) as error:
            raise StartupError(f"ca.pem or ca.key in {directory} is damaged; restore them") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise StartupError(f"ca.key in {directory} is not the key of ca.pem; restore them")
        return cls(directory, certificate, key)

    def issue(self, holder: Holder, hosts: Sequence[str], days: int) -> x509.Certificate:
        """Writes a new key and certificate of the holder, in place of those that it may have.

        A service's is for this machine and the service's name, which is what its callers ask for; a module's is a
        caller's only, and bears no name that a server could be mistaken by. It never outlives the authority.

        Args:
            hosts: more names or addresses under which the service is reached.

        Raises StartupError when the files cannot be written, ValueError for a host that is no name.
        """
        now = datetime.now(UTC)
        ends = min(now + timedelta(days=days), self.certificate.not_valid_after_utc)
        is_service = holder.role == "service"
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri_of(holder.role, holder.name))]
        if is_service:
            names += [_general_name(host) for host in dict.fromkeys((*_LOCAL, holder.name, *hosts))]
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH] + [ExtendedKeyUsageOID.SERVER_AUTH] * is_service
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, holder.label[:64])])
        certificate = (
            _builder(subject, self.certificate.subject, key.public_key(), now - _SKEW, ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        try:
            _write(self.directory, holder.file, certificate, key)
        except OSError as error:
            raise StartupError(f"{self.directory} cannot be written ({error.strerror})") from error
        return certificate


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(directory: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    """Both files, each whole or not at all. The key first: a process that looks in between finds two that do not go
    together, keeps what it has, and looks again."""
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    write_whole(directory / f"{name}.key", private.decode(), PRIVATE)
    write_whole(directory / f"{name}.pem", public.decode(), PUBLIC)
