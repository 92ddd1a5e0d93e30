"""The file in which ingest keeps its configuration, sealed: all of it, as registry last confirmed it, or nothing.

It holds secrets by which deliveries are verified, so it is sealed with a key of ingest's own, for this use and this
place alone. When registry confirmed it stands inside of the seal: nobody makes an old file young. All of it blocks.
"""

import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from intertie_chassis.durable_files import PRIVATE, clear_away, keep_names, locked, write_whole
from intertie_chassis.errors import StartupError
from intertie_chassis.sealing import Unopened
from intertie_chassis.sealing_keys import KeySource
from intertie_ingest import feed_convert
from intertie_ingest.configuration import StoredSystem

_PURPOSE = b"intertie: ingest's configuration, version 1\0"
_CONFIRMED_AT = struct.Struct(">d")
_MOST_BYTES = 256 * 1024 * 1024
_CLOCK_LEEWAY = 300.0


class Unusable(Exception):
    """There is a file, and it must not be used; says why, for an operator, and nothing of what it holds."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a file holds."""

    systems: tuple[StoredSystem, ...]
    #: when registry last said that this is the configuration, in seconds since 1970
    confirmed_at: float


class SnapshotFile:
    """One file, written and read whole."""

    def __init__(self, path: Path, keys: KeySource, longest: timedelta) -> None:
        """Args:
        path: where it is; its name is a part of what seals it.
        keys: what seals it; read, and made if need be, with the first use.
        longest: how old what registry confirmed may be.
        """
        self.path = path
        self.longest = longest
        self._keys = keys
        self._associated = _PURPOSE + os.fsencode(os.path.abspath(path))

    def read(self, now: float) -> Kept | None:
        """What was kept; None when there is no file. Raises Unusable."""
        sealed = self._sealed()
        if sealed is None:
            return None
        try:
            opened = self._keys.current().open_bytes(sealed, self._associated)
            (confirmed_at,) = _CONFIRMED_AT.unpack_from(opened)
            systems = feed_convert.unpacked(opened[_CONFIRMED_AT.size :])
        except (StartupError, Unopened) as error:
            raise Unusable(str(error)) from None
        except (struct.error, ValueError):
            raise Unusable("another version has written it") from None
        age = now - confirmed_at
        if age > self.longest.total_seconds():
            raise Unusable(f"it is {timedelta(seconds=int(age))} old, and may be {self.longest}")
        if not age > -_CLOCK_LEEWAY:
            raise Unusable("it comes from the future: a clock was wrong")
        return Kept(systems, confirmed_at)

    def write(self, systems: Iterable[StoredSystem], confirmed_at: float) -> None:
        """Keeps this instead of what was kept, for good when this returns. Raises OSError, StartupError."""
        data = _CONFIRMED_AT.pack(confirmed_at) + feed_convert.packed(systems)
        sealed = self._keys.current().seal_bytes(data, self._associated)
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Replicas on one machine share the file.
        with locked(self.path.parent / f".{self.path.name}.lock"):
            clear_away(self.path)
            write_whole(self.path, sealed, PRIVATE)

    def remove(self) -> bool:
        """Removes the file, for good when this returns; gives whether there was one. Raises OSError."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        keep_names(self.path.parent)
        return True

    def _sealed(self) -> str | None:
        if not self.path.exists():
            return None
        if not self.path.is_file():
            raise Unusable("it is no file")
        try:
            with self.path.open("rb") as file:
                raw = file.read(_MOST_BYTES + 1)
        except OSError as error:
            raise Unusable(f"it cannot be read ({error.strerror})") from None
        if len(raw) > _MOST_BYTES:
            raise Unusable(f"it is larger than {_MOST_BYTES // 2**20} MiB")
        # What is not ASCII is no sealed text, and says so when it is opened.
        return raw.decode("latin-1")
