"""Ingest's tables as revision 0002 makes them, for syncs; frozen, since migrations after it build on exactly this.

Made by the migration on a database of revision 0001; by the adoption, what an existing deployment lacks.
"""

from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.mysql import LONGBLOB

from intertie_ingest.migrations.first_tables import exact, moment, number, ulid

#: of the cache: the last run that saw the record
RUN_COLUMN = "sync_run_id"
RUN_CLAIM_INDEX = "ix_sync_runs_claim"

_MYSQL = ("mysql", "mariadb")


def sync_tables(prefix: str, is_mariadb: bool) -> MetaData:
    """The tables that revision 0002 adds."""
    metadata = MetaData()
    _runs(metadata, f"{prefix}sync_runs", is_mariadb)
    _failures(metadata, f"{prefix}sync_run_failures", is_mariadb)
    _cursors(metadata, f"{prefix}sync_cursors", is_mariadb)
    return metadata


def run_column() -> Column[str]:
    """The column that the cache gets. Without an index: what settles a run reads the claim's."""
    return Column(RUN_COLUMN, ulid())


def _runs(metadata: MetaData, name: str, is_mariadb: bool) -> None:
    Table(
        name,
        metadata,
        Column("run_id", ulid(), primary_key=True),
        Column("system_id", number(), nullable=False),
        Column("mapping_id", number(), nullable=False),
        Column("active_mapping_id", number()),
        Column("mode", String(16), nullable=False),
        Column("started_by", String(16), nullable=False),
        Column("requested_by", exact(255, is_mariadb), nullable=False),
        Column("state", String(16), nullable=False),
        Column("tick_at", moment()),
        Column("met_tick_at", moment()),
        Column("missed_ticks", number(), nullable=False),
        Column("range_from", Text(), nullable=False),
        Column("range_to", Text(), nullable=False),
        Column("created_at", moment(), nullable=False),
        Column("started_at", moment()),
        Column("finished_at", moment()),
        *(Column(count, number(), nullable=False, server_default="0") for count in _COUNTS),
        Column("error_reason", String(64), nullable=False, server_default=""),
        Column("error_message", Text()),
        Column("position", LargeBinary().with_variant(LONGBLOB(), *_MYSQL)),
        Column("cursor_kind", String(16)),
        Column("cursor_value", Text()),
        Column("is_cancel_requested", Boolean(), nullable=False, server_default="0"),
        Column("available_at", moment()),
        Column("lease_token", ulid()),
        Column("crashes", SmallInteger(), nullable=False, server_default="0"),
        UniqueConstraint("mapping_id", "tick_at", name="uq_sync_runs_tick"),
        UniqueConstraint("active_mapping_id", name="uq_sync_runs_active"),
        Index(RUN_CLAIM_INDEX, "available_at", "run_id"),
        Index("ix_sync_runs_system", "system_id", "run_id"),
        Index("ix_sync_runs_mapping", "mapping_id", "run_id"),
        Index("ix_sync_runs_state", "state", "run_id"),
        Index("ix_sync_runs_met", "mapping_id", "met_tick_at"),
        Index("ix_sync_runs_finished", "finished_at", "run_id"),
        **_OPTIONS,
    )


def _failures(metadata: MetaData, name: str, is_mariadb: bool) -> None:
    Table(
        name,
        metadata,
        Column("run_id", ulid(), primary_key=True),
        Column("id", number(), primary_key=True, autoincrement=False),
        Column("external_id", exact(255, is_mariadb), nullable=False),
        Column("position", number(), nullable=False),
        Column("reason", String(64), nullable=False),
        Column("field", String(255), nullable=False),
        Column("message", Text(), nullable=False),
        **_OPTIONS,
    )


def _cursors(metadata: MetaData, name: str, is_mariadb: bool) -> None:
    Table(
        name,
        metadata,
        Column("mapping_id", number(), primary_key=True, autoincrement=False),
        Column("cursor_field", exact(255, is_mariadb), nullable=False),
        Column("kind", String(16), nullable=False),
        Column("value", Text(), nullable=False),
        Column("run_id", ulid(), nullable=False),
        Column("updated_at", moment(), nullable=False),
        **_OPTIONS,
    )


_COUNTS = (
    "pages",
    "records_read",
    "new_records",
    "changed",
    "unchanged",
    "outdated",
    "skipped",
    "failed",
    "set_aside",
    "pending",
)
_OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
}
