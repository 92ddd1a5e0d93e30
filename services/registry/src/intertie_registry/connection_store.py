"""Connections in the database."""

import dataclasses
from typing import Any

from sqlalchemy import Select, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.clock import utc_now
from intertie_chassis.database import Database
from intertie_registry import rows
from intertie_registry.changes import Changes, applied_to_connection
from intertie_registry.credentials import Credentials
from intertie_registry.errors import ConnectionNotFound, SecondVerifier
from intertie_registry.journal_store import Journal
from intertie_registry.key_proof_store import KeyProofs
from intertie_registry.model import Actor, Connection
from intertie_registry.store import LARGEST_ID, lock, locked, named
from intertie_registry.tables import Tables
from intertie_registry.verification import verifies

_REPORTED = (
    "id",
    "unreadable",
    "stored_digest",
    "last_connection_test",
    "connection_status",
    "connection_error",
    "created_at",
    "updated_at",
    "system",
)
_SECRET = ("db_password", "api_auth_token", "config_json")
_NEVER_NULL = ("system_id", "connection_type", "is_active")


class ConnectionStore:
    """Connections of external systems. Values come with their secrets; whoever shows one leaves them out.

    Rows hold them sealed: nothing is written in clear that is not to stand so, not even within a transaction, since the
    server's logs keep what was written.
    """

    def __init__(
        self, database: Database, tables: Tables, journal: Journal, credentials: Credentials, proofs: KeyProofs
    ) -> None:
        self._database = database
        self._tables = tables
        self._journal = journal
        self._credentials = credentials
        self._proofs = proofs

    async def create(self, new: Connection, actor: Actor) -> Connection:
        """Store a connection of the system that it names. Raises SystemNotFound, SecondVerifier."""

        async def work(connection: AsyncConnection) -> Connection:
            system = await locked(connection, self._tables, new.system)
            wanted = dataclasses.replace(new, system_id=system.id)
            await self._require_one_verifier(connection, wanted)
            # Credentials are bound to the row's number, which is known once there is a row.
            empty = dict.fromkeys(_SECRET)
            result = await connection.execute(insert(self._tables.connections), _values(wanted) | empty)
            number = int(result.lastrowid)
            sealed = _values(self._credentials.sealed(dataclasses.replace(wanted, id=number)))
            if any(sealed[name] is not None for name in _SECRET):
                table = self._tables.connections
                values = {name: sealed[name] for name in _SECRET} | {"updated_at": table.c.updated_at}
                await connection.execute(update(table).where(table.c.id == number).values(values))
            created = await self._one(connection, number)
            await self._journal.record(connection, None, created, created.system, actor)
            return created

        await self._proofs.confirm()
        return await self._journal.write(work)

    async def get(self, number: int) -> Connection:
        """One connection. Raises ConnectionNotFound."""
        async with self._database.read() as connection:
            return await self._one(connection, number)

    async def page(self, after: int, limit: int, *, system: str = "") -> list[Connection]:
        """At most `limit` connections by id, after the one of this id; those of one system if it is named.

        Raises SystemNotFound.
        """
        table = self._tables.connections
        query = self._select().where(table.c.id > after, table.c.id <= LARGEST_ID).order_by(table.c.id).limit(limit)
        async with self._database.read() as connection:
            if system:
                query = query.where(table.c.system_id == (await named(connection, self._tables, system)).id)
            found = (await connection.execute(query)).mappings()
            return [self._credentials.opened(rows.connection(row)) for row in found]

    async def update(self, number: int, changes: Changes, actor: Actor) -> Connection:
        """Change the fields that `changes` names; see `changes`. Raises ConnectionNotFound, SecondVerifier."""

        async def work(connection: AsyncConnection) -> Connection:
            await lock(connection, self._tables, (await self._one(connection, number)).system_id)
            stored = await self._stored(connection, number)
            before = self._credentials.opened(stored)
            after = applied_to_connection(before, changes)
            if after == before:
                return before
            if not verifies(before):
                await self._require_one_verifier(connection, after)
            table = self._tables.connections
            values = _values(self._credentials.sealed(after, stored)) | {"updated_at": utc_now()}
            await connection.execute(update(table).where(table.c.id == number).values(values))
            after = await self._one(connection, number)
            await self._journal.record(connection, before, after, after.system, actor)
            return after

        await self._proofs.confirm()
        return await self._journal.write(work)

    async def delete(self, number: int, actor: Actor) -> None:
        """Delete a connection. Raises ConnectionNotFound."""

        async def work(connection: AsyncConnection) -> None:
            await lock(connection, self._tables, (await self._one(connection, number)).system_id)
            before = await self._one(connection, number)
            table = self._tables.connections
            await connection.execute(delete(table).where(table.c.id == number))
            await self._journal.record(connection, before, None, before.system, actor)

        await self._journal.write(work)

    def _select(self) -> Select[Any]:
        table, systems = self._tables.connections, self._tables.systems
        return select(table, systems.c.system_name.label("system")).join(systems, systems.c.id == table.c.system_id)

    async def _one(self, connection: AsyncConnection, number: int) -> Connection:
        return self._credentials.opened(await self._stored(connection, number))

    async def _stored(self, connection: AsyncConnection, number: int) -> Connection:
        """One connection as its row holds it. Raises ConnectionNotFound."""
        query = self._select().where(self._tables.connections.c.id == number)
        row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            raise ConnectionNotFound.numbered(number)
        return rows.connection(row)

    async def _require_one_verifier(self, connection: AsyncConnection, wanted: Connection) -> None:
        if not verifies(wanted):
            return
        table = self._tables.connections
        query = (
            self._select().where(table.c.system_id == wanted.system_id, table.c.id != wanted.id).order_by(table.c.id)
        )
        for row in (await connection.execute(query)).mappings():
            other = self._credentials.opened(rows.connection(row))
            if verifies(other):
                raise SecondVerifier.beside(wanted.system, other.id)


def _values(connection: Connection) -> dict[str, object]:
    """The columns that a call may set; an empty text and a 0 are NULL where the column takes one."""
    values = dataclasses.asdict(connection)
    for name in _REPORTED:
        del values[name]
    return {name: value if name in _NEVER_NULL else value or None for name, value in values.items()}
