"""Where a process takes its own token from when it calls another one."""

import time
from abc import ABC, abstractmethod
from pathlib import Path

from intertie_chassis.durable_files import FileVersion, version_of
from intertie_chassis.errors import StartupError, Unavailable
from intertie_chassis.keys import KeyRing
from intertie_chassis.settings import Settings


class TokenSource(ABC):
    """Gives the bearer token of the next call."""

    @abstractmethod
    def token(self) -> str:
        """The token to send now. Raises Unavailable when there is none at the moment."""

    @staticmethod
    def for_service(settings: Settings, name: str) -> "TokenSource":
        """The token of the service `name`: the one configured, else minted with the data directory's key.

        Raises StartupError when neither is to be had.
        """
        if settings.service_token is not None:
            return FixedToken(settings.service_token.get_secret_value())
        if settings.service_token_file is not None:
            return FileToken(settings.service_token_file)
        if settings.identity_keys is not None and not KeyRing(settings.data_dir).can_sign:
            raise StartupError(
                "INTERTIE_IDENTITY_KEYS is set, so this process only verifies; give it its own token with "
                f"INTERTIE_SERVICE_TOKEN_FILE (`intertie token issue --role service:{name}` prints one)"
            )
        return MintedToken(KeyRing(settings.data_dir), f"service:{name}")


class FixedToken(TokenSource):
    """One token for the life of the process."""

    def __init__(self, text: str) -> None:
        self._text = text.strip()

    def token(self) -> str:
        """The token."""
        return self._text


class FileToken(TokenSource):
    """The token in a file, read again when the file changes: so it can be renewed under a running process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: FileVersion | None = None
        self._text = ""

    def token(self) -> str:
        """The file's present token. Raises Unavailable when there never was one to read."""
        try:
            seen = version_of(self._path)
            if seen is None or seen != self._seen:
                self._text, self._seen = self._path.read_text().strip(), seen
        except OSError as error:
            if not self._text:
                raise Unavailable("this service has no token yet: its token file cannot be read") from error
        return self._text


class MintedToken(TokenSource):
    """Tokens signed here, valid for a day; a new one every hour, and when another key signs or tokens are revoked."""

    _RENEW_AFTER = 3600.0

    def __init__(self, keys: KeyRing, role: str, subject: str | None = None) -> None:
        self._keys = keys
        self._role = role
        self._subject = subject
        self._text = ""
        self._minted_at = 0.0
        self._version: object = None

    def token(self) -> str:
        """The present token. Raises StartupError when the signing key is lost."""
        now, version = time.monotonic(), self._keys.version()
        if not self._text or now - self._minted_at > self._RENEW_AFTER or version != self._version:
            self._text = self._keys.mint(self._role, self._subject)
            self._minted_at, self._version = now, version
        return self._text
