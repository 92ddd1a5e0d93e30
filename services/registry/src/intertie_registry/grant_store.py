"""Grants in the database, and what follows from them."""

import dataclasses
from typing import Any

from sqlalchemy import Select, and_, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.clock import utc_now
from intertie_chassis.database import Database
from intertie_registry import rows
from intertie_registry.changes import Changes, applied
from intertie_registry.errors import GrantExists, GrantNotFound
from intertie_registry.journal_store import Journal
from intertie_registry.model import Actor, Grant, ModuleSystem
from intertie_registry.store import LARGEST_ID, lock, locked, named
from intertie_registry.tables import Tables

_REPORTED = ("id", "created_at", "updated_at", "system")


class GrantStore:
    """Grants of modules on external systems."""

    def __init__(self, database: Database, tables: Tables, journal: Journal) -> None:
        self._database = database
        self._tables = tables
        self._journal = journal

    async def create(self, new: Grant, actor: Actor) -> Grant:
        """Store a grant on the system that it names. Raises SystemNotFound, GrantExists."""

        async def work(connection: AsyncConnection) -> Grant:
            system = await locked(connection, self._tables, new.system)
            values = _values(dataclasses.replace(new, system_id=system.id))
            result = await connection.execute(insert(self._tables.grants), values)
            created = await self._one(connection, int(result.lastrowid))
            await self._journal.record(connection, None, created, created.system, actor)
            return created

        return await self._journal.write(work, clash=GrantExists.of(new.module_name, new.system))

    async def get(self, number: int) -> Grant:
        """One grant. Raises GrantNotFound."""
        async with self._database.read() as connection:
            return await self._one(connection, number)

    async def page(self, after: int, limit: int, *, system: str = "", module: str = "") -> list[Grant]:
        """At most `limit` grants by id, after this id; those of one system, of one module, if they are given.

        Raises SystemNotFound.
        """
        table = self._tables.grants
        query = self._select().where(table.c.id > after, table.c.id <= LARGEST_ID).order_by(table.c.id).limit(limit)
        if module:
            query = query.where(table.c.module_name == module)
        async with self._database.read() as connection:
            if system:
                query = query.where(table.c.system_id == (await named(connection, self._tables, system)).id)
            return [rows.grant(row) for row in (await connection.execute(query)).mappings()]

    async def update(self, number: int, changes: Changes, actor: Actor) -> Grant:
        """Change the fields that `changes` names. Raises GrantNotFound."""

        async def work(connection: AsyncConnection) -> Grant:
            await lock(connection, self._tables, (await self._one(connection, number)).system_id)
            before = await self._one(connection, number)
            after = applied(before, changes)
            if after == before:
                return before
            table = self._tables.grants
            values = _values(after) | {"updated_at": utc_now()}
            await connection.execute(update(table).where(table.c.id == number).values(values))
            after = await self._one(connection, number)
            await self._journal.record(connection, before, after, after.system, actor)
            return after

        return await self._journal.write(work)

    async def delete(self, number: int, actor: Actor) -> None:
        """Take a grant away. Raises GrantNotFound."""

        async def work(connection: AsyncConnection) -> None:
            await lock(connection, self._tables, (await self._one(connection, number)).system_id)
            before = await self._one(connection, number)
            table = self._tables.grants
            await connection.execute(delete(table).where(table.c.id == number))
            await self._journal.record(connection, before, None, before.system, actor)

        await self._journal.write(work)

    async def systems_of(self, module: str) -> list[ModuleSystem]:
        """The active systems on which the module has an active grant that has not ended, by name."""
        systems, connections, grants = self._tables.systems, self._tables.connections, self._tables.grants
        others = connections.alias("others")
        first = select(func.min(others.c.id)).where(others.c.system_id == systems.c.id, others.c.is_active == 1)
        joined = grants.join(systems, systems.c.id == grants.c.system_id).outerjoin(
            connections,
            and_(
                connections.c.system_id == systems.c.id,
                connections.c.id == first.correlate(systems).scalar_subquery(),
            ),
        )
        query = (
            select(
                grants.c.module_name,
                grants.c.expires_at,
                systems.c.system_name,
                systems.c.display_name,
                systems.c.system_type,
                grants.c.access_type,
                connections.c.connection_status,
            )
            .select_from(joined)
            .where(grants.c.module_name == module, grants.c.is_active == 1, systems.c.is_active == 1)
            .order_by(systems.c.system_name)
        )
        async with self._database.read() as connection:
            # The module's name is its token's, so letter for letter, whatever the column's collation says.
            found = [row for row in await connection.execute(query) if row.module_name == module]
        now = utc_now()
        return [
            ModuleSystem(*(value or "" for value in row[2:]))
            for row in found
            if row.expires_at is None or row.expires_at > now
        ]

    async def active_grant(self, module: str, system: str) -> Grant | None:
        """The module's active grant on an active system, unless it has ended; None without, whatever the cause."""
        grants, systems = self._tables.grants, self._tables.systems
        query = self._select().where(
            grants.c.module_name == module,
            grants.c.is_active == 1,
            systems.c.system_name == system,
            systems.c.is_active == 1,
        )
        async with self._database.read() as connection:
            found = [rows.grant(row) for row in (await connection.execute(query)).mappings()]
        now = utc_now()
        named = (grant for grant in found if (grant.module_name, grant.system) == (module, system))
        return next((grant for grant in named if not grant.has_ended(now)), None)

    def _select(self) -> Select[Any]:
        table, systems = self._tables.grants, self._tables.systems
        return select(table, systems.c.system_name.label("system")).join(systems, systems.c.id == table.c.system_id)

    async def _one(self, connection: AsyncConnection, number: int) -> Grant:
        result = await connection.execute(self._select().where(self._tables.grants.c.id == number))
        row = result.mappings().one_or_none()
        if row is None:
            raise GrantNotFound.numbered(number)
        return rows.grant(row)


def _values(grant: Grant) -> dict[str, object]:
    """The columns that a call may set."""
    values = dataclasses.asdict(grant)
    for name in _REPORTED:
        del values[name]
    return values | {"query_permissions": grant.query_permissions or None}
