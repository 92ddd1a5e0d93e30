"""The SQL of leases under which records were stored: handed over by a look that locks nothing, or released."""

import math
import time
import zlib
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, literal_column, null, select, update

from intertie_chassis.database import Database
from intertie_ingest.cache_store import CacheRows
from intertie_ingest.claimed_row import LEASED_COLUMNS
from intertie_ingest.lease_model import Lease, Leased
from intertie_ingest.migrations.first_tables import CLAIM_INDEX
from intertie_ingest.model import Status
from intertie_ingest.reservations import Gathering
from intertie_ingest.tables import Tables


class GatheredStore:
    """The rows of the cache that were written under a lease."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        cache, rows = tables.cache, CacheRows(database, tables)
        # The index tells which rows end at that time, the token which of them are the lease's own.
        own = (
            cache.c.sync_status == literal_column(f"'{Status.PENDING.value}'"),
            cache.c.lease_solo == literal_column("0"),
            cache.c.available_at >= bindparam("first", type_=cache.c.available_at.type),
            cache.c.available_at < bindparam("behind", type_=cache.c.available_at.type),
            cache.c.lease_token == bindparam("token"),
        )
        columns = [cache.c[name] for name in LEASED_COLUMNS]
        self._read = (
            select(*columns, cache.c.lease_crc, rows.clock())
            .where(*own)
            .order_by(cache.c.available_at, cache.c.id)
            .with_hint(cache, f"FORCE INDEX ({CLAIM_INDEX})", "mysql")
        )
        self._find = select(cache.c.id).where(*own).with_hint(cache, f"FORCE INDEX ({CLAIM_INDEX})", "mysql")
        self._release = (
            update(cache)
            .where(
                cache.c.id.in_(bindparam("ids", expanding=True)),
                cache.c.lease_token == bindparam("token"),
            )
            .values(
                available_at=rows.clock(),
                attempts=literal_column("0"),
                lease_token=null(),
                lease_crc=null(),
                **rows.touched(),
            )
        )

    async def lease(self, gathering: Gathering, most: int) -> Lease | None:
        """The records of a lease, in the order of their arrival; none when its groups came to nothing.

        None when it must be released: it has less than half of its time left or more than `most` records, or another
        application has written over one of them. Raises Unavailable.
        """
        began = time.monotonic()
        async with self._database.read() as connection:
            rows = (await connection.execute(self._read, _places(gathering))).all()
        if not rows:
            return Lease(gathering.token, (), gathering.expires_at, 0)
        now = rows[0][-1]
        if isinstance(now, str):  # SQLite gives back what was bound as text
            now = datetime.fromisoformat(now)
        left = (gathering.expires_at - now).total_seconds() - (time.monotonic() - began)
        if (
            len(rows) > most
            or not gathering.seconds / 2 <= left <= gathering.seconds + 1
            or any(map(_is_foreign, rows))
        ):
            return None
        return Lease(gathering.token, tuple(map(_leased, rows)), gathering.expires_at, max(1, math.floor(left)))

    async def release(self, gathering: Gathering) -> None:
        """Puts the records of a lease that nobody was given into the queue.

        By their numbers: looked for under lock, a group that is still being written would be waited for. Raises
        Unavailable, StoreBusy after a second where others hold one of them.
        """
        async with self._database.read() as connection:
            ids = sorted(await connection.scalars(self._find, _places(gathering)))
        if ids:
            asked = {"ids": ids, "token": gathering.token}
            await self._database.transaction(
                lambda connection: connection.execute(self._release, asked), timeout=2.0, lock_wait=1
            )


def _places(gathering: Gathering) -> dict[str, Any]:
    return {
        "first": gathering.expires_at,
        "behind": gathering.expires_at + gathering.places,
        "token": gathering.token,
    }


def _is_foreign(row: Any) -> bool:
    """Whether its data is not what it was stored with; SQLite, where no other application writes, keeps no checksum."""
    return row.lease_crc is not None and row.lease_crc != zlib.crc32(row.data_json.encode())


def _leased(row: Any) -> Leased:
    # Taken apart by place, as `LEASED_COLUMNS` has them: by name it would cost as much as all else here.
    number, system, mapping, external_id, revision, data, version, delivery, digest, attempts, trace, _, _ = row
    return Leased(
        number,
        system,
        mapping,
        external_id,
        revision,
        data.encode(),
        version or "",
        delivery or "",
        bytes(digest),
        attempts,
        trace or "",
    )
