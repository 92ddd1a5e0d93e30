"""Reads what an export takes from the log: the rows that its filters choose, and the fields of those without a link."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import or_, select, text

from intertie_audit import projection_store
from intertie_audit.model import Entry, EntryFilter
from intertie_audit.store import chosen_by, of_system
from intertie_audit.tables import query_logs
from intertie_chassis.database import Database

_IDS_A_LOOK = 200


class ExportStore:
    """The log, by the numbers of its rows."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._logs = query_logs(database.table_prefix)

    async def chosen(self, ids: Sequence[int], wanted: EntryFilter) -> dict[int, Entry]:
        """Those of these rows that the filter chooses, by their numbers. Raises Unavailable."""
        conditions = chosen_by(self._logs.c, wanted)
        if wanted.system is not None:
            conditions.append(or_(*of_system(self._logs.c, wanted.system)))
        found: dict[int, Entry] = {}
        async with self._database.read() as connection:
            for start in range(0, len(ids), _IDS_A_LOOK):
                some = ids[start : start + _IDS_A_LOOK]
                query = select(self._logs).where(self._logs.c.id.in_(some), *conditions)
                found |= {row.id: _entry(row._mapping) for row in (await connection.execute(query)).all()}
        return found

    async def fields(self, ids: Sequence[int]) -> dict[int, bytes]:
        """The canonical bytes of these rows' columns, by their numbers. Raises Unavailable."""
        row = projection_store.row(self._database.dialect)
        found: dict[int, bytes] = {}
        async with self._database.read() as connection:
            for start in range(0, len(ids), _IDS_A_LOOK):
                some = ", ".join(str(int(number)) for number in ids[start : start + _IDS_A_LOOK])
                query = text(f"SELECT l.id, {row} FROM {self._logs.name} l WHERE l.id IN ({some})")
                rows = (await connection.execute(query)).all()
                found |= {number: projection_store.normal(bytes(fields)) for number, fields in rows}
        return found


def _entry(row: Mapping[Any, Any]) -> Entry:
    """The entry; what an SQLite file has for a payload that is no text is shown as one, and is not what was sealed."""
    values = dict(row)
    for name in ("request_payload", "response_payload"):
        if values[name] is not None and not isinstance(values[name], str):
            values[name] = repr(values[name])
    return Entry(**values)
