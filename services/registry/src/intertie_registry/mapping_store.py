"""Mappings in the database."""

import dataclasses
from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.clock import utc_now
from intertie_chassis.database import Database
from intertie_registry import rows, ticks
from intertie_registry.changes import Changes, applied
from intertie_registry.errors import ChangedMeanwhile, MappingExists, MappingNotFound
from intertie_registry.journal_store import Journal
from intertie_registry.model import Actor, Mapping
from intertie_registry.store import LARGEST_ID, lock, locked, named
from intertie_registry.tables import Tables
from intertie_registry.ticks import Schedule

_REPORTED = ("id", "last_sync_at", "next_sync_at", "created_at", "updated_at", "system")


class MappingStore:
    """Mappings of external systems."""

    def __init__(self, database: Database, tables: Tables, journal: Journal) -> None:
        self._database = database
        self._tables = tables
        self._journal = journal

    async def create(self, new: Mapping, actor: Actor) -> Mapping:
        """Store a mapping of the system that it names. Raises SystemNotFound, MappingExists."""

        async def work(connection: AsyncConnection) -> Mapping:
            system = await locked(connection, self._tables, new.system)
            values = _values(dataclasses.replace(new, system_id=system.id))
            result = await connection.execute(insert(self._tables.mappings), values)
            created = await self._one(connection, int(result.lastrowid))
            await self._journal.record(connection, None, created, created.system, actor)
            return created

        return await self._journal.write(work, clash=MappingExists.named(new.system, new.mapping_name))

    async def get(self, number: int) -> Mapping:
        """One mapping. Raises MappingNotFound."""
        async with self._database.read() as connection:
            return await self._one(connection, number)

    async def page(self, after: int, limit: int, *, system: str = "", name: str = "") -> list[Mapping]:
        """At most `limit` mappings by id, after this id; those of one system, of one name, if they are given.

        Raises SystemNotFound.
        """
        table = self._tables.mappings
        query = self._select().where(table.c.id > after, table.c.id <= LARGEST_ID).order_by(table.c.id).limit(limit)
        if name:
            query = query.where(table.c.mapping_name == name)
        async with self._database.read() as connection:
            if system:
                query = query.where(table.c.system_id == (await named(connection, self._tables, system)).id)
            return [rows.mapping(row) for row in (await connection.execute(query)).mappings()]

    async def update(self, number: int, changes: Changes, actor: Actor, *, checked: Mapping) -> Mapping:
        """Change the fields that `changes` names; a new frequency, or a new start, brings a tick that fits.

        `checked` is what the caller made of the changes and found good. Raises ChangedMeanwhile when another change
        made something else of it, MappingNotFound, MappingExists.
        """

        async def work(connection: AsyncConnection) -> Mapping:
            await lock(connection, self._tables, (await self._one(connection, number)).system_id)
            before = await self._one(connection, number)
            after = applied(before, changes)
            if (after.target_table, after.mapping_config) != (checked.target_table, checked.mapping_config):
                raise ChangedMeanwhile
            if after == before:
                return before
            table = self._tables.mappings
            now = utc_now()
            values = _values(after) | {"updated_at": now}
            if (next_sync_at := _next_sync(before, after, now)) != before.next_sync_at:
                # Only then: a tick may be taken up at this moment.
                values["next_sync_at"] = next_sync_at
            await connection.execute(update(table).where(table.c.id == number).values(values))
            after = await self._one(connection, number)
            await self._journal.record(connection, before, after, after.system, actor)
            return after

        return await self._journal.write(work, clash=MappingExists.named(checked.system, checked.mapping_name))

    async def delete(self, number: int, actor: Actor) -> None:
        """Delete a mapping. Raises MappingNotFound."""

        async def work(connection: AsyncConnection) -> None:
            await lock(connection, self._tables, (await self._one(connection, number)).system_id)
            before = await self._one(connection, number)
            table = self._tables.mappings
            await connection.execute(delete(table).where(table.c.id == number))
            await self._journal.record(connection, before, None, before.system, actor)

        await self._journal.write(work)

    def _select(self) -> Select[Any]:
        table, systems = self._tables.mappings, self._tables.systems
        return select(table, systems.c.system_name.label("system")).join(systems, systems.c.id == table.c.system_id)

    async def _one(self, connection: AsyncConnection, number: int) -> Mapping:
        result = await connection.execute(self._select().where(self._tables.mappings.c.id == number))
        row = result.mappings().one_or_none()
        if row is None:
            raise MappingNotFound.numbered(number)
        return rows.mapping(row)


def _values(mapping: Mapping) -> dict[str, object]:
    """The columns that a call may set."""
    values = dataclasses.asdict(mapping)
    for name in _REPORTED:
        del values[name]
    return values | {"source_table": mapping.source_table or None}


def _next_sync(before: Mapping, after: Mapping, now: datetime) -> datetime | None:
    old, new = (
        Schedule(each.id, each.system_id, each.sync_frequency, before.next_sync_at, now) for each in (before, after)
    )
    return ticks.after_change(old, new, now, is_resumed=after.is_active and not before.is_active)
