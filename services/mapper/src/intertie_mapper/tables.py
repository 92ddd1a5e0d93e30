"""The tables that mapper owns: links, the checkpoints of events and surveys, and the outbox to audit."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from intertie_chassis.outbox import outbox_table

LINKS = "external_record_links"
OUTBOX = "mapper_outbox"
CHECKPOINTS = {"event": "events", "survey": "surveys"}
"""What a checkpoint's row column is named for, and the table that it refers to."""
EVENT_CHECKPOINTS = "event_integration_checkpoints"
SURVEY_CHECKPOINTS = "survey_integration_checkpoints"
MODULE_TABLES = ("campaigns", "events", "surveys", "survey_responses")
"""Made on a new installation only; the modules own them."""

MYSQL = ("mysql", "mariadb")
UNSIGNED = sa.Integer().with_variant(mysql.INTEGER(unsigned=True), *MYSQL)
NUMBER = sa.Integer().with_variant(mysql.BIGINT(unsigned=True), *MYSQL)
LONG_EXACT = sa.Text().with_variant(mysql.TEXT(charset="utf8mb4", collation="utf8mb4_bin"), *MYSQL)
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), *MYSQL)
OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}


def outbox(prefix: str) -> sa.Table:
    """The outbox to audit."""
    return outbox_table(sa.MetaData(), prefix + OUTBOX)


def links(prefix: str, *, is_mariadb: bool) -> sa.Table:
    """Which target row came from which external record."""
    return sa.Table(
        prefix + LINKS,
        sa.MetaData(),
        sa.Column("id", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("system_id", UNSIGNED, nullable=False),
        sa.Column("mapping_id", UNSIGNED, nullable=False),
        sa.Column("external_id", exact(255, is_mariadb=is_mariadb), nullable=False),
        sa.Column("target_table", exact(100), nullable=False),
        # Text, for keys of any type; found by its digest. A digest of NULL: the row is known to be gone.
        sa.Column("target_key", LONG_EXACT, nullable=False),
        sa.Column("target_key_digest", binary(32)),
        sa.Column("version_key", exact(255), nullable=False),
        sa.Column("revision", UNSIGNED, nullable=False),
        sa.Column("record_id", NUMBER, nullable=False),
        sa.Column("digest", sa.LargeBinary().with_variant(mysql.VARBINARY(32), *MYSQL), nullable=False),
        sa.Column("delivery_id", exact(64), nullable=False),
        sa.Column("mapping_fingerprint", binary(16), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.UniqueConstraint("mapping_id", "external_id", name=f"{prefix}link_record"),
        # Two records of one mapping never share a row; of two mappings they may.
        sa.UniqueConstraint("target_table", "target_key_digest", "mapping_id", name=f"{prefix}link_row"),
        sqlite_autoincrement=True,
        **OPTIONS,
    )


def checkpoints(prefix: str, singular: str, *, embedded: bool) -> sa.Table:
    """How the exchange of each row stands with each system, as the existing deployment keeps it, and with a key.

    PHP's inserts leave system_id NULL, so any number of its rows may stand beside ours.
    """
    states = ("pending", "sent", "acknowledged", "confirmed", "failed")
    target = f"{prefix}{CHECKPOINTS[singular]}"
    metadata = sa.MetaData()
    sa.Table(target, metadata, sa.Column("id", UNSIGNED, primary_key=True))  # for the foreign key to refer to
    return sa.Table(
        f"{prefix}{singular}_integration_checkpoints",
        metadata,
        sa.Column("id", UNSIGNED, primary_key=True, autoincrement=True),
        sa.Column(f"{singular}_id", UNSIGNED, sa.ForeignKey(f"{target}.id", ondelete="CASCADE"), nullable=False),
        sa.Column("subsystem_type", sa.String(100), nullable=False),
        sa.Column("system_id", UNSIGNED),
        sa.Column(
            "integration_status",
            sa.Enum(*states, name=f"{prefix}{singular}_checkpoint_status", create_constraint=True),
            nullable=False,
            server_default="pending",
        ),
        sa.Column("sent_data", sa.JSON),
        sa.Column("received_data", sa.JSON),
        sa.Column("last_sync_at", sa.TIMESTAMP, nullable=True),
        sa.Column("sync_attempts", UNSIGNED, nullable=False, server_default="0"),
        sa.Column("error_message", sa.Text),
        *times(embedded=embedded),
        sa.UniqueConstraint(f"{singular}_id", "system_id", name=f"{prefix}{singular}_checkpoint_system"),
        sa.Index(f"{prefix}{singular}_checkpoint_updated", "updated_at", "id"),
        sqlite_autoincrement=True,
        **OPTIONS,
    )


def times(*, embedded: bool) -> tuple[sa.Column[datetime], sa.Column[datetime]]:
    """created_at and updated_at as the existing deployment has them; SQLite has no ON UPDATE."""
    now = "CURRENT_TIMESTAMP"
    return (
        sa.Column("created_at", sa.TIMESTAMP, nullable=True, server_default=sa.text(now)),
        sa.Column(
            "updated_at",
            sa.TIMESTAMP,
            nullable=True,
            server_default=sa.text(now if embedded else f"{now} ON UPDATE {now}"),
        ),
    )


def exact(length: int, *, is_mariadb: bool | None = None) -> sa.types.TypeEngine[str]:
    """Text that is compared byte for byte; when the server is told, trailing spaces count, too."""
    collation = {None: "utf8mb4_bin", True: "utf8mb4_nopad_bin", False: "utf8mb4_0900_bin"}[is_mariadb]
    return sa.String(length).with_variant(mysql.VARCHAR(length, charset="utf8mb4", collation=collation), *MYSQL)


def binary(length: int) -> sa.types.TypeEngine[bytes]:
    """So many bytes."""
    return sa.LargeBinary(length).with_variant(mysql.BINARY(length), *MYSQL)
