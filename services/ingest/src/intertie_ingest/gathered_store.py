"""The SQL that hands over a lease under which records were stored: a look that locks and changes nothing."""

from typing import Any

from sqlalchemy import bindparam, literal_column, select

from intertie_chassis.database import Database
from intertie_ingest.migrations.first_tables import CLAIM_INDEX
from intertie_ingest.model import Lease, Leased, Status
from intertie_ingest.reservations import Gathering
from intertie_ingest.tables import Tables


class GatheredStore:
    """The rows of the cache that were written under a lease."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        cache = tables.cache
        # The index tells which rows end at that time, the token which of them are the lease's own.
        self._query = (
            select(*(cache.c[name] for name in _COLUMNS))
            .where(
                cache.c.sync_status == literal_column(f"'{Status.PENDING.value}'"),
                cache.c.lease_solo == literal_column("0"),
                cache.c.available_at >= bindparam("first", type_=cache.c.available_at.type),
                cache.c.available_at < bindparam("behind", type_=cache.c.available_at.type),
                cache.c.lease_token == bindparam("token"),
            )
            .order_by(cache.c.available_at, cache.c.id)
            .with_hint(cache, f"FORCE INDEX ({CLAIM_INDEX})", "mysql")
        )

    async def lease(self, gathering: Gathering, seconds: int) -> Lease | None:
        """The records of a lease of which so many seconds are left, in the order of their arrival; None without any.

        A record that another application has changed since is among them: that is seen when it is settled.
        Raises Unavailable.
        """
        places = {"first": gathering.expires_at, "behind": gathering.expires_at + gathering.places}
        async with self._database.read() as connection:
            rows = (await connection.execute(self._query, places | {"token": gathering.token})).all()
        return Lease(gathering.token, tuple(map(_leased, rows)), gathering.expires_at, seconds) if rows else None


_COLUMNS = (
    "id",
    "system_id",
    "mapping_id",
    "external_id",
    "revision",
    "data_json",
    "version_key",
    "delivery_id",
    "digest",
    "attempts",
    "traceparent",
)


def _leased(row: Any) -> Leased:
    # Taken apart by place, as `_COLUMNS` has them: by name it would cost as much as all else here.
    number, system, mapping, external_id, revision, data, version, delivery, digest, attempts, trace = row
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
