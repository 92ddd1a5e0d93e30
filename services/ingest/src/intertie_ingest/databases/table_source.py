"""A table of an external database as the source of a sync."""

from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from intertie_ingest.databases.bounds import bound
from intertie_ingest.databases.catalogue import Column, Table, path_of
from intertie_ingest.databases.databases import Databases
from intertie_ingest.databases.keyset import Bounds, Keyset, OrderColumn
from intertie_ingest.databases.position import Position
from intertie_ingest.databases.reading import Budget
from intertie_ingest.databases.session import Session
from intertie_ingest.databases.statements import Statement
from intertie_ingest.databases.taken_rows import PAGE_BYTES, TakenRows, Wide
from intertie_ingest.databases.volume import MOST_BYTES, TooLarge
from intertie_ingest.errors import ExternalRefused, ExternalTimedOut, NoSource, QueryFailed, QueryTimedOut
from intertie_ingest.external import ExternalConnection
from intertie_ingest.syncs.cursors import CursorValue
from intertie_ingest.syncs.source import Page, Range
from intertie_mapping.synchronisation import Synchronisation

_PAGE_SECONDS = 60.0
_FETCHED_AT_ONCE = 1000


class TableSource:
    """Reads `SELECT *` of a table or view in keyset pages, each in a short transaction of its own."""

    #: the cursor may be kept with each page of a range
    is_ordered = True

    def __init__(
        self,
        databases: Databases,
        connection: ExternalConnection,
        table: str,
        synchronisation: Synchronisation,
        external_id_field: str,
        looked_at: Collection[str] = (),
    ) -> None:
        """`looked_at`: columns whose values the pages give besides the records, where they have nothing to hide."""
        self._databases, self._connection, self._name = databases, connection, table
        self._synchronisation, self._external_id_field = synchronisation, external_id_field
        self._looked_at = looked_at

    async def pages(self, wanted: Range, position: bytes | None) -> AsyncGenerator[Page, None]:
        """As `syncs.source.Source`: of a range in the order of the cursor, of all in the order of the key.

        Rows that have no cursor value come first. Raises NoSource for what the mapping has to change, ExternalRefused
        with the database's own words, ExternalTimedOut, ExternalUnavailable, ConnectionUnusable, AddressNotAllowed.
        """
        try:
            reader = await self._reader(wanted)
            place = await reader.beginning() if position is None else Position.load(position)
            reader.aim(place.upper)
            while True:
                page, place = await reader.page(place)
                yield page
                if page.is_last:
                    return
        except QueryFailed as error:
            raise ExternalRefused(error.message) from error
        except QueryTimedOut as error:
            raise ExternalTimedOut() from error

    async def _reader(self, wanted: Range) -> "_Reader":
        path_of(self._name)
        table = await self._databases.table(self._connection, self._name)
        if table is None:
            raise NoSource(f"the external database has no table {self._name}, or not for this account")
        keyset = Keyset(self._connection.db_driver, table)
        key, is_unique = self._key(table)
        cursor = self._synchronisation.cursor_field
        return _Reader(
            self._databases,
            self._connection,
            keyset,
            tuple(keyset.order_column(column) for column in key),
            is_unique,
            None if cursor is None else keyset.order_column(_found(table, cursor, "cursor_field")),
            wanted,
            self._synchronisation.page_size,
            self._looked_at,
        )

    def _key(self, table: Table) -> tuple[list[Column], bool]:
        if table.key:
            return [_found(table, name, "the primary key") for name in table.key], True
        if self._synchronisation.key_fields:
            return [_found(table, name, "key_fields") for name in self._synchronisation.key_fields], False
        column = table.column(self._external_id_field)
        if column is None:
            raise NoSource(f"{self._name} has no primary key; name columns that are unique together in key_fields")
        return [column], False


