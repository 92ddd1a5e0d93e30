"""What becomes of the schedules of a system that is made active again."""

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_registry import rows, ticks
from intertie_registry.tables import Tables


async def resume(connection: AsyncConnection, tables: Tables, system_id: int, now: datetime) -> None:
    """Within the transaction that makes a system active again: what passed while it rested was not missed."""
    table = tables.mappings
    columns = (table.c[name] for name in rows.SCHEDULE)
    query = select(*columns).where(table.c.system_id == system_id).order_by(table.c.id).with_for_update()
    for row in (await connection.execute(query)).mappings().all():
        schedule = rows.schedule(row)
        if schedule.period is None or schedule.next_at is None or schedule.next_at > now:
            continue
        at = ticks.after_change(schedule, schedule, now, is_resumed=True)
        values = {"next_sync_at": at, "updated_at": table.c.updated_at}
        await connection.execute(update(table).where(table.c.id == schedule.mapping_id).values(values))
