"""Reads the chain and its checkpoints. Nothing here writes: the seal store appends, and nobody updates or deletes."""

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select, type_coerce
from sqlalchemy.types import NullType

from intertie_audit.chain import (
    EXPIRED,
    FOUND,
    NO_DIGEST,
    START,
    BlockRow,
    Checkpoint,
    Link,
    Place,
    block_rows,
    block_span,
    read_checkpoint,
)
from intertie_audit.migrations.chain_tables import ChainTables
from intertie_chassis.database import Database

_IDS_A_LOOK = 1000
_MOST = 2**63
_DIGESTS = re.compile(rb'(null|"[0-9a-f]{64}"),(null|"[0-9a-f]{64}")\]$')
_DIGESTS_BYTES = 140
"""More than the digests at the end of canonical bytes have."""


class ChainStore:
    """The chain, as it stands in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tables = ChainTables(database.table_prefix)
        self._blocks: list[tuple[int, int, int]] | None = None

    async def end(self) -> Place:
        """The last place of the chain and its head; place 0 with START when there is none."""
        chain = self._tables.chain.c
        query = select(chain.sequence, _raw(chain.head)).order_by(chain.sequence.desc()).limit(1)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return Place(0, START) if row is None else Place(row[0], _bytes(row[1]))

    async def head_at(self, sequence: int) -> bytes | None:
        """The head that is stored at a place; START at 0; None where there is no link."""
        if sequence == 0:
            return START
        chain = self._tables.chain.c
        async with self._database.read() as connection:
            head = await connection.scalar(select(_raw(chain.head)).where(chain.sequence == sequence))
        return None if head is None else _bytes(head)

    async def links(self, first: int, last: int, limit: int = 1000) -> list[Link]:
        """At most `limit` links from place `first` to `last`, both inclusive, in order; gaps are left out."""
        chain = self._tables.chain
        query = select(chain).where(chain.c.sequence.between(first, last)).order_by(chain.c.sequence).limit(limit)
        async with self._database.read() as connection:
            return [_link(row) for row in (await connection.execute(query)).all()]

    async def notes(self, after: int = 0, limit: int = 1000) -> list[Link]:
        """At most `limit` links that are about no single entry (`found`, `expired` and others), in order."""
        chain = self._tables.chain
        query = select(chain).where(chain.c.entry_id.is_(None), chain.c.sequence > after)
        async with self._database.read() as connection:
            rows = (await connection.execute(query.order_by(chain.c.sequence).limit(limit))).all()
        return [_link(row) for row in rows]

    async def expiries(self, after: int = 0, limit: int = 1000) -> list[tuple[int, bytes]]:
        """Place and canonical bytes of at most `limit` links that say what retention has dropped, in order."""
        chain = self._tables.chain.c
        query = select(chain.sequence, _raw(chain.canonical)).where(
            chain.entry_id.is_(None), chain.sequence > after, chain.kind == EXPIRED
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query.order_by(chain.sequence).limit(limit))).all()
        return [(sequence, _bytes(canonical)) for sequence, canonical in rows]

    async def proof_at(self, sequence: int) -> tuple[bytes, bytes] | None:
        """Head and mac that are stored at a place; None where there is no link."""
        chain = self._tables.chain.c
        query = select(_raw(chain.head), _raw(chain.mac)).where(chain.sequence == sequence)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else (_bytes(row[0]), _bytes(row[1]))

    async def found_up_to(self) -> int:
        """The last number of the last block of rows that were found in the log; 0 without one."""
        chain = self._tables.chain.c
        query = select(func.substr(chain.canonical, 1, 200)).where(chain.entry_id.is_(None), chain.kind == FOUND)
        async with self._database.read() as connection:
            start = await connection.scalar(query.order_by(chain.sequence.desc()).limit(1))
        span = block_span(start) if isinstance(start, bytes) else None
        return span[1] if span else 0

    async def newest_entry(self) -> int:
        """The highest number of a row that has a link of its own; 0 when none has."""
        async with self._database.read() as connection:
            return int(await connection.scalar(select(func.max(self._tables.chain.c.entry_id))) or 0)

    async def sequences(self, entry_ids: Sequence[int]) -> dict[int, int]:
        """The places of these rows of the log, by their number; those without a link of their own are left out."""
        chain = self._tables.chain.c
        places: dict[int, int] = {}
        async with self._database.read() as connection:
            for start in range(0, len(entry_ids), _IDS_A_LOOK):
                some = entry_ids[start : start + _IDS_A_LOOK]
                rows = await connection.execute(select(chain.entry_id, chain.sequence).where(chain.entry_id.in_(some)))
                places.update((row.entry_id, row.sequence) for row in rows.all())
        return places

    async def places(self, entry_ids: Sequence[int]) -> dict[int, int]:
        """The same, and of a row that was found in the log the place of its block."""
        places = await self.sequences(entry_ids)
        if len(places) < len(entry_ids):
            for number in entry_ids:
                place = await self._block_of(number) if number not in places else None
                if place is not None:
                    places[number] = place
        return places

    async def sealed_payloads(self, places: Mapping[int, int]) -> dict[int, tuple[bool, bool]]:
        """Whether the rows of these numbers, at these places, had a request and a response when they were sealed."""
        chain = self._tables.chain.c
        found: dict[int, tuple[bool, bool]] = {}
        async with self._database.read() as connection:
            end = func.substr(chain.canonical, -_DIGESTS_BYTES)
            query = select(chain.entry_id, end).where(chain.entry_id.in_(sorted(places)))
            for number, canonical in (await connection.execute(query)).all():
                match = _DIGESTS.search(bytes(canonical))
                if match is not None:
                    found[number] = match[1] != b"null", match[2] != b"null"
            blocks = {place for number, place in places.items() if number not in found}
            for place in sorted(blocks):
                raw = await connection.scalar(
                    select(chain.canonical).where(chain.sequence == place, chain.kind == FOUND)
                )
                for row in _rows_of(raw or b""):
                    if places.get(row.entry_id) == place:
                        found[row.entry_id] = row.request != NO_DIGEST, row.response != NO_DIGEST
        return found

    async def _block_of(self, number: int) -> int | None:
        if self._blocks is None:
            chain = self._tables.chain.c
            query = select(chain.sequence, func.substr(chain.canonical, 1, 200))
            query = query.where(chain.entry_id.is_(None), chain.kind == FOUND).order_by(chain.sequence)
            async with self._database.read() as connection:
                rows = (await connection.execute(query)).all()
            spans = [(sequence, block_span(bytes(start))) for sequence, start in rows]
            blocks = [(span[0], span[1], sequence) for sequence, span in spans if span is not None]
            if await self.newest_entry():  # blocks come before all entries, so there will be no more of them
                self._blocks = blocks
        else:
            blocks = self._blocks
        index = bisect_right(blocks, (number, _MOST, _MOST)) - 1
        return blocks[index][2] if index >= 0 and number <= blocks[index][1] else None

    async def checkpoints(self, limit: int = 1000, *, before: int | None = None) -> list[Checkpoint]:
        """At most `limit` checkpoints, the newest first, of places below `before`. Rows that nothing can be read from
        are left out here; verification finds them."""
        table = self._tables.checkpoints
        query = select(table).order_by(table.c.sequence.desc()).limit(limit)
        if before is not None:
            query = query.where(table.c.sequence < before)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [checkpoint for row in rows if (checkpoint := _checkpoint(row)) is not None]

    async def checkpoints_after(self, sequence: int, limit: int = 1000) -> list[Checkpoint]:
        """At most `limit` checkpoints of places above this one, the lowest first; empty when there are no more. Rows
        that nothing can be read from are passed by, however many they are."""
        table = self._tables.checkpoints
        query = select(table).order_by(table.c.sequence).limit(limit)
        while True:
            async with self._database.read() as connection:
                rows = (await connection.execute(query.where(table.c.sequence > sequence))).all()
            found = [checkpoint for row in rows if (checkpoint := _checkpoint(row)) is not None]
            if found or len(rows) < limit:
                return found
            sequence = rows[-1].sequence

    async def checkpoint_from(self, sequence: int) -> Checkpoint | None:
        """The first checkpoint at a place or after it; None when none is signed yet."""
        table = self._tables.checkpoints
        query = select(table).where(table.c.sequence >= sequence).order_by(table.c.sequence).limit(1)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else _checkpoint(row)

    async def newest_checkpoint(self) -> int:
        """The place of the newest checkpoint; 0 when there is none."""
        async with self._database.read() as connection:
            return int(await connection.scalar(select(func.max(self._tables.checkpoints.c.sequence))) or 0)


def _rows_of(canonical: bytes) -> list[BlockRow]:
    try:
        return block_rows(canonical)
    except ValueError:
        return []


def _raw(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The column as the driver gives it: on SQLite it may hold any type, if somebody changed it."""
    return type_coerce(column, NullType())


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


def _link(row: Row[Any]) -> Link:
    return Link(**row._mapping)


def _checkpoint(row: Row[Any]) -> Checkpoint | None:
    try:
        return read_checkpoint(row.signed_text, row.signature)
    except (TypeError, ValueError):
        return None
