"""On MySQL: which rows of the cache hold these records, by a statement that the server prepares once.

How many values stand in its lists is a power of two, so that a few statements serve groups of every size; what is left
of a list its last value fills.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Table, and_, bindparam, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis import direct
from intertie_chassis.bulk_cursor import PreparedStatement
from intertie_ingest.migrations.first_tables import RECORD_KEY

Place = tuple[int, int]
"""A system and a mapping of it."""
_MOST_PREPARED_PLACES = 4
"""A connection keeps 128 prepared statements; groups of more mappings go as text."""


class Lookup:
    """Finds the numbers of rows."""

    def __init__(self, cache: Table) -> None:
        self._cache = cache
        self._prepared: dict[tuple[int, int], PreparedStatement] = {}

    async def numbers(self, connection: AsyncConnection, wanted: Mapping[Place, Sequence[str]]) -> list[int]:
        """The numbers of the rows that exist, of external ids by place. Raises what the database does."""
        size = 1 << (max(map(len, wanted.values())) - 1).bit_length()
        values: list[Any] = []
        for (system, mapping), ids in wanted.items():
            values += [system, mapping, *ids, *[ids[-1]] * (size - len(ids))]
        places = len(wanted)
        if places > _MOST_PREPARED_PLACES:
            text = str(self._statement(connection, places, size))
            return [number for (number,) in (await connection.exec_driver_sql(text, tuple(values))).all()]
        statement = self._prepared.get((places, size))
        if statement is None:
            statement = self._prepared[places, size] = self._statement(connection, places, size)
        return [number for (number,) in await direct.read(connection, statement, values)]

    def _statement(self, connection: AsyncConnection, places: int, size: int) -> PreparedStatement:
        row = self._cache.c
        asked = [
            and_(
                row.system_id == bindparam(f"system_{place}"),
                row.mapping_id == bindparam(f"mapping_{place}"),
                row.external_id.in_([bindparam(f"id_{place}_{number}") for number in range(size)]),
            )
            for place in range(places)
        ]
        # Without the hint stale statistics may choose a scan.
        query = select(row.id).where(or_(*asked)).with_hint(self._cache, f"FORCE INDEX ({RECORD_KEY})")
        return PreparedStatement(query.compile(dialect=connection.dialect))
