"""Looks after the credentials in the database as a whole: counts them, seals what stands clear, rotates keys.

A walk goes over the connections in small batches, each a short transaction of its own that takes the rows as it finds
them, locked: what SQL writes meanwhile is never lost. What is done already is passed over, so a walk that was stopped
goes on when it is begun again.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.database import Database
from intertie_chassis.errors import IntertieError, StartupError
from intertie_chassis.sealing import SealingKey
from intertie_registry import audit_convert, audit_entries, rows
from intertie_registry.credential_places import shown
from intertie_registry.credentials import Credentials
from intertie_registry.errors import NotSealing, WrongSealingKey
from intertie_registry.journal_store import Journal
from intertie_registry.key_proof_store import KeyProofs
from intertie_registry.model import Actor, Connection, digest
from intertie_registry.secret_spans import Path
from intertie_registry.secrets_report import Census, Place, Progress
from intertie_registry.snapshot_store import SnapshotStore
from intertie_registry.store import LARGEST_ID
from intertie_registry.tables import Tables

_log = structlog.get_logger()

_BATCH = 50
_MOST_DROPS = 3
_LOOK_SECONDS = 5.0
_LONGEST_PAUSE = 60.0

Change = Callable[[Connection], tuple[Connection, tuple[Path, ...]]]


class SecretsStore:
    """The credentials of all connections."""

    def __init__(
        self,
        database: Database,
        tables: Tables,
        journal: Journal,
        credentials: Credentials,
        proofs: KeyProofs,
        snapshots: SnapshotStore,
    ) -> None:
        self.credentials = credentials
        self._snapshots = snapshots
        self._database = database
        self._tables = tables
        self._journal = journal
        self._proofs = proofs
        self._checked_with: int | None = None

    async def require_right_keys(self) -> None:
        """At the start: refuse keys that are not those of this database.

        A database that is away, or without our tables yet, is looked at later: see `readiness`. Raises StartupError.
        """
        try:
            problem = await self._wrong_keys()
        except (IntertieError, SQLAlchemyError) as error:
            _log.info("sealing keys are compared with the database later", cause=type(error).__name__)
            return
        if problem:
            raise StartupError(problem)

    async def readiness(self) -> str | None:
        """For the server's health: why the keys are not those of this database."""
        try:
            return await self._wrong_keys() or None
        except (IntertieError, SQLAlchemyError):
            return None  # other checks say what is wrong with the database

    async def look_for_keys(self) -> None:
        """Until cancelled: read the keys again, now and then, while something needs one that is not known here.

        A command is run again only when asked, and another replica may have rotated meanwhile. A key may also be lost
        for good: then whoever gives keys out is asked ever more seldom.
        """
        pause = _LOOK_SECONDS
        while True:
            await asyncio.sleep(pause)
            if self.credentials.source is None or not self._snapshots.lacks_keys:
                pause = _LOOK_SECONDS
                continue
            await self.credentials.source.reload()
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def census(self) -> Census:
        """How the credentials are kept."""
        census, after = Census(), 0
        while batch := await self._batch(after):
            after = batch[-1].id
            for stored in batch:
                census.add(stored, self.credentials.look(stored))
        return census

    async def seal(self, actor: Actor, *, dry_run: bool = False) -> AsyncGenerator[Progress, None]:
        """Seal what stands in clear text, and say again and again how far that is. Raises NotSealing."""
        if self.credentials.source is None or not (self.credentials.is_on or dry_run):
            raise NotSealing
        await self.credentials.source.reload()
        await self._proofs.confirm()
        async for progress in self._walk("seal", actor, clear=True, dry_run=dry_run):
            yield progress

    async def rotate(
        self, actor: Actor, *, new_key: bool = False, drop_old_keys: bool = False
    ) -> AsyncGenerator[Progress, None]:
        """Seal with the present key what others sealed, and say again and again how far that is.

        Args:
            new_key: make a new key first.
            drop_old_keys: at the end, forget the keys that seal nothing any more.

        Raises NotSealing, FailedPrecondition when keys cannot be made or dropped here.
        """
        source = self.credentials.source
        if source is None:
            raise NotSealing
        await source.reload()
        if new_key or drop_old_keys:
            source.require_changeable()
        if new_key:
            await self._proofs.confirm()
            await asyncio.to_thread(source.add, SealingKey.new())
        await self._proofs.confirm()
        progress: Progress | None = None
        async for progress in self._walk("rotate", actor, clear=False):
            yield progress
        if drop_old_keys and progress is not None:
            async for again in self._drop(actor):
                progress.changed += again.changed
                yield progress

    async def _drop(self, actor: Actor) -> AsyncGenerator[Progress, None]:
        """Forget the keys that seal nothing any more, and look again: a write may have begun with one of them."""
        source = self.credentials.source
        assert source is not None
        for _ in range(_MOST_DROPS):
            used = (await self.census()).by_key
            idle = [key_id for key_id in source.current().ids[1:] if not used[key_id]]
            dropped = await asyncio.to_thread(source.drop, idle)
            used = (await self.census()).by_key
            late = [key for key in dropped if used[key.id]]
            gone = tuple(key.id for key in dropped if key not in late)
            if gone:
                await self._proofs.forget(gone)
                _log.info("forgot sealing keys that seal nothing any more", keys=list(gone))
            if not late:
                return
            await asyncio.to_thread(source.put_back, late)
            async for progress in self._walk("rotate", actor, clear=False):
                yield progress

    async def _wrong_keys(self) -> str:
        """Why these are not the keys of this database; empty when they are. Looks once for each set of keys."""
        if self.credentials.source is None or self._checked_with == self.credentials.generation:
            return ""
        generation = self.credentials.generation
        try:
            await self._proofs.confirm(keeps=False)
            problem = (await self.census()).wrong_keys(self.credentials.source.current().ids)
            if not problem:
                await self._proofs.confirm()
                self._checked_with = generation
        except WrongSealingKey as error:
            return error.message
        return problem

    async def _walk(
        self, verb: str, actor: Actor, *, clear: bool, dry_run: bool = False
    ) -> AsyncGenerator[Progress, None]:
        table = self._tables.connections

        def change(stored: Connection) -> tuple[Connection, tuple[Path, ...]]:
            return self.credentials.resealed(stored, clear=clear)

        async with self._database.read() as connection:
            query = select(func.count()).select_from(table).where(table.c.id.between(1, LARGEST_ID))
            total = int(await connection.scalar(query) or 0)
        keys = self.credentials.keys
        progress, after = Progress(total, keys.present.id if keys is not None else ""), 0
        yield progress
        while batch := await self._batch(after):
            after = batch[-1].id
            for stored in batch:
                for found in self.credentials.look(stored):
                    if found.problem:
                        progress.complain(Place.of(stored, found))
            due = {stored.id: stored.system for stored in batch if change(stored)[1]}
            if dry_run:
                progress.changed += sum(len(change(stored)[1]) for stored in batch)
            elif due:
                changed, left = await self._rewrite(due, change, verb, actor)
                progress.changed += changed
                for place in left:
                    progress.complain(place)
            progress.done += len(batch)
            progress.total = max(progress.total, progress.done)
            yield progress

    async def _rewrite(
        self, due: dict[int, str], change: Change, verb: str, actor: Actor
    ) -> tuple[int, Sequence[Place]]:
        """Change the rows of these ids, in one transaction; gives how many credentials, and what could not be done."""
        table = self._tables.connections

        async def work(connection: AsyncConnection) -> tuple[int, list[Place]]:
            query = select(table).where(table.c.id.in_(due)).order_by(table.c.id)
            entries, left, changed, before = [], [], 0, {}
            for row in (await connection.execute(query.with_for_update())).mappings().all():
                stored = rows.connection(row)
                new, paths = change(stored)
                columns = {str(path[0]) for path in paths}
                odd = {name for name in columns if row[name] != getattr(stored, name)}
                if odd:
                    # SQLite keeps bytes in a column of texts: read as text they are not what was written.
                    left += [Place(stored.id, due[stored.id], name, "it is not text") for name in sorted(odd)]
                    continue
                if not paths:
                    continue
                values = {name: getattr(new, name) for name in columns} | {"updated_at": table.c.updated_at}
                await connection.execute(update(table).where(table.c.id == stored.id).values(values))
                before[stored.id] = digest(stored)
                changed += len(paths)
                names = tuple(shown(path) for path in paths)
                entries.append(audit_entries.of_sealing(verb, stored, due[stored.id], names, actor))
            if entries:
                # What was written is read again: a server may keep JSON in another spelling.
                again = (await connection.execute(query.where(table.c.id.in_(before)))).mappings().all()
                after = {row["id"]: digest(rows.connection(row)) for row in again}
                await self._journal.resealed(connection, before, after)
                await self._journal.outbox.append(connection, audit_convert.batch(entries))
            return changed, left

        result = await self._database.transaction(work)
        self._journal.outbox.wake()
        return result

    async def _batch(self, after: int) -> list[Connection]:
        """The next connections by id, as their rows hold them, with the names of their systems."""
        table, systems = self._tables.connections, self._tables.systems
        query = (
            select(table, systems.c.system_name.label("system"))
            .join(systems, systems.c.id == table.c.system_id, isouter=True)
            .where(table.c.id > after, table.c.id <= LARGEST_ID)
            .order_by(table.c.id)
            .limit(_BATCH)
        )
        async with self._database.read() as connection:
            return [rows.connection(row) for row in (await connection.execute(query)).mappings()]
