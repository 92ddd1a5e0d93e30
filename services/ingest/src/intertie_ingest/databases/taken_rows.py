"""The rows of a page, taken from the database as far as memory has room for them."""

from collections.abc import Collection, Sequence
from typing import Any

from intertie_ingest.databases.keyset import OrderColumn
from intertie_ingest.databases.reading import Budget
from intertie_ingest.databases.session import Session
from intertie_ingest.databases.statements import Statement
from intertie_ingest.errors import NoSource
from intertie_mapping.values import JsonValue

PAGE_BYTES = 8 * 1024 * 1024
_RECORD_BYTES = 1024
"""What a record takes beside its own bytes while its page is stored: of small ones that is nearly all."""

_FETCHED_AT_ONCE = 1000
_FIRST_FETCHED = 8


class Wide(Exception):
    """A page of so wide rows that it was cut; the session has more of them on their way."""


class TakenRows:
    """What a page's statement gave."""

    def __init__(self, order: Sequence[OrderColumn], limit: int, looked_at: Collection[str]) -> None:
        self._order, self._limit, self._looked_at = order, limit, looked_at
        self.records: list[bytes] = []
        #: as of the page
        self.known: dict[str, list[JsonValue]] = {}
        #: the last record's values of the order
        self.last: tuple[Any, ...] | None = None
        self.size = 0
        #: whether nothing comes behind it
        self.is_end = False

    async def take(self, session: Session, statement: Statement, arguments: Sequence[Any], seconds: float) -> None:
        """Reads the rows. Raises Wide when memory's share of them is full."""
        budget = Budget(seconds)
        encoder = await budget.spend(session.begin(statement, arguments, seconds))
        extras = sum(column.is_extra for column in self._order)
        places = self._places(encoder.names, extras)
        shown = encoder.without_last(extras) if extras else encoder
        if shown.is_flat:
            self.known = {name: [] for name in self._looked_at if name in shown.names}
        most = _FIRST_FETCHED
        while rows := await budget.spend(session.fetch(most)):
            self.last = tuple(rows[-1][place] for place in places)
            rows = [row[: len(row) - extras] for row in rows] if extras else rows
            encoded = shown.encode(rows)
            self.records += encoded
            for name, values in self.known.items():
                values += shown.column(name, rows)
            self.size += sum(map(len, encoded)) + _RECORD_BYTES * len(encoded)
            if self.size > PAGE_BYTES:
                raise Wide
            room = (PAGE_BYTES - self.size) * len(self.records) // self.size
            most = max(1, min(_FETCHED_AT_ONCE, 8 * most, room))
        await budget.spend(session.finish())
        self.is_end = len(self.records) < self._limit

    def _places(self, names: Sequence[str], extras: int) -> list[int]:
        """Where in a row the values of the order stand."""
        places, extra = [], len(names) - extras
        for column in self._order:
            if column.is_extra:
                places.append(extra)
                extra += 1
            elif column.name in names:
                places.append(names.index(column.name))
            else:
                raise NoSource(f"the table shows no column {column.name}")
        return places
