"""What a run reads: pages of records, each with the place behind it, from which another process can go on."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from intertie_ingest.syncs.cursors import CursorValue
from intertie_mapping.values import JsonValue


@dataclass(frozen=True, slots=True)
class Range:
    """What of a source is to be read; without bounds all of it."""

    #: the least cursor value to read, which is part of the range; look-back is already taken off
    start: CursorValue | None = None
    #: the cursor value to stop before
    end: CursorValue | None = None
    #: whether records without a cursor value are read too
    with_unset: bool = True


@dataclass(frozen=True, slots=True)
class Page:
    """Some records of a source, and where the next page begins."""

    #: each a JSON object, as text in UTF-8
    records: Sequence[bytes]
    #: JSON that `Source.pages` takes to go on behind this page; its meaning is the source's own
    position: bytes
    #: the largest cursor value that may be kept once this page is stored: none behind it is smaller. None: nothing yet
    cursor: CursorValue | None = None
    #: whether nothing comes behind it
    is_last: bool = False
    #: by name, of members of the records, exactly what reading each record gives. Who looks at no other members need
    #: not read the records: nothing in them can be at fault. Empty: they have to be read
    known: Mapping[str, Sequence[JsonValue]] = field(default_factory=dict)


class Source(Protocol):
    """A table or an endpoint, read in an order of its own."""

    @property
    def is_ordered(self) -> bool:
        """Whether it says itself with each page which cursor value may be kept; else the values in its records do."""
        ...

    def pages(self, wanted: Range, position: bytes | None) -> AsyncGenerator[Page, None]:
        """The pages of the range, from the beginning or behind the position of an earlier page.

        A page without records may come. Memory holds a page or two. Raises the errors of `intertie_ingest.errors` with
        which a run fails: ExternalUnavailable may be tried again, the others may not.
        """
        ...
