"""Where the bearer token of the next call comes from: a text, a file that may change, or a function."""

import base64
import binascii
import json
import os
from collections.abc import Callable
from pathlib import Path

from intertie_client.errors import Unauthenticated

Token = str | os.PathLike[str] | Callable[[], str]
"""A token; the path of a file that holds one and is read again when it changes; or what gives one for each call."""


class FileToken:
    """The token in a file: whoever replaces the file changes the token, with no restart. Safe in any thread."""

    def __init__(self, path: os.PathLike[str]) -> None:
        self._path = Path(path)
        self._known: tuple[tuple[int, int, int] | None, str] = (None, "")

    def __call__(self) -> str:
        """The file's present token; the last one while the file is away. Raises Unauthenticated without any."""
        seen, text = self._known
        try:
            stat = self._path.stat()
            now = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if now != seen:
                text = self._path.read_text(encoding="utf-8").strip()
                self._known = (now, text)
        except OSError as error:
            if not text:
                raise Unauthenticated(f"the token file {self._path} cannot be read ({error.strerror})") from error
        return text


def source_of(token: Token | None) -> Callable[[], str] | None:
    """What gives the token; None without one, when a certificate says who calls."""
    if token is None or callable(token):
        return token
    if isinstance(token, str):
        text = token.strip()
        return lambda: text
    return FileToken(token)


def module_in(token: str) -> str:
    """The module that a token says it is for; empty when it says none.

    Nothing is verified: the services do that. It only spares a module to repeat its name.
    """
    try:
        payload = token.split(".")[1]
        role = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["role"]
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return ""
    kind, _, name = role.partition(":") if isinstance(role, str) else ("", "", "")
    return name if kind == "module" else ""
