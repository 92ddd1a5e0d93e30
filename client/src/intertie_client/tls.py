"""TLS of a client: whom it believes, and the certificate that says who it is, out of files that may change."""

import ssl
import threading
import time
from dataclasses import dataclass
from pathlib import Path

_LOOK_EVERY = 1.0


@dataclass(frozen=True, slots=True)
class Tls:
    """Where the PEM files are. `Tls()` believes whom gRPC believes by itself, and shows no certificate."""

    ca: str | Path | None = None
    """The authorities to believe."""
    certificate: str | Path | None = None
    """The module's certificate (`intertie certs issue module:NAME`), for services that ask for one."""
    key: str | Path | None = None
    """The certificate's private key."""
    server_name: str | None = None
    """The DNS name that the other side's certificate must bear. None: of a service its own name (`ingest`), as its
    certificate has it; of a proxy the name in its address."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("TLS: a certificate and its key go together; one of them is missing")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Material:
    """What the files held at one time. Two are the same only when they are one object."""

    authority: bytes | None
    certificate: bytes | None
    key: bytes | None


class TlsFiles:
    """The files of one client. Safe in any thread."""

    def __init__(self, tls: Tls) -> None:
        """Raises ValueError when one cannot be used."""
        self.server_name = tls.server_name
        self._tls = tls
        self._lock = threading.Lock()
        self._seen = self._versions()
        self._material = self._read()
        self._looked_at = time.monotonic()

    def material(self) -> Material:
        """What the files hold. Looked at once a second at most; what cannot be used changes nothing."""
        with self._lock:
            now = time.monotonic()
            if now - self._looked_at >= _LOOK_EVERY:
                self._looked_at = now
                self._look()
            return self._material

    def _look(self) -> None:
        versions = self._versions()
        if versions == self._seen:
            return
        try:
            self._material = self._read()
        except ValueError:
            return  # half replaced: not remembered as seen, so it is looked at again
        self._seen = versions

    def _versions(self) -> list[tuple[int, int, int] | None]:
        found: list[tuple[int, int, int] | None] = []
        for path in self._paths():
            try:
                stat = path.stat()
                found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
            except OSError:
                found.append(None)
        return found

    def _paths(self) -> list[Path]:
        return [Path(path) for path in (self._tls.ca, self._tls.certificate, self._tls.key) if path is not None]

    def _read(self) -> Material:
        """Raises ValueError for what cannot be read, or does not go together."""
        contents: dict[Path, bytes] = {}
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            if self._tls.certificate is not None and self._tls.key is not None:
                # An empty password: with none OpenSSL would ask the terminal.
                context.load_cert_chain(self._tls.certificate, self._tls.key, password="")
            for path in self._paths():
                contents[path] = path.read_bytes()
            if self._tls.ca is not None:
                context.load_verify_locations(cadata=contents[Path(self._tls.ca)].decode("ascii", "replace"))
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"TLS: the files cannot be used ({error.strerror or error})") from error

        def content(path: str | Path | None) -> bytes | None:
            return None if path is None else contents[Path(path)]

        return Material(content(self._tls.ca), content(self._tls.certificate), content(self._tls.key))
