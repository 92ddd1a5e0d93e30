"""The table that revision 0004 adds, for the migration and the adoption; frozen like the others.

A row is one thing that a sender signed without an id: what brings it again is a replay of that delivery. Apart from the
deliveries, since only systems with such schemes have rows here: an index on all deliveries would cost all of them.
"""

from typing import Any

from sqlalchemy import Column, Index, MetaData, Table

from intertie_ingest.migrations.first_tables import digest, number, ulid


def replay_tables(prefix: str) -> MetaData:
    """The table that revision 0004 adds."""
    metadata = MetaData()
    name = f"{prefix}inbound_delivery_replays"
    Table(
        name,
        metadata,
        Column("system_id", number(), primary_key=True, autoincrement=False),
        Column("mark", digest(), primary_key=True),
        Column("delivery_id", ulid(), nullable=False),
        Index("ix_inbound_delivery_replays_delivery", "delivery_id"),
        **_OPTIONS,
    )
    return metadata


_OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
}
