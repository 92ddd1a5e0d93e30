"""Ingest's tables as revision 0001 makes them; frozen, since migrations after it build on exactly this.

Made by the migration on a new database; by the adoption, what an existing deployment lacks.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.mysql import BIGINT, BINARY, DATETIME, ENUM, INTEGER, LONGBLOB, LONGTEXT, TIMESTAMP, VARCHAR
from sqlalchemy.types import TypeEngine

from intertie_chassis.outbox import outbox_table

CLAIM_INDEX = "ix_external_data_cache_claim"
RECORD_KEY = "uq_external_data_cache_record"
DELIVERY_INDEX = "ix_external_data_cache_delivery"

_MYSQL = ("mysql", "mariadb")


def exact_collation(is_mariadb: bool) -> str:
    """Texts equal byte by byte only: the collations' other ideas of sameness would merge two records into one."""
    return "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"


def number() -> TypeEngine[int]:
    """An id of another owner, or a count."""
    return Integer().with_variant(INTEGER(unsigned=True), *_MYSQL)


def row_number() -> TypeEngine[int]:
    """A row's own id; SQLite numbers only INTEGER keys."""
    return BigInteger().with_variant(BIGINT(unsigned=True), *_MYSQL).with_variant(Integer(), "sqlite")


def ulid() -> TypeEngine[str]:
    """A ULID."""
    return String(26).with_variant(VARCHAR(26, charset="ascii", collation="ascii_bin"), *_MYSQL)


def exact(length: int, is_mariadb: bool) -> TypeEngine[str]:
    """A text compared byte by byte."""
    return String(length).with_variant(VARCHAR(length, collation=exact_collation(is_mariadb)), *_MYSQL)


def moment() -> TypeEngine[datetime]:
    """A time to the microsecond, in UTC."""
    return DateTime().with_variant(DATETIME(fsp=6), *_MYSQL)


def second() -> TypeEngine[datetime]:
    """A time to the second, as the existing columns have it."""
    return DateTime().with_variant(TIMESTAMP(), *_MYSQL)


def digest() -> TypeEngine[bytes]:
    """A SHA-256."""
    return LargeBinary(32).with_variant(BINARY(32), *_MYSQL)


def long_text() -> TypeEngine[str]:
    """A text without a limit that matters."""
    return Text().with_variant(LONGTEXT(collation="utf8mb4_bin"), *_MYSQL)


def first_tables(prefix: str, dialect: str, is_mariadb: bool) -> MetaData:
    """All tables of revision 0001."""
    metadata = MetaData()
    _cache(metadata, f"{prefix}external_data_cache", dialect, is_mariadb)
    _deliveries(metadata, f"{prefix}inbound_deliveries", is_mariadb)
    _endings(metadata, f"{prefix}inbound_delivery_endings", is_mariadb)
    _rejections(metadata, f"{prefix}rejected_deliveries", is_mariadb)
    outbox_table(metadata, f"{prefix}ingest_outbox")
    return metadata


