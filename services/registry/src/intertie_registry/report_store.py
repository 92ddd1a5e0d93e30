"""What the services that work with a configuration report of it: when a mapping synced, whether a connection works.

Reports configure nothing: `updated_at` stays as it is, no watcher is told, and audit hears of them elsewhere, but for
ticks that a sync by hand has put off.
"""

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.database import Database
from intertie_registry import audit_convert, audit_entries, rows, ticks
from intertie_registry.journal_store import Journal
from intertie_registry.model import Actor
from intertie_registry.store import name_of
from intertie_registry.tables import Tables


class ReportStore:
    """Reports on mappings and connections. Of what is gone meanwhile they are overlooked."""

    def __init__(self, database: Database, tables: Tables, journal: Journal) -> None:
        self._database = database
        self._tables = tables
        self._journal = journal

    async def synced(
        self, mapping_id: int, finished_at: datetime, now: datetime, actor: Actor, *, is_scheduled: bool
    ) -> None:
        """A run of the mapping has ended. Unless a tick brought it, the next tick is a whole period away from it.

        A tick that has come since is due all the same; of more than one that it stands for audit is told.
        """
        table = self._tables.mappings

        async def work(connection: AsyncConnection) -> bool:
            query = select(table).where(table.c.id == mapping_id).with_for_update()
            row = (await connection.execute(query)).mappings().one_or_none()
            if row is None:
                return False
            known = rows.mapping(row).last_sync_at
            # Reports may come late, and so after a later one; a time ahead of ours can only be a mistake.
            is_later = known is None or known < finished_at or known > now
            values: dict[str, object] = {"updated_at": table.c.updated_at}
            if is_later:
                values["last_sync_at"] = finished_at
            schedule = rows.schedule(row)
            if schedule.period is None:
                values["next_sync_at"] = None
            owed = ticks.passed(schedule, now)
            is_put_off = not is_scheduled and is_later and (owed is None or owed.due_at <= finished_at)
            if schedule.period is not None and is_put_off:
                values["next_sync_at"] = ticks.after_call(schedule, finished_at, now)
            await connection.execute(update(table).where(table.c.id == mapping_id).values(values))
            if schedule.period is None or not is_put_off or owed is None or not owed.missed:
                return False
            system, title = await name_of(connection, self._tables, schedule.system_id), rows.text(row["mapping_name"])
            entry = audit_entries.of_missed_ticks(
                owed,
                schedule.period,
                system=system,
                title=title,
                actor=actor,
                stands="a sync that was asked for by hand",
            )
            await self._journal.outbox.append(connection, audit_convert.batch([entry]))
            return True

        if await self._database.transaction(work):
            self._journal.outbox.wake()

    async def tested(self, connection_id: int, status: str, error: str, tested_at: datetime) -> None:
        """A connection was tried: its status, and why it does not work (empty when it does)."""
        table = self._tables.connections
        values = {
            "last_connection_test": tested_at,
            "connection_status": status,
            "connection_error": error or None,
            "updated_at": table.c.updated_at,
        }

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(update(table).where(table.c.id == connection_id).values(values))

        await self._database.transaction(work)
