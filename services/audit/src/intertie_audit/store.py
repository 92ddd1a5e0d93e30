"""Every SQL statement of audit. The log only grows: nothing here updates or deletes, and nothing that does may come."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, func, insert, or_, select, union_all
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_audit.errors import EntryNotFound
from intertie_audit.model import Entry, EntryFilter, NewEntry, SystemFilter, long_parts, new_entry
from intertie_audit.tables import query_logs
from intertie_chassis.database import Database
from intertie_chassis.database_errors import is_duplicate_key
from intertie_chassis.errors import Aborted
from intertie_chassis.numbered_rows import NumberedRows

_MOST_CHARACTERS = 1_000_000
"""What one INSERT carries: well under the 16 MiB that servers take by default (max_allowed_packet)."""
_MOST_RACES = 5
_ROWS_A_LOOK = 200
_MOST_PAGE_CHARACTERS = 12_000_000
"""What one page carries: its message must stay under 32 MiB, and PHP's rows may hold whole API answers."""
_IDS_A_LOOK = 1000


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries, and whether more follow."""

    entries: list[Entry]
    has_more: bool


class Store:
    """The log."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._logs = query_logs(database.table_prefix)
        self._columns = [column.name for column in self._logs.columns if column.name != "id"]
        # A missing number is awaited by those who follow the log and by the sealer.
        self._append = NumberedRows(insert(self._logs), self._columns)

    async def append(self, entries: Sequence[Entry]) -> int:
        """Stores the entries as `add` does, without their numbers; gives how many were new."""
        return len(await self.add([new_entry(entry) for entry in entries]))

    async def add(self, entries: Sequence[NewEntry]) -> set[str | None]:
        """Stores the entries in one transaction, in their order; gives the ids of those that were new.

        An entry whose id is in the log, or earlier in the batch, is left out: the first one stands. Raises Unavailable
        when the store is away; then the batch may or may not be stored, and may be sent again.
        """
        firsts: dict[str | None, NewEntry] = {}
        for entry in entries:
            firsts.setdefault(entry["entry_id"], entry)
        new = list(firsts.values())
        # Almost every batch is new, so it is inserted unasked; only a clash makes us look. INSERT IGNORE would hide
        # other faults of the data, too.
        for _ in range(_MOST_RACES):
            if not new:
                return set()
            try:
                await self._database.transaction(partial(self._insert, new))
                return {entry["entry_id"] for entry in new}
            except IntegrityError as error:
                if not is_duplicate_key(error):
                    raise
            known = await self._known(new)
            new = [entry for entry in new if entry["entry_id"] not in known]
        raise Aborted("others are appending the same entries at this moment; send the batch again", retry_after=1)

    async def _insert(self, entries: Sequence[NewEntry], connection: AsyncConnection) -> None:
        for chunk in _chunks(entries):
            await self._append.execute(connection, chunk)

    async def _known(self, entries: Sequence[NewEntry]) -> set[str | None]:
        known: set[str | None] = set()
        async with self._database.read() as connection:
            for start in range(0, len(entries), _IDS_A_LOOK):
                ids = [entry["entry_id"] for entry in entries[start : start + _IDS_A_LOOK]]
                column = self._logs.c.entry_id
                known.update((await connection.scalars(select(column).where(column.in_(ids)))).all())
        return known

    async def page(self, chosen: EntryFilter, *, limit: int, offset: int = 0, before_id: int | None = None) -> Page:
        """At most `limit` of the chosen entries, the newest (highest number) first.

        Args:
            offset: how many of them to leave out at the beginning.
            before_id: only entries with a lower number.

        A page ends early when its payloads grow too large for one message; it holds one entry at least.
        """
        entries: list[Entry] = []
        size = 0
        async with self._database.read() as connection:
            while True:
                count = min(limit + 1 - len(entries), _ROWS_A_LOOK)
                rows = (await connection.execute(self._newest(chosen, count, offset, before_id))).all()
                for entry in map(_entry, rows):
                    size += entry.size
                    if len(entries) == limit or (entries and size > _MOST_PAGE_CHARACTERS):
                        return Page(entries, has_more=True)
                    entries.append(entry)
                if len(rows) < count:
                    return Page(entries, has_more=False)
                offset, before_id = 0, entries[-1].id

    async def get(self, entry_number: int) -> Entry:
        """The entry of this number. Raises EntryNotFound."""
        async with self._database.read() as connection:
            row = (await connection.execute(select(self._logs).where(self._logs.c.id == entry_number))).one_or_none()
        if row is None:
            raise EntryNotFound(metadata={"id": str(entry_number)})
        return _entry(row)

    async def newest_id(self) -> int:
        """The highest number in the log; 0 when it is empty."""
        async with self._database.read() as connection:
            return int(await connection.scalar(select(func.max(self._logs.c.id))) or 0)

    async def ids_after(self, position: int, limit: int) -> list[int]:
        """At most `limit` numbers above `position`, the lowest first."""
        column = self._logs.c.id
        query = select(column).where(column > position).order_by(column).limit(limit)
        async with self._database.read() as connection:
            return list((await connection.scalars(query)).all())

    async def present(self, ids: Sequence[int]) -> list[int]:
        """Those of the numbers that are in the log, the lowest first."""
        column = self._logs.c.id
        found: list[int] = []
        async with self._database.read() as connection:
            for start in range(0, len(ids), _IDS_A_LOOK):
                some = ids[start : start + _IDS_A_LOOK]
                found.extend((await connection.scalars(select(column).where(column.in_(some)))).all())
        return sorted(found)

    async def among(self, ids: Sequence[int], system: SystemFilter | None) -> list[Entry]:
        """The entries of these numbers, of one system or all, the lowest first."""
        query = select(self._logs).where(self._logs.c.id.in_(ids)).order_by(self._logs.c.id)
        if system is not None:
            query = query.where(or_(*of_system(self._logs.c, system)))
        async with self._database.read() as connection:
            return [_entry(row) for row in (await connection.execute(query)).all()]

    def _newest(self, chosen: EntryFilter, limit: int, offset: int, before_id: int | None) -> Select[Any]:
        columns = self._logs.c
        conditions = chosen_by(columns, chosen)
        if before_id is not None:
            conditions.append(columns.id < before_id)
        newest_first = select(self._logs).where(*conditions).order_by(columns.id.desc())
        if chosen.system is None:
            return newest_first.limit(limit).offset(offset)
        # One branch an index: with OR the server would walk the whole log for a system that has few entries.
        branches = [
            select(newest_first.where(condition).limit(limit + offset).subquery())
            for condition in of_system(self._logs.c, chosen.system)
        ]
        both = union_all(*branches).subquery()
        return select(both).order_by(both.c.id.desc()).limit(limit).offset(offset)


