"""A run's place in its source, kept with each page: enough for another process to go on behind it."""

import json
from dataclasses import dataclass

from intertie_ingest.syncs.cursors import CursorValue


@dataclass(frozen=True, slots=True)
class Bookmark:
    """What a run reads, from where on, and how far it has come."""

    #: tells the source and how it is read: with another one the place means nothing
    source: str
    #: the start of the run's range, look-back taken off; None: everything is read
    start: CursorValue | None
    #: where the next page begins, in the source's own words; None: at the beginning
    at: bytes | None = None
    #: whether nothing is left to be read
    is_end: bool = False

    def encode(self) -> bytes:
        """The bookmark as JSON."""
        start = None if self.start is None else [self.start.kind, self.start.text]
        at = None if self.at is None else self.at.decode()
        return json.dumps({"source": self.source, "start": start, "at": at, "end": self.is_end}).encode()

    @classmethod
    def decode(cls, text: bytes | None) -> "Bookmark | None":
        """The bookmark of such a JSON; None for None and for what this version did not write."""
        if text is None:
            return None
        try:
            stored = json.loads(text)
            start, at = stored["start"], stored["at"]
            return cls(
                stored["source"],
                None if start is None else CursorValue.parse(*start),
                None if at is None else at.encode(),
                bool(stored["end"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
