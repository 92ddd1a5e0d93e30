"""Tells audit of every change exactly once, whoever made it.

Beside each part (a system, connection, mapping or grant) stands the digest of its configuration as the registry last
knew it. A change by a call writes row, digest and audit entry in one transaction. A part whose digest no longer fits
was changed by SQL: whoever notices replaces the digest *if it is still the old one* and appends the entry in the same
transaction, so of several replicas one does it, and what changed while none ran is told at the next start. Deriving an
entry id from the contents instead would make audit take the second of two equal changes (A, B, A, B) for the first.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy import ColumnElement, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.database import Database
from intertie_chassis.outbox import Outbox
from intertie_registry import audit_convert, audit_entries
from intertie_registry.audit_entries import AuditEntry
from intertie_registry.discrepancies import Discrepancy
from intertie_registry.model import Actor, Part, digest
from intertie_registry.tables import Tables

T = TypeVar("T")

_BATCH = 200


class Journal:
    """Runs the registry's transactions and writes what they changed into the outbox."""

    def __init__(self, database: Database, tables: Tables, on_commit: Callable[[], Awaitable[None]]) -> None:
        """`on_commit` is awaited after each transaction that may have changed the configuration."""
        self.outbox = Outbox(database, tables.outbox)
        self._database = database
        self._digests = tables.digests
        self._on_commit = on_commit

    async def write(
        self, work: Callable[[AsyncConnection], Awaitable[T]], *, clash: Exception | None = None, timeout: float = 10
    ) -> T:
        """Run `work` in a transaction (again after a deadlock). Raises `clash` when it breaks a unique key."""
        try:
            result = await self._database.transaction(work, timeout=timeout)
        except IntegrityError as error:
            if clash is None:
                raise
            raise clash from error
        self.outbox.wake()
        await self._on_commit()
        return result

    async def record(
        self, connection: AsyncConnection, before: Part | None, after: Part | None, system: str, actor: Actor
    ) -> None:
        """Within a transaction: keep the digest of a part that was changed, and the entry that says so."""
        entries: list[AuditEntry] = []
        if before is not None and (verb := await self._unseen(connection, before)):
            # SQL made or changed it between the last look and now; our change goes on top of that.
            entries.append(_by_sql(verb, before, system))
        entries.append(audit_entries.of_change(before, after, system, actor))
        for gone in (before, after):
            if gone is not None:
                await connection.execute(delete(self._digests).where(*self._is(gone)))
        if after is not None:
            await connection.execute(insert(self._digests).values(self._row(after)))
        await self.outbox.append(connection, audit_convert.batch(entries))

    async def forget(self, connection: AsyncConnection, parts: tuple[Part, ...]) -> None:
        """Within a transaction: parts that went with their system need no entry of their own."""
        for part in parts:
            await connection.execute(delete(self._digests).where(*self._is(part)))

    async def resealed(self, connection: AsyncConnection, before: dict[int, str], after: dict[int, str]) -> None:
        """Within a transaction that seals credentials of connections: their digests go along, by id.

        One that is not as it was `before` is left: SQL changed that row, and audit has not been told yet.
        """
        columns = self._digests.c
        for number, known in before.items():
            is_it = (columns.kind == "connection", columns.part_id == number, columns.digest == known)
            await connection.execute(update(self._digests).where(*is_it).values(digest=after[number]))

    async def reconcile(self, discrepancies: tuple[Discrepancy, ...]) -> bool:
        """Tell audit of changes that SQL made. Those that another replica, or a call, was faster with are left out.

        False when one of them came in between so that some may be left to tell: find the discrepancies anew.
        """
        is_done = True
        for start in range(0, len(discrepancies), _BATCH):
            some = discrepancies[start : start + _BATCH]

            async def work(connection: AsyncConnection, some: tuple[Discrepancy, ...] = some) -> None:
                ours = [discrepancy for discrepancy in some if await self._claim(connection, discrepancy)]
                entries = [discrepancy.entry() for discrepancy in ours if discrepancy.is_told]
                if entries:
                    await self.outbox.append(connection, audit_convert.batch(entries))

            try:
                await self._database.transaction(work)
            except IntegrityError:
                # Another replica has just written one of these digests: none of this batch is told yet.
                is_done = False
                continue
            self.outbox.wake()
        return is_done

    async def _claim(self, connection: AsyncConnection, found: Discrepancy) -> bool:
        """Bring the digest up to date; False when it is not the one that the discrepancy was seen with."""
        columns = self._digests.c
        was = (columns.kind == found.kind, columns.part_id == found.number, columns.digest == found.known)
        if found.known is None:
            if found.part is None:
                return False
            await connection.execute(insert(self._digests).values(self._row(found.part)))
            return True
        if found.part is None:
            return (await connection.execute(delete(self._digests).where(*was))).rowcount == 1
        changed = update(self._digests).where(*was).values(self._row(found.part))
        return (await connection.execute(changed)).rowcount == 1

    async def _unseen(self, connection: AsyncConnection, part: Part) -> str:
        """What SQL did to the part since the registry last knew it; empty when nothing."""
        known = await connection.scalar(select(self._digests.c.digest).where(*self._is(part)).with_for_update())
        if known is None:
            return "create"
        return "" if known in (digest(part), Discrepancy.ADOPTED) else "update"

    def _is(self, part: Part) -> tuple[ColumnElement[bool], ...]:
        return (self._digests.c.kind == part.kind, self._digests.c.part_id == part.id)

    @staticmethod
    def _row(part: Part) -> dict[str, object]:
        return {
            "kind": part.kind,
            "part_id": part.id,
            "system_id": part.system_id,
            "title": part.title[:100],
            "digest": digest(part),
        }


def _by_sql(verb: str, part: Part, system: str) -> AuditEntry:
    return audit_entries.of_sql(verb, part.kind, part.id, system_id=part.system_id, system=system, title=part.title)