def chosen_by(columns: Any, chosen: EntryFilter) -> list[ColumnElement[bool]]:
    """Conditions, on these columns of the log, that the chosen entries fulfil; without those of the system."""
    conditions: list[ColumnElement[bool]] = [
        column == value
        for column, value in (
            (columns.module_name, chosen.module),
            (columns.status, chosen.status),
            (columns.query_type, chosen.query_type),
            (columns.delivery_id, chosen.delivery_id),
        )
        if value is not None
    ]
    if chosen.created_after is not None:
        conditions.append(columns.created_at >= chosen.created_after)
    if chosen.created_before is not None:
        conditions.append(columns.created_at < chosen.created_before)
    return conditions


def of_system(columns: Any, system: SystemFilter) -> list[ColumnElement[bool]]:
    """Conditions of which an entry of the system fulfils exactly one."""
    named = columns.system_name == system.name
    if system.system_id is None:
        return [named]
    return [named, and_(columns.system_name.is_(None), columns.system_id == system.system_id)]


def _entry(row: Row[Any]) -> Entry:
    return Entry(**row._mapping)


def _chunks(entries: Sequence[NewEntry]) -> Iterator[Sequence[NewEntry]]:
    start = total = 0
    for number, entry in enumerate(entries):
        size = long_parts(entry)
        if number > start and total + size > _MOST_CHARACTERS:
            yield entries[start:number]
            start, total = number, 0
        total += size
    if entries:
        yield entries[start:]
