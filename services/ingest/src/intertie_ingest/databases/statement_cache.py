"""What was checked before, so that a statement that is asked again costs a look-up."""

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

_MOST_BYTES = 8 * 1024 * 1024
"""Of all texts together. Applications ask some hundred different statements of some hundred characters each; those that
build their statements from values fill the cache with what never comes again, at this price at most."""

_OVERHEAD_BYTES = 2_048
"""What an entry takes beside its texts: key, statement, names of tables and parameters."""

T = TypeVar("T")


class StatementCache(Generic[T]):
    """Keeps what was used last, within a number of bytes. May be used by several threads."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._entries: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, key: Hashable) -> T | None:
        """What was put under the key, if it is still kept."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: Hashable, value: T, characters: int) -> None:
        """Keeps the value, whose key and texts have so many characters, and forgets what was not used for longest."""
        # Four bytes are the most that Python takes for a character.
        size = 4 * characters + _OVERHEAD_BYTES
        with self._lock:
            former = self._entries.pop(key, None)
            if former is not None:
                self._bytes -= former[1]
            self._entries[key] = (value, size)
            self._bytes += size
            while self._bytes > self._most_bytes:
                _, (_, forgotten) = self._entries.popitem(last=False)
                self._bytes -= forgotten

    def __len__(self) -> int:
        return len(self._entries)
