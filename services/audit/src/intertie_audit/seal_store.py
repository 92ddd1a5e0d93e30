"""Appends to the chain, and finds what waits for it.

A batch is one transaction that reads the end and appends to it; of two sealers the primary key lets one win.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_audit import chain
from intertie_audit.chain import START, Checkpoint, Place
from intertie_audit.migrations.chain_tables import ChainTables
from intertie_audit.row_store import LogRow
from intertie_chassis.clock import utc_now
from intertie_chassis.database import Database
from intertie_chassis.database_errors import is_duplicate_key
from intertie_chassis.many_rows import ManyRows

_MOST_RACES = 20
_KIND = re.compile(r"[a-z][a-z0-9_]{0,15}")
_COLUMNS = ("sequence", "entry_id", "kind", "canonical", "head", "mac", "sealed_at")


class Raced(Exception):
    """Another sealer has appended at the same place; nothing was stored."""


class SealStore:
    """The end of the chain."""

    def __init__(self, database: Database, mac_key: bytes) -> None:
        """`mac_key`: what the heads are signed with (`chain.mac`)."""
        self._database = database
        self._mac_key = chain.MacKey(mac_key)
        self._tables = ChainTables(database.table_prefix)
        self._append = ManyRows(insert(self._tables.chain), _COLUMNS)

    async def end(self) -> tuple[Place, bytes]:
        """The last place of the chain, and the mac that stands there (empty before the first link)."""
        table = self._tables.chain.c
        query = select(table.sequence, table.head, table.mac).order_by(table.sequence.desc()).limit(1)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return (Place(0, START), b"") if row is None else (Place(row.sequence, row.head), row.mac)

    async def newest_sealed(self) -> int | None:
        """The highest number of a row that has a link of its own."""
        async with self._database.read() as connection:
            newest: int | None = await connection.scalar(select(func.max(self._tables.chain.c.entry_id)))
        return newest

    async def found_up_to(self) -> int:
        """The highest number that was in the log when the chain's tables were made; 0: none."""
        async with self._database.read() as connection:
            return int(await connection.scalar(select(func.max(self._tables.origin.c.found_up_to))) or 0)

    async def blocks(self) -> list[tuple[int, int]]:
        """Sequence and last number of each link of the kind `found`, in order."""
        table = self._tables.chain.c
        head = func.substr(table.canonical, 1, 200)
        query = select(table.sequence, head).where(table.entry_id.is_(None), table.kind == chain.FOUND)
        async with self._database.read() as connection:
            rows = (await connection.execute(query.order_by(table.sequence))).all()
        spans = ((sequence, chain.block_span(bytes(canonical))) for sequence, canonical in rows)
        return [(sequence, span[1]) for sequence, span in spans if span is not None]

    async def block_ids(self, sequence: int) -> set[int]:
        """The numbers of the rows that such a link seals."""
        query = select(self._tables.chain.c.canonical).where(self._tables.chain.c.sequence == sequence)
        async with self._database.read() as connection:
            canonical = await connection.scalar(query)
        try:
            return {row.entry_id for row in chain.block_rows(canonical or b"")}
        except (TypeError, ValueError):
            return set()

    async def seal(self, rows: Sequence[LogRow]) -> Place:
        """Appends a link for each row, in this order, in one transaction; gives the new end.

        Raises Raced when another sealer came first.
        """

        def links(place: Place, sealed_at: str) -> list[tuple[int | None, str, bytes]]:
            first = place.sequence + 1
            return [
                (row.id, chain.ENTRY, chain.entry(sequence, sealed_at, row.row, row.digests))
                for sequence, row in enumerate(rows, first)
            ]

        return await self._appended(links)

    async def seal_block(self, rows: Sequence[LogRow]) -> Place:
        """Appends one link for rows (at most 1000) that were found in the log. Raises Raced."""
        block = [chain.block_row(row.id, row.row, row.digests) for row in rows]
        return await self._appended(
            lambda place, sealed_at: [(None, chain.FOUND, chain.block(place.sequence + 1, sealed_at, block))]
        )

    async def append_note(self, kind: str, words: str) -> Place:
        """Appends a link that is about no single entry, such as `expired` with `chain.expired_text`; gives its place.

        Waits its turn when sealers append at the same time.
        """
        if not _KIND.fullmatch(kind) or kind in (chain.ENTRY, chain.FOUND):
            raise ValueError(f"{kind!r} is no kind of note")
        for _ in range(_MOST_RACES - 1):
            try:
                return await self._noted(kind, words)
            except Raced:
                continue
        return await self._noted(kind, words)

    async def _noted(self, kind: str, words: str) -> Place:
        return await self._appended(
            lambda place, sealed_at: [(None, kind, chain.note(place.sequence + 1, kind, sealed_at, words))]
        )

    async def keep_checkpoint(self, checkpoint: Checkpoint) -> bool:
        """Stores a checkpoint; gives whether it is new: one place has one checkpoint."""
        values = {
            "sequence": checkpoint.sequence,
            "signed_text": checkpoint.text,
            "signature": checkpoint.signature,
        }

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(insert(self._tables.checkpoints).values(values))

        try:
            await self._database.transaction(work)
        except IntegrityError as error:
            if not is_duplicate_key(error):
                raise
            return False
        return True

    async def first_head(self) -> bytes | None:
        """The head at place 1, by which the chain is called; None before the first link."""
        async with self._database.read() as connection:
            query = select(self._tables.chain.c.head).where(self._tables.chain.c.sequence == 1)
            head: bytes | None = await connection.scalar(query)
        return head

    async def _appended(self, links: Callable[[Place, str], list[tuple[int | None, str, bytes]]]) -> Place:
        try:
            return await self._database.transaction(partial(self._insert, links))
        except IntegrityError as error:
            if is_duplicate_key(error):
                raise Raced from error
            raise

    async def _insert(
        self, links: Callable[[Place, str], list[tuple[int | None, str, bytes]]], connection: AsyncConnection
    ) -> Place:
        """Reads the end and appends to it: what is read may be old, then the primary key refuses the INSERT."""
        table = self._tables.chain.c
        query = select(table.sequence, table.head).order_by(table.sequence.desc()).limit(1)
        row = (await connection.execute(query)).one_or_none()
        place = Place(0, START) if row is None else Place(row.sequence, row.head)
        sealed_at = utc_now()
        rows: list[dict[str, Any]] = []
        sequence, head = place.sequence, place.head
        for entry_id, kind, canonical in links(place, chain.moment_text(sealed_at)):
            sequence += 1
            head = chain.next_head(head, chain.leaf(canonical))
            rows.append(
                {
                    "sequence": sequence,
                    "entry_id": entry_id,
                    "kind": kind,
                    "canonical": canonical,
                    "head": head,
                    "mac": self._mac_key.mac(head),
                    "sealed_at": sealed_at,
                }
            )
        await self._append.execute(connection, rows)
        return Place(sequence, head)
