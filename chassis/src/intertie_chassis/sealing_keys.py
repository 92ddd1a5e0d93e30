"""Sealing keys as text, and what all their sources have in common: they may change while the process runs.

The text has a key a line, ``<key id>:<base64 of 32 bytes>``; the first seals, all open. What is wrong with it is told
by the number of the entry, never by what stands there.
"""

import asyncio
import base64
import binascii
from abc import ABC, abstractmethod
from collections.abc import Iterable

import structlog

from intertie_chassis.errors import FailedPrecondition, StartupError
from intertie_chassis.sealing import KEY_BYTES, KEY_ID, SealingKey, SealingKeys

_log = structlog.get_logger()

KEYS_SETTING = "INTERTIE_SECRETS_KEYS"
FILE_SETTING = "INTERTIE_SECRETS_KEYS_FILE"
COMMAND_SETTING = "INTERTIE_SECRETS_KEYS_COMMAND"
MOST_BYTES = 64 * 1024
"""How long a list of keys may be."""
_URL_SAFE = str.maketrans("-_", "+/")
SECRETS_HEAD = (
    "# Intertie seals the credentials in its database with the first of these keys, and opens them with all.\n"
    "# Without this file they are lost: keep a copy of it, and not beside the copies of the database.\n"
)


def parse(text: str, source: str) -> SealingKeys:
    """The keys in a text. Lines, or commas between them; empty lines and those that begin with # say nothing.

    Raises StartupError that names `source` and the number of the entry at fault.
    """
    keys: list[SealingKey] = []
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    entries = [entry.strip() for line in lines for entry in line.split(",") if entry.strip()]
    for number, entry in enumerate(entries, 1):
        key_id, colon, encoded = entry.partition(":")
        if not colon or not KEY_ID.fullmatch(key_id):
            raise StartupError(
                f"{source}: key {number} must be <key id>:<base64 of {KEY_BYTES} bytes>, its id of letters, digits, "
                "dot, dash and underscore, at most 64"
            )
        try:
            secret = base64.b64decode(encoded.strip().translate(_URL_SAFE).encode("ascii"), validate=True)
        except (binascii.Error, ValueError):
            secret = b""
        if len(secret) != KEY_BYTES:
            raise StartupError(
                f"{source}: key {number} is not base64 of {KEY_BYTES} bytes; `intertie secrets keygen` prints a new key"
            )
        if any(key.id == key_id for key in keys):
            raise StartupError(f"{source}: key {number} has the id of one before it")
        keys.append(SealingKey(key_id, secret))
    if not keys:
        raise StartupError(f"{source} holds no key; `intertie secrets keygen` prints a new one")
    return SealingKeys(keys)


class KeySource(ABC):
    """Keys that may change while the process runs."""

    def __init__(self) -> None:
        self._keys: SealingKeys | None = None
        self._generation = 0

    def current(self) -> SealingKeys:
        """The keys as they are now. Raises StartupError when they have never been readable."""
        if self._keys is None:
            self._take(self._read())
        assert self._keys is not None
        return self._keys

    @property
    def generation(self) -> int:
        """A number that grows whenever the keys change."""
        self.current()
        return self._generation

    async def reload(self) -> None:
        """Read the keys again. When that fails those that were known stay, and the log says why."""
        try:
            self._take(await asyncio.to_thread(self._read))
        except StartupError as error:
            if self._keys is None:
                raise
            _log.error("sealing keys cannot be read again; those that are known stay", cause=str(error))

    def require_changeable(self) -> None:
        """Raises FailedPrecondition when keys can be added and dropped only where they come from."""
        raise FailedPrecondition(
            f"the keys come from {self.name}: add the new one there, as the first (`intertie secrets keygen` prints "
            "one), or take the old one away there, then rotate"
        )

    def add(self, key: SealingKey) -> None:
        """Make this key the one that seals. Blocks shortly. Raises FailedPrecondition."""
        self.require_changeable()

    def drop(self, ids: Iterable[str]) -> tuple[SealingKey, ...]:
        """Forget the keys of these ids, but for the present one; gives them. Blocks shortly.

        Raises FailedPrecondition.
        """
        self.require_changeable()
        return ()

    def put_back(self, keys: Iterable[SealingKey]) -> None:
        """Have keys that were dropped open again. Blocks shortly. Raises FailedPrecondition."""
        self.require_changeable()

    @property
    @abstractmethod
    def name(self) -> str:
        """Where they come from, for people."""

    @abstractmethod
    def _read(self) -> SealingKeys:
        """Read them. Raises StartupError."""

    def _take(self, keys: SealingKeys) -> None:
        if keys != self._keys:
            if self._keys is not None:
                _log.info("sealing keys changed", present=keys.present.id, keys=list(keys.ids))
            self._keys = keys
            self._generation += 1


def listed(keys: SealingKeys, head: str = SECRETS_HEAD) -> str:
    """The text that `parse` reads, for a file; `head` says what the keys are for, in lines that begin with #."""
    return head + "".join(f"{key.line()}\n" for key in keys.all)


def decoded(raw: bytes, source: str) -> str:
    """The bytes as text. Raises StartupError for what cannot be a list of keys."""
    if len(raw) > MOST_BYTES:
        raise StartupError(f"{source} is longer than {MOST_BYTES // 1024} KiB: is it a list of keys?")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise StartupError(f"{source} is not text: is it a list of keys?") from None