@dataclass
class _Reader:
    """One run's reading of a table."""

    databases: Databases
    connection: ExternalConnection
    keyset: Keyset
    key: tuple[OrderColumn, ...]
    #: whether the database itself keeps the key unique
    is_unique: bool
    cursor: OrderColumn | None
    wanted: Range
    page_size: int
    looked_at: Collection[str]

    def __post_init__(self) -> None:
        self.is_range = self.wanted.start is not None or self.wanted.end is not None
        if self.is_range and self.cursor is None:
            raise NoSource("a range needs a cursor_field, by which rows are in it or not")
        first = (self.cursor,) if self.cursor is not None else ()
        #: by cursor, then by the columns of the key that are not the cursor itself
        self.order = (*first, *(column for column in self.key if column not in first)) if self.is_range else self.key
        self.limit = self.page_size
        self.start: Any = None
        self.end: Any = None

    async def beginning(self) -> Position:
        """Where the run begins, with the largest cursor that there is now: what comes later is the next run's."""
        if self.cursor is None:
            return Position("all", None, None)
        statement = self.keyset.maximum(self.cursor)
        async with self.databases.session(self.connection, tidy=False) as session:
            upper = (await _all(session, statement, (), self._seconds))[0][0]
        if upper is not None and CursorValue.of(upper) is None:
            raise NoSource("the column cursor_field must hold times, numbers or texts")
        if not self.is_range:
            return Position("all", None, upper)
        return Position("unset" if self.wanted.with_unset and self.cursor.is_nullable else "main", None, upper)

    def aim(self, upper: Any) -> None:
        """Takes the bounds of the range in the form of the column's values, of which `upper` is one."""
        if upper is not None and self.is_range:
            if self.wanted.start is not None:
                self.start = bound(self.wanted.start, upper, is_end=False)
            if self.wanted.end is not None:
                self.end = bound(self.wanted.end, upper, is_end=True)

    async def page(self, place: Position) -> tuple[Page, Position]:
        """The next page and the place behind it."""
        if place.phase == "main" and place.upper is None:
            return Page([], place.dump(), is_last=True), place  # no row had a cursor when the run began
        order = self.key if place.phase == "unset" else self.order
        taken = await self._read(order, self._bounds(place), place.after)
        last, is_end = taken.last, taken.is_end
        behind = Position(place.phase, last if last is not None else place.after, place.upper)
        if is_end and place.phase == "unset":
            behind, is_end = Position("main", None, place.upper), False
        cursor = None
        if place.phase == "main" and last is not None:
            cursor = CursorValue.of(last[0])
        elif place.phase == "all" and is_end:
            cursor = CursorValue.of(place.upper)
        return Page(taken.records, behind.dump(), cursor, is_end, taken.known), behind

    def _bounds(self, place: Position) -> Bounds:
        match place.phase:
            case "unset":
                return Bounds(self.cursor, is_unset=True)
            case "main":
                return Bounds(self.cursor, is_unset=False, start=self.start, end=self.end, upper=place.upper)
        return Bounds() if self.wanted.with_unset else Bounds(self.cursor, is_unset=False)

    async def _read(self, order: Sequence[OrderColumn], bounds: Bounds, after: Sequence[Any] | None) -> TakenRows:
        statement, arguments = self.keyset.page(order, bounds, after, self.limit)
        taken = TakenRows(order, self.limit, self.looked_at)
        try:
            async with self.databases.session(self.connection, tidy=False) as session:
                await taken.take(session, statement, arguments, self._seconds)
                if taken.last is not None and not taken.is_end:
                    await self._check_border(session, order, taken.last)
        except (Wide, TooLarge) as cut:
            if not taken.records and isinstance(cut, TooLarge):
                if self.limit == 1:
                    raise NoSource(f"the table has a row larger than {MOST_BYTES // 2**20} MiB") from None
                self.limit = 1
                return await self._read(order, bounds, after)
            async with self.databases.session(self.connection, tidy=False) as session:
                await self._check_border(session, order, taken.last or ())
        if taken.records:
            # As many rows as fit, by what the last ones needed: a page that is cut costs the connection.
            self.limit = min(self.page_size, max(1, PAGE_BYTES * len(taken.records) // (2 * max(taken.size, 1))))
        return taken

    async def _check_border(self, session: Session, order: Sequence[OrderColumn], last: Sequence[Any]) -> None:
        """Raises NoSource when the last row is not the only one of its key: the next page would skip the others."""
        if self.is_unique and None not in last:
            return
        statement, arguments = self.keyset.count_at(order, last)
        if (await _all(session, statement, arguments, self._seconds))[0][0] > 1:
            names = ", ".join(column.name for column in self.key)
            raise NoSource(f"several rows have the same {names}; name columns that are unique together in key_fields")

    @property
    def _seconds(self) -> float:
        return _PAGE_SECONDS


async def _all(session: Session, statement: Statement, arguments: Sequence[Any], seconds: float) -> list[Sequence[Any]]:
    budget = Budget(seconds)
    found: list[Sequence[Any]] = []
    await budget.spend(session.begin(statement, arguments, seconds))
    while rows := await budget.spend(session.fetch(_FETCHED_AT_ONCE)):
        found += rows
    await budget.spend(session.finish())
    return found


def _found(table: Table, name: str, where: str) -> Column:
    column = table.column(name)
    if column is None:
        raise NoSource(f"{table.name} has no column {name[:100]}, which {where} names")
    return column
