"""Systems in the database. Connections, mappings and grants have stores of their own.

Every change locks the row of its system first: so rules about several rows (one verifier a system, say) hold against
calls that come at the same time, and nobody waits in a circle.
"""

import dataclasses

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.clock import utc_now
from intertie_chassis.database import Database
from intertie_registry import rows
from intertie_registry.changes import Changes, applied
from intertie_registry.errors import SystemExists, SystemNotFound
from intertie_registry.journal_store import Journal
from intertie_registry.model import Actor, System
from intertie_registry.resumption_store import resume
from intertie_registry.snapshot_store import parts_of
from intertie_registry.tables import Tables

#: ids that the contracts can carry; SQLite's keys may be larger
LARGEST_ID = 2**32 - 1


class SystemStore:
    """External systems."""

    def __init__(self, database: Database, tables: Tables, journal: Journal) -> None:
        self._database = database
        self._tables = tables
        self._journal = journal

    async def create(self, new: System, actor: Actor) -> System:
        """Store a system; its id and times are given. Raises SystemExists."""

        async def work(connection: AsyncConnection) -> System:
            result = await connection.execute(insert(self._tables.systems), _values(new))
            system = await _by_id(connection, self._tables, int(result.lastrowid))
            await self._journal.record(connection, None, system, system.system_name, actor)
            return system

        return await self._journal.write(work, clash=SystemExists.named(new.system_name))

    async def get(self, name: str) -> System:
        """The system of exactly this name. Raises SystemNotFound."""
        async with self._database.read() as connection:
            return await named(connection, self._tables, name)

    async def page(self, after: str, limit: int, *, active_only: bool, module: str = "") -> list[System]:
        """At most `limit` systems by name, after this name; with a module only those that it has a grant on."""
        systems, grants = self._tables.systems, self._tables.grants
        query = select(systems).where(systems.c.id.between(1, LARGEST_ID)).order_by(systems.c.system_name).limit(limit)
        if after:
            query = query.where(systems.c.system_name > after)
        if active_only:
            query = query.where(systems.c.is_active == 1)
        async with self._database.read() as connection:
            if module:
                granted = select(grants.c.system_id, grants.c.module_name, grants.c.expires_at).where(
                    grants.c.module_name == module, grants.c.is_active == 1
                )
                now = utc_now()
                # Letter for letter, whatever an adopted column's collation takes as the same.
                ids = [
                    row.system_id
                    for row in await connection.execute(granted)
                    if row.module_name == module and (row.expires_at is None or row.expires_at > now)
                ]
                query = query.where(systems.c.id.in_(ids))
            return [rows.system(row) for row in (await connection.execute(query)).mappings()]

    async def update(self, name: str, changes: Changes, actor: Actor) -> System:
        """Change the fields that `changes` names. Raises SystemNotFound."""

        async def work(connection: AsyncConnection) -> System:
            before = await locked(connection, self._tables, name)
            after = applied(before, changes)
            if after == before:
                return before
            now = utc_now()
            table = self._tables.systems
            values = _values(after) | {"updated_at": now}
            await connection.execute(update(table).where(table.c.id == before.id).values(values))
            if after.is_active and not before.is_active:
                await resume(connection, self._tables, before.id, now)
            after = await _by_id(connection, self._tables, before.id)
            await self._journal.record(connection, before, after, after.system_name, actor)
            return after

        return await self._journal.write(work)

    async def delete(self, name: str, actor: Actor) -> None:
        """Delete a system and, by cascade, its connections, mappings and grants. Raises SystemNotFound."""

        async def work(connection: AsyncConnection) -> None:
            system = await locked(connection, self._tables, name)
            parts = await parts_of(connection, self._tables, system.id)
            table = self._tables.systems
            await connection.execute(delete(table).where(table.c.id == system.id))
            await self._journal.forget(connection, parts)
            await self._journal.record(connection, system, None, system.system_name, actor)

        await self._journal.write(work)


async def name_of(connection: AsyncConnection, tables: Tables, system_id: int) -> str:
    """The name of the system of that number; empty when there is none."""
    table = tables.systems
    return str(await connection.scalar(select(table.c.system_name).where(table.c.id == system_id)) or "")


async def named(connection: AsyncConnection, tables: Tables, name: str, *, lock: bool = False) -> System:
    """The system of exactly this name, its row locked until the transaction ends if asked to. Raises SystemNotFound."""
    query = select(tables.systems).where(tables.systems.c.system_name == name)
    if lock:
        query = query.with_for_update()
    for row in (await connection.execute(query)).mappings():
        # An adopted table may take upper and lower case, or a trailing space, as the same; senders' URLs do not.
        if row["system_name"] == name:
            return rows.system(row)
    raise SystemNotFound.named(name)


async def locked(connection: AsyncConnection, tables: Tables, name: str) -> System:
    """The system of exactly this name, for a change of it or of what belongs to it. Raises SystemNotFound."""
    return await named(connection, tables, name, lock=True)


async def lock(connection: AsyncConnection, tables: Tables, system_id: int) -> None:
    """Lock the row of a system until the transaction ends."""
    await connection.execute(select(tables.systems.c.id).where(tables.systems.c.id == system_id).with_for_update())


async def _by_id(connection: AsyncConnection, tables: Tables, number: int) -> System:
    result = await connection.execute(select(tables.systems).where(tables.systems.c.id == number))
    return rows.system(result.mappings().one())


def _values(system: System) -> dict[str, object]:
    """The columns that a call may set; an empty text is NULL where the column takes one."""
    values = dataclasses.asdict(system)
    for name in ("id", "created_at", "updated_at"):
        del values[name]
    return values | {"display_name": system.display_name or None, "description": system.description or None}
