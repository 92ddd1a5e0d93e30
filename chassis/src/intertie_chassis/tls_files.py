"""A process's own certificate, its key, and the authority that it believes: three files, read again when they change.

Files that cannot be used while the process runs change nothing: the last good ones stay, and the log says why.
"""

import asyncio
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from intertie_chassis.certificates import Identity, identity_of
from intertie_chassis.durable_files import FileVersion, version_of
from intertie_chassis.errors import StartupError
from intertie_chassis.settings import Settings

_log = structlog.get_logger()
_LOOK_EVERY = 1.0
_WATCH_EVERY = 1.0
_WARN_EVERY = 6 * 3600.0
_SOON = 14 * 86_400
"""So many seconds before its end a certificate is warned of."""

_SETTINGS = ("INTERTIE_TLS_CERTIFICATE", "INTERTIE_TLS_KEY", "INTERTIE_TLS_CA")


@dataclass(frozen=True, slots=True)
class Material:
    """What the files held at one time: PEM that goes together. Two are the same only when they are one object."""

    certificate: bytes
    """The certificate, and behind it those between it and the authority."""
    key: bytes
    authority: bytes
    identity: Identity
    """Whose the certificate is."""


class TlsFiles:
    """The three files of one process. Safe to ask from any thread."""

    def __init__(self, certificate: Path, key: Path, authority: Path) -> None:
        """Raises StartupError when one cannot be read, or they do not go together."""
        self._paths = (certificate, key, authority)
        self._lock = threading.Lock()
        self._seen = self._versions()
        self._material = self._read()
        self._looked_at = time.monotonic()
        self._warned_at = float("-inf")
        self._fault = ""
        self._warn_of_the_end()

    @classmethod
    def of(cls, settings: Settings, name: str) -> "TlsFiles | None":
        """The files of the process `name`, as the settings have them; None without any.

        Raises StartupError when some of the three are missing or cannot be used.
        """
        given = [settings.tls_certificate, settings.tls_key, settings.tls_ca]
        if settings.tls_dir is not None:
            defaults = [settings.tls_dir / file for file in (f"{name}.pem", f"{name}.key", "ca.pem")]
            paths = [own or default for own, default in zip(given, defaults, strict=True)]
        elif not any(given):
            return None
        else:
            paths = [path for path in given if path is not None]
            missing = [setting for setting, path in zip(_SETTINGS, given, strict=True) if path is None]
            if missing:
                raise StartupError(
                    f"TLS needs a certificate, its key and a certificate authority: {' and '.join(missing)} "
                    f"{'is' if len(missing) == 1 else 'are'} not set (or set INTERTIE_TLS_DIR instead of all three)"
                )
        return cls(*paths)

    def material(self) -> Material:
        """What the files hold, as far as it can be used. They are looked at once a second at most."""
        now = time.monotonic()
        if now - self._looked_at < _LOOK_EVERY:
            return self._material
        with self._lock:
            if now - self._looked_at >= _LOOK_EVERY:
                self._looked_at = now
                self._look()
                self._warn_of_the_end()
        return self._material

    async def watch(self) -> None:
        """Looks each second until cancelled, so that a fault, or the coming end, is logged though nobody connects."""
        while True:
            self.material()
            await asyncio.sleep(_WATCH_EVERY)

    def _look(self) -> None:
        versions = self._versions()
        if versions == self._seen and not self._fault:
            return
        try:
            material = self._read()
        except StartupError as error:
            # Not remembered as seen: of two files that are replaced, the first is looked at without the second.
            if str(error) != self._fault:
                self._fault = str(error)
                _log.error("the new certificate cannot be used; the last one stays", cause=self._fault)
            return
        self._seen, self._fault = versions, ""
        known = self._material
        if (material.certificate, material.key, material.authority) != (
            known.certificate,
            known.key,
            known.authority,
        ):
            self._material = material
            self._warned_at = float("-inf")
            _log.info("certificate read again", ends=_day(material.identity.ends_at), holder=material.identity.label)

    def _versions(self) -> tuple[FileVersion | None, ...]:
        return tuple(map(version_of, self._paths))

    def _read(self) -> Material:
        """Raises StartupError."""
        raw = []
        for path in self._paths:
            try:
                raw.append(path.read_bytes())
            except OSError as error:
                raise _unreadable(path, error) from None
        certificate_path, key_path, authority_path = self._paths
        try:
            certificate = x509.load_pem_x509_certificates(raw[0])[0]
            identity = identity_of(certificate)
        except ValueError:
            raise StartupError(f"TLS: {certificate_path} holds no certificate in PEM") from None
        try:
            key = serialization.load_pem_private_key(raw[1], None)
        except (ValueError, TypeError):
            raise StartupError(f"TLS: {key_path} holds no private key in PEM without a password") from None
        try:
            x509.load_pem_x509_certificates(raw[2])
        except ValueError:
            raise StartupError(f"TLS: {authority_path} holds no certificate in PEM") from None
        if key.public_key() != certificate.public_key():
            raise StartupError(f"TLS: {key_path} is not the key of {certificate_path}")
        if identity.ends_at <= time.time():
            raise StartupError(
                f"TLS: {certificate_path} ended on {_day(identity.ends_at)}; renew it (`intertie certs issue`)"
            )
        return Material(raw[0], raw[1], raw[2], identity)

    def _warn_of_the_end(self) -> None:
        now, identity = time.time(), self._material.identity
        if identity.ends_at - now < _SOON and time.monotonic() - self._warned_at > _WARN_EVERY:
            self._warned_at = time.monotonic()
            _log.warning(
                "certificate ends soon; renew it with `intertie certs issue`",
                holder=identity.label,
                ends=_day(identity.ends_at),
            )


def _unreadable(path: Path, error: OSError) -> StartupError:
    return StartupError(f"TLS: {path} cannot be read ({error.strerror}); `intertie certs init` makes such files")


def _day(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
