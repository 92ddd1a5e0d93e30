"""Texts of an external system without the credentials that it may have sent back."""

from collections import deque
from collections.abc import Iterable

#: enough of an answer to see what is wrong
EXCERPT_CHARACTERS = 2000
_LOOKED_AT = 200_000
_MOST_ADDED = 8


class Redaction:
    """Takes a connection's secrets out of texts; tokens that are fetched later are added."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = list(secrets)
        self._added: deque[str] = deque(maxlen=_MOST_ADDED)

    def add(self, secret: str) -> None:
        """Also this one from now on; of those added the last few are remembered."""
        if secret and secret not in self._added:
            self._added.append(secret)

    def excerpt(self, text: str, most: int = EXCERPT_CHARACTERS) -> str:
        """The beginning of a text, without secrets, in one piece and printable."""
        # Cut last: half a secret at the end would not be found.
        text = text[:_LOOKED_AT]
        for secret in (*self._added, *self._secrets):
            text = text.replace(secret, "[redacted]")
        text = "".join(character if character.isprintable() or character in "\n\t" else " " for character in text)
        return text[:most]
