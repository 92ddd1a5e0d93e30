"""The registry's tables as its statements see them.

The types here are looser than those that the migrations make: what SQL wrote must be readable whatever it is, so ENUM
and JSON columns are plain text, and a time that is none reads as NULL instead of failing the whole query.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Dialect, Integer, MetaData, String, Table, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

from intertie_chassis.outbox import outbox_table

_EPOCH = datetime(1970, 1, 1)


class Moment(TypeDecorator[datetime]):
    """A time in UTC without zone, to the second; on SQLite the text that its CURRENT_TIMESTAMP makes."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Text on SQLite, DATETIME elsewhere."""
        return dialect.type_descriptor(String(32) if dialect.name == "sqlite" else DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Write to the second: microseconds would be rounded up by some servers and cut by others."""
        if value is None:
            return None
        whole = value.replace(microsecond=0)
        return whole.isoformat(" ") if dialect.name == "sqlite" else whole

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Read what is a time; what is none (SQL may have written anything into SQLite) is as good as NULL."""
        if isinstance(value, datetime):
            return value
        try:
            read = datetime.fromisoformat(str(value))
        except ValueError:
            return None
        return read.replace(tzinfo=None)


class Ending(Moment):
    """The moment at which something ends: what is no time is one that is over, so that no slip keeps anything open.

    A zone counts, where SQLite keeps one.
    """

    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """NULL is never; what is no time, or one before 1970, is the beginning of 1970."""
        if value is None:
            return None
        try:
            read = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
            read = read.astimezone(UTC).replace(tzinfo=None) if read.tzinfo is not None else read
        except (ValueError, OverflowError):
            return _EPOCH
        return max(read, _EPOCH)


@dataclass(frozen=True, slots=True)
class Tables:
    """The registry's tables under one prefix."""

    systems: Table
    connections: Table
    mappings: Table
    grants: Table
    #: the digest of each part as the registry last knew it: what differs was changed by SQL
    digests: Table
    outbox: Table
    #: what each sealing key is known by: another one of the same id is told from it
    secret_keys: Table

    @classmethod
    def of(cls, prefix: str) -> "Tables":
        """The tables whose names begin with `prefix`."""
        metadata = MetaData()
        return cls(
            systems=Table(
                f"{prefix}external_systems",
                metadata,
                Column("id", Integer, primary_key=True),
                Column("system_name", String(100)),
                Column("system_type", String(16)),
                Column("display_name", String(255)),
                Column("description", Text),
                Column("is_active", Integer),
                *_times(),
            ),
            connections=Table(
                f"{prefix}external_system_connections",
                metadata,
                Column("id", Integer, primary_key=True),
                Column("system_id", Integer),
                Column("connection_type", String(16)),
                Column("db_host", String(255)),
                Column("db_port", Integer),
                Column("db_name", String(100)),
                Column("db_username", String(100)),
                Column("db_password", Text),
                Column("db_driver", String(16)),
                Column("api_base_url", String(500)),
                Column("api_auth_type", String(16)),
                Column("api_auth_token", Text),
                Column("api_timeout", Integer),
                Column("config_json", Text),
                Column("is_active", Integer),
                Column("last_connection_test", Moment),
                Column("connection_status", String(16)),
                Column("connection_error", Text),
                *_times(),
            ),
            mappings=Table(
                f"{prefix}external_data_mappings",
                metadata,
                Column("id", Integer, primary_key=True),
                Column("system_id", Integer),
                Column("mapping_name", String(100)),
                Column("source_table", String(100)),
                Column("target_table", String(100)),
                Column("mapping_config", Text),
                Column("sync_frequency", String(16)),
                Column("last_sync_at", Moment),
                Column("next_sync_at", Moment),
                Column("is_active", Integer),
                *_times(),
            ),
            grants=Table(
                f"{prefix}module_system_mappings",
                metadata,
                Column("id", Integer, primary_key=True),
                Column("module_name", String(100)),
                Column("system_id", Integer),
                Column("access_type", String(16)),
                Column("query_permissions", Text),
                Column("is_active", Integer),
                Column("expires_at", Ending),
                *_times(),
            ),
            digests=digest_table(metadata, f"{prefix}registry_digests"),
            outbox=outbox_table(metadata, f"{prefix}registry_outbox"),
            secret_keys=secret_key_table(metadata, f"{prefix}registry_secret_keys"),
        )

    def configuration(self) -> tuple[Table, Table, Table, Table]:
        """The four tables that people configure."""
        return (self.systems, self.connections, self.mappings, self.grants)


def digest_table(metadata: MetaData, name: str) -> Table:
    """The table of digests, for statements, the migration and the adoption."""
    return Table(
        name,
        metadata,
        Column("kind", String(16), primary_key=True),
        Column("part_id", BigInteger, primary_key=True, autoincrement=False),
        Column("system_id", BigInteger, nullable=False, index=True),
        Column("title", String(100), nullable=False),
        Column("digest", String(64), nullable=False),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )


def secret_key_table(metadata: MetaData, name: str) -> Table:
    """The table of the proofs of sealing keys, for statements, the migration and the adoption. It holds no key."""
    return Table(
        name,
        metadata,
        Column("key_id", String(64), primary_key=True),
        Column("proof", String(64), nullable=False),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )


def _times() -> tuple[Column[Any], Column[Any]]:
    return Column("created_at", Moment), Column("updated_at", Moment)