def _cache(metadata: MetaData, name: str, dialect: str, is_mariadb: bool) -> None:
    on_mysql = dialect == "mysql"
    touched = "CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP" if on_mysql else "CURRENT_TIMESTAMP"
    # Not CURRENT_TIMESTAMP: in a DATETIME that is the time of the inserting session's zone, and PHP's is seldom UTC.
    now = "(UTC_TIMESTAMP(6))" if on_mysql else "(strftime('%Y-%m-%d %H:%M:%f','now'))"
    statuses = ENUM("pending", "synced", "error", "outdated")
    Table(
        name,
        metadata,
        Column("id", row_number(), primary_key=True, autoincrement=True),
        Column("system_id", number(), nullable=False),
        Column("mapping_id", number(), nullable=False),
        Column("external_id", exact(255, is_mariadb), nullable=False),
        Column("local_id", number()),
        Column("data_json", long_text(), CheckConstraint("json_valid(data_json)"), nullable=False),
        Column("sync_status", String(8).with_variant(statuses, *_MYSQL), nullable=False, server_default="pending"),
        Column("sync_error", Text()),
        Column("last_synced_at", second()),
        Column("expires_at", second()),
        Column("created_at", second(), server_default=text("CURRENT_TIMESTAMP")),
        Column("updated_at", second(), server_default=text(touched)),
        Column("revision", number(), nullable=False, server_default="1"),
        Column("version_key", exact(255, is_mariadb)),
        Column("digest", digest()),
        Column("delivery_id", ulid()),
        Column("attempts", number(), nullable=False, server_default="0"),
        Column("crashes", SmallInteger(), nullable=False, server_default="0"),
        Column("available_at", moment(), server_default=text(now)),
        Column("lease_token", ulid()),
        Column("lease_solo", Boolean(), nullable=False, server_default="0"),
        Column("lease_crc", number()),
        Column("error_reason", String(64)),
        Column("error_field", String(255)),
        Column("local_key", Text()),
        UniqueConstraint("system_id", "external_id", "mapping_id", name=RECORD_KEY),
        Index(CLAIM_INDEX, "sync_status", "lease_solo", "available_at", "id"),
        Index(DELIVERY_INDEX, "delivery_id"),
        **_OPTIONS,
    )


def _deliveries(metadata: MetaData, name: str, is_mariadb: bool) -> None:
    Table(
        name,
        metadata,
        Column("delivery_id", ulid(), primary_key=True),
        Column("system_id", number(), nullable=False),
        Column("route", String(8), nullable=False),
        Column("delivery_key", exact(255, is_mariadb)),
        Column("digest", digest(), nullable=False),
        Column("size", number(), nullable=False),
        Column("content_type", String(100), nullable=False),
        Column("source", String(45), nullable=False),
        Column("request_id", String(128), nullable=False),
        Column("received_at", moment(), nullable=False),
        Column("is_array", Boolean(), nullable=False),
        Column("external_ids", long_text(), nullable=False),
        Column("records", long_text(), nullable=False),
        Column("body", LargeBinary().with_variant(LONGBLOB(), *_MYSQL)),
        UniqueConstraint("system_id", "delivery_key", name="uq_inbound_deliveries_key"),
        Index("ix_inbound_deliveries_system", "system_id", "delivery_id"),
        **_OPTIONS,
    )


def _endings(metadata: MetaData, name: str, is_mariadb: bool) -> None:
    Table(
        name,
        metadata,
        Column("id", row_number(), primary_key=True, autoincrement=True),
        Column("delivery_id", ulid(), nullable=False),
        Column("mapping_id", number(), nullable=False),
        Column("external_id", exact(255, is_mariadb), nullable=False),
        Column("revision", number(), nullable=False),
        Column("ending", String(12), nullable=False),
        Column("superseded_by", ulid()),
        Column("reason", String(64)),
        Column("field", String(255)),
        Column("message", Text()),
        Column("ended_at", moment(), nullable=False),
        Index("ix_inbound_delivery_endings_delivery", "delivery_id", "ending"),
        **_OPTIONS,
    )


def _rejections(metadata: MetaData, name: str, is_mariadb: bool) -> None:
    Table(
        name,
        metadata,
        Column("id", row_number(), primary_key=True, autoincrement=True),
        Column("minute", DateTime(), nullable=False),
        Column("system_name", exact(100, is_mariadb), nullable=False),
        Column("route", String(8), nullable=False),
        Column("reason", String(64), nullable=False),
        Column("source", String(45), nullable=False),
        Column("rejected", number(), nullable=False),
        Column("message", String(500), nullable=False),
        Column("digest", digest(), nullable=False),
        UniqueConstraint("minute", "system_name", "route", "reason", "source", name="uq_rejected_deliveries"),
        **_OPTIONS,
    )


_OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "sqlite_autoincrement": True,
}
