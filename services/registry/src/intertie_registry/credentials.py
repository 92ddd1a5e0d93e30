"""Credentials of connections: sealed on their way into a row, opened on their way out of it.

All that works with a connection has clear values in memory; only rows hold sealed ones. What cannot be opened keeps its
sealed text in the value's place, named in `Connection.unreadable`, so that a change of something else does not lose it;
`usable` is what may be acted on.
"""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from intertie_chassis.sealing import SealingKeys, Unopened, is_sealed, key_id_of
from intertie_chassis.sealing_keys import KeySource
from intertie_registry.credential_places import CONFIG, bound_to
from intertie_registry.model import Connection, Unreadable, digest
from intertie_registry.secret_spans import Path, replaced
from intertie_registry.secrets import CREDENTIALS


@dataclass(frozen=True, slots=True)
class Found:
    """A credential as it stands in a row."""

    path: Path
    is_sealed: bool = False
    #: the key that sealed it
    key_id: str = ""
    #: why it cannot be opened; empty when it can, or is clear
    problem: str = ""
    is_key_missing: bool = False


class Credentials:
    """Seals and opens with one source of keys."""

    def __init__(self, source: KeySource | None, *, is_on: bool = True) -> None:
        """Args:
        source: None where nothing is sealed; what is sealed all the same cannot be opened then.
        is_on: whether clear values are sealed as they are written. If not, only those that stand sealed already, and
            those that would be taken for sealed ones.
        """
        self.source = source
        self.is_on = is_on and source is not None

    @property
    def keys(self) -> SealingKeys | None:
        """The keys as they are now."""
        return self.source.current() if self.source is not None else None

    @property
    def generation(self) -> int:
        """A number that grows when other keys are there: what was read before may read differently."""
        return self.source.generation if self.source is not None else 0

    def opened(self, stored: Connection) -> Connection:
        """The connection of a row with its credentials in clear."""
        if not any(is_sealed(getattr(stored, name)) for name in CREDENTIALS) and "sealed:v" not in stored.config_json:
            return stored
        keys = self.keys
        unreadable: list[Unreadable] = []

        def change(path: Path, text: str) -> str | None:
            sealed = _sealed_in(path, text)
            if not sealed:
                return None
            try:
                return _open(keys, stored, path, sealed)
            except Unopened as error:
                unreadable.append(Unreadable(path, sealed, error.problem, error.is_key_missing))
                return None

        opened = _changed(stored, change)
        return dataclasses.replace(opened, unreadable=tuple(unreadable), stored_digest=digest(stored))

    def sealed(self, wanted: Connection, stored: Connection | None = None) -> Connection:
        """The connection as its row is to hold it.

        Args:
            wanted: its values in clear, with its id.
            stored: as it stands in its row, not opened; None when there is no row yet.
        """
        # Wherever a change may have put it: sealed like a clear text it would become one that all who read rows know.
        lost = {each.stored for each in wanted.unreadable}
        kept = self._standing_sealed(stored) if stored is not None and not self.is_on else {}

        def change(path: Path, text: str) -> str | None:
            sealed = _sealed_in(path, text)
            if sealed in lost:
                return None
            if self.source is None or not (self.is_on or sealed or kept.get(path) == text):
                return None
            return _seal(self.source.current(), wanted, path, text)

        return dataclasses.replace(_changed(wanted, change), unreadable=(), stored_digest="")

    def resealed(self, stored: Connection, *, clear: bool) -> tuple[Connection, tuple[Path, ...]]:
        """A row with other credentials sealed, and which: those that stand `clear`, or those under former keys.

        What cannot be opened stays as it is.
        """
        keys, done = self.keys, []

        def change(path: Path, text: str) -> str | None:
            sealed = _sealed_in(path, text)
            if keys is None or bool(sealed) is clear or (sealed and key_id_of(sealed) == keys.present.id):
                return None
            try:
                value = _open(keys, stored, path, sealed) if sealed else text
            except Unopened:
                return None
            done.append(path)
            return _seal(keys, stored, path, value)

        return _changed(stored, change), tuple(done)

    def look(self, stored: Connection) -> tuple[Found, ...]:
        """How the credentials of a row stand."""
        keys = self.keys
        found: list[Found] = []

        def see(path: Path, text: str) -> None:
            sealed = _sealed_in(path, text)
            try:
                if sealed:
                    _open(keys, stored, path, sealed)
                found.append(Found(path, bool(sealed), key_id_of(sealed)))
            except Unopened as error:
                found.append(Found(path, True, error.key_id, error.problem, error.is_key_missing))

        _changed(stored, see)
        return tuple(found)

    def _standing_sealed(self, stored: Connection) -> dict[Path, str]:
        """The clear values of what stands sealed in a row."""
        values: dict[Path, str] = {}
        sealed = {each.path for each in self.look(stored) if each.is_sealed}

        def see(path: Path, text: str) -> None:
            if path in sealed:
                values[path] = text

        _changed(self.opened(stored), see)
        return values


def usable(connection: Connection) -> Connection:
    """The connection without what could not be opened: as if it had no such credential.

    In config_json null takes its place. The member stays, so that a connection whose webhook_secret is lost is still
    the one that verifies: it refuses everything, and none that comes after it opens what it closed.
    """
    if not connection.unreadable:
        return connection
    lost = {each.path: each.stored for each in connection.unreadable}

    def change(path: Path, text: str) -> str | None:
        is_lost = path in lost and _sealed_in(path, text) == lost[path]
        return ("null" if path[0] == CONFIG else "") if is_lost else None

    return _changed(connection, change)


def _changed(connection: Connection, change: Callable[[Path, str], str | None]) -> Connection:
    """The connection with the credentials that `change` gives another text for; in config_json the text is JSON."""
    values: dict[str, Any] = {}
    for column in CREDENTIALS:
        text = getattr(connection, column)
        new = change((column,), text) if text else None
        if new is not None:
            values[column] = new
    config = replaced(connection.config_json, lambda path, text: change((CONFIG, *path), text))
    return dataclasses.replace(connection, config_json=config, **values)


def _sealed_in(path: Path, text: str) -> str:
    """The sealed text that stands in a credential's place; empty when a clear one does."""
    if path[0] == CONFIG:
        value = json.loads(text) if text.startswith('"') else None
        return value if isinstance(value, str) and is_sealed(value) else ""
    return text if is_sealed(text) else ""


def _seal(keys: SealingKeys, connection: Connection, path: Path, text: str) -> str:
    sealed = keys.seal(text, bound_to(connection, path))
    return f'"{sealed}"' if path[0] == CONFIG else sealed


def _open(keys: SealingKeys | None, connection: Connection, path: Path, sealed: str) -> str:
    """Raises Unopened."""
    if keys is None:
        raise Unopened("no sealing key is known here", key_id=key_id_of(sealed), is_key_missing=True)
    return keys.open(sealed, bound_to(connection, path))
