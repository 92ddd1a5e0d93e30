"""The schedule in the database: which mappings are due, and that their ticks have been taken up.

A tick moves under the lock of its mapping's row, where it is read again: so of several who say that a tick is taken up
one moves it, and the others find that it is not due any more. None of this configures anything: `updated_at` stays, no
watcher is told, and audit hears of missed ticks only.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.database import Database
from intertie_registry import audit_convert, audit_entries, rows, ticks
from intertie_registry.audit_entries import AuditEntry
from intertie_registry.journal_store import Journal
from intertie_registry.model import Actor
from intertie_registry.store import LARGEST_ID, name_of
from intertie_registry.tables import Tables
from intertie_registry.ticks import PERIODS, Tick

#: ticks that are taken up in one transaction
_BATCH = 200


class TickStore:
    """The ticks of all mappings."""

    def __init__(self, database: Database, tables: Tables, journal: Journal) -> None:
        self._database = database
        self._tables = tables
        self._journal = journal

    async def due(self, most: int, now: datetime) -> list[Tick]:
        """At most so many ticks that are due, the one that has been due longest first."""
        if most <= 0:
            return []
        table, systems = self._tables.mappings, self._tables.systems
        # Whether the time has come is decided here and not in SQL: what SQL wrote may be no time at all.
        query = (
            select(*(table.c[name] for name in rows.SCHEDULE), systems.c.is_active.label("system_is_active"))
            .join(systems, systems.c.id == table.c.system_id)
            .where(table.c.sync_frequency.in_(tuple(PERIODS)), table.c.id.between(1, LARGEST_ID))
        )
        async with self._database.read() as connection:
            found = (await connection.execute(query)).mappings().all()
        owed = [
            tick
            for row in found
            if rows.flag(row["is_active"]) and rows.flag(row["system_is_active"])
            if (tick := ticks.due(rows.schedule(row), now)) is not None
        ]
        return sorted(owed, key=lambda tick: (tick.due_at, tick.mapping_id))[:most]

    async def take(self, taken: Sequence[Tick], now: datetime, actor: Actor) -> None:
        """Move on the mappings of these ticks; what is not due any more, or gone, is passed over."""
        wanted: defaultdict[int, list[Tick]] = defaultdict(list)
        for tick in taken:
            wanted[tick.mapping_id].append(tick)
        numbers = sorted(wanted)
        for start in range(0, len(numbers), _BATCH):
            some = {number: wanted[number] for number in numbers[start : start + _BATCH]}

            async def work(connection: AsyncConnection, some: dict[int, list[Tick]] = some) -> bool:
                return await self._take(connection, some, now, actor)

            if await self._database.transaction(work):
                self._journal.outbox.wake()

    async def _take(
        self, connection: AsyncConnection, wanted: dict[int, list[Tick]], now: datetime, actor: Actor
    ) -> bool:
        """Whether there is something to tell audit."""
        table = self._tables.mappings
        columns = (table.c[name] for name in rows.SCHEDULE)
        locked = select(*columns).where(table.c.id.in_(wanted)).order_by(table.c.id).with_for_update()
        moves: list[dict[str, object]] = []
        missed: list[AuditEntry] = []
        for row in (await connection.execute(locked)).mappings().all():
            schedule = rows.schedule(row)
            given = wanted[schedule.mapping_id]
            fitting = (ticks.taken(schedule, one.due_at, now, one.passed_over) for one in given)
            tick = next((one for one in fitting if one is not None), None)
            if tick is None or schedule.period is None:
                continue
            moves.append({"number": schedule.mapping_id, "at": ticks.following(schedule, tick, now)})
            if tick.missed:
                system = await name_of(connection, self._tables, schedule.system_id)
                title = rows.text(row["mapping_name"])
                missed.append(
                    audit_entries.of_missed_ticks(tick, schedule.period, system=system, title=title, actor=actor)
                )
        if moves:
            # Row by row with the columns named: ON UPDATE of MySQL would take any move for a change.
            values = {"next_sync_at": bindparam("at"), "updated_at": table.c.updated_at}
            await connection.execute(update(table).where(table.c.id == bindparam("number")).values(values), moves)
        if missed:
            await self._journal.outbox.append(connection, audit_convert.batch(missed))
        return bool(missed)
