"""What is refused although it has not ended: tokens by their id, and all that withdrawn keys signed."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from intertie_chassis.durable_files import FileVersion, version_of


@dataclass(frozen=True, slots=True)
class Revocations:
    """A list of refusals. It only ever takes away: joining two refuses what either refuses."""

    tokens: Mapping[str, int] = field(default_factory=dict)
    """When the tokens end by themselves, in seconds since 1970, by id."""
    keys: frozenset[str] = frozenset()
    """Ids of withdrawn keys."""

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """What a file says. Raises ValueError when it is not such a list."""
        try:
            document = json.loads(data)
            tokens = {str(token): int(ends) for token, ends in document["tokens"].items()}
            return cls(tokens, frozenset(str(key) for key in document["keys"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not a list of revocations") from error

    def text(self) -> str:
        """The list as a file has it."""
        return json.dumps({"tokens": dict(sorted(self.tokens.items())), "keys": sorted(self.keys)}, indent=1) + "\n"

    def __or__(self, other: "Revocations") -> "Revocations":
        return Revocations({**self.tokens, **other.tokens}, self.keys | other.keys)

    def covers(self, other: "Revocations") -> bool:
        """Whether all that the other one refuses is refused here."""
        return self.keys >= other.keys and self.tokens.keys() >= other.tokens.keys()

    def beyond(self, other: "Revocations") -> "Revocations":
        """What is refused here and not there."""
        tokens = {token: ends for token, ends in self.tokens.items() if token not in other.tokens}
        return Revocations(tokens, self.keys - other.keys)

    def lasting(self) -> "Revocations":
        """Without the tokens that have ended by themselves."""
        now = time.time()
        return Revocations({token: ends for token, ends in self.tokens.items() if ends > now}, self.keys)


class RevocationFile:
    """A file of revocations that is looked at again and again. What it said stays said when it cannot be read."""

    def __init__(self, path: Path) -> None:
        self.present = Revocations()
        """What it said last; nothing while there is no such file."""
        self.is_lost = False
        """Whether there is a file that could never be read: then nobody knows who is to be refused."""
        self._path = path
        self._seen: FileVersion | None = None

    @property
    def name(self) -> str:
        """What the file is called, without its directory."""
        return self._path.name

    def look(self) -> bool:
        """Reads the file if it changed; gives whether it did."""
        version = version_of(self._path)
        if version is None or version == self._seen:
            return False
        try:
            self.present = Revocations.parse(self._path.read_bytes())
        except (OSError, ValueError):
            self.is_lost = self._seen is None
            return False
        self._seen, self.is_lost = version, False
        return True
