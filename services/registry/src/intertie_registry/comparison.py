"""Which credentials of a proposed connection differ from those that are set, and how often anybody may be wrong."""

import hmac
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from intertie_chassis.buckets import Buckets
from intertie_registry import secrets
from intertie_registry.changes import Changes
from intertie_registry.errors import TooManyGuesses
from intertie_registry.model import Connection
from intertie_registry.secrets import CREDENTIALS, IsSecret

AT_ONCE = 30
A_SECOND = 1 / 60


def gives_credentials(changes: Changes) -> bool:
    """Whether `changes` gives any credential, right or wrong."""
    config = changes.get("config_json") or {}
    return any(changes.get(name) for name in CREDENTIALS) or any(True for _ in secrets.paths(config, ""))


def differing(current: Connection, changes: Changes) -> tuple[str, ...]:
    """The places of credentials that `changes` gives, that are set, and that are not the same.

    `current` has its credentials in clear; one that could not be opened differs from everything.
    """
    columns = [
        name
        for name in CREDENTIALS
        if changes.get(name) and getattr(current, name) and not _same(getattr(current, name), changes[name])
    ]
    stored = secrets.parse(current.config_json) or {}
    return (*columns, *_differing_in(stored, changes.get("config_json") or {}, "config_json", secrets.is_secret))


def _differing_in(stored: Any, given: Any, at: str, is_secret: IsSecret) -> Iterator[str]:
    if isinstance(given, dict):
        known = stored if isinstance(stored, dict) else {}
        for key, value in given.items():
            place = f"{at}.{secrets.shown_name(key)}"
            if not is_secret(key):
                yield from _differing_in(known.get(key), value, place, secrets.inside(key))
            elif value is not None and known.get(key) not in (None, "") and not _same(known[key], value):
                yield place
    elif isinstance(given, list):
        known_items = stored if isinstance(stored, list) else []
        for index, value in enumerate(given):
            before = known_items[index] if index < len(known_items) else None
            yield from _differing_in(before, value, f"{at}[{index}]", secrets.is_secret)


def _same(stored: Any, given: Any) -> bool:
    return hmac.compare_digest(*(json.dumps(each, sort_keys=True).encode() for each in (stored, given)))


class Guesses:
    """Counts how often somebody was wrong about the credentials of a connection, in this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets = Buckets(A_SECOND, AT_ONCE)

    def require_room(self, connection: int) -> None:
        """Raises TooManyGuesses when nobody may try this connection now."""
        wait = self._buckets.wait(str(connection), self._clock())
        if wait > 0:
            raise TooManyGuesses.of(connection, wait)

    def count(self, connection: int) -> None:
        """Somebody was wrong."""
        self._buckets.take(str(connection), self._clock())
