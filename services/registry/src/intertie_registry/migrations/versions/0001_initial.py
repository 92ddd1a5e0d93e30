"""The registry's tables, as the existing deployment has them, and what the registry keeps for itself.

Names, types and defaults are relied on by people's SQL and by the PHP application. On SQLite an ENUM is a VARCHAR with
a CHECK, and JSON a TEXT with one, so that a slip in a statement is refused there as it is on MariaDB.
"""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql
from sqlalchemy.schema import SchemaItem

from intertie_chassis.migrations import prefix
from intertie_registry.migrations import views
from intertie_registry.tables import Tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}
OPTIONS: dict[str, Any] = {"sqlite_autoincrement": True, "if_not_exists": True, **MYSQL}


def upgrade() -> None:
    """Make the tables, their keys and the two views."""
    p = prefix()
    op.create_table(
        f"{p}external_systems",
        _id(),
        sa.Column("system_name", _name(), nullable=False),
        sa.Column("system_type", _words("database", "api", "hybrid"), nullable=False, server_default="api"),
        sa.Column("display_name", sa.String(255)),
        sa.Column("description", sa.Text),
        _is_active(),
        *_times(),
        sa.UniqueConstraint("system_name", name=f"{p}system_name"),
        **OPTIONS,
    )
    op.create_table(
        f"{p}external_system_connections",
        _id(),
        _system_id(p, "connection"),
        sa.Column("connection_type", _words("database", "api", "rest", "soap", "graphql"), nullable=False),
        sa.Column("db_host", sa.String(255)),
        sa.Column("db_port", _unsigned(), server_default="3306"),
        sa.Column("db_name", sa.String(100)),
        sa.Column("db_username", sa.String(100)),
        sa.Column("db_password", sa.String(255)),
        sa.Column("db_driver", _words("mysql", "postgresql", "mssql", "oracle", "sqlite"), server_default="mysql"),
        sa.Column("api_base_url", sa.String(500)),
        sa.Column("api_auth_type", _words("bearer", "basic", "oauth2", "apikey", "none"), server_default="bearer"),
        sa.Column("api_auth_token", sa.Text),
        sa.Column("api_timeout", _unsigned(), server_default="30", comment="seconds"),
        *_json(p, "config_json", nullable=True),
        _is_active(),
        sa.Column("last_connection_test", sa.TIMESTAMP(), nullable=True),
        sa.Column(
            "connection_status",
            _words("connected", "disconnected", "error", "never_tested"),
            nullable=False,
            server_default="never_tested",
        ),
        sa.Column("connection_error", sa.Text),
        *_times(),
        **OPTIONS,
    )
    _index(p, "external_system_connections", "system_id")
    op.create_table(
        f"{p}external_data_mappings",
        _id(),
        _system_id(p, "mapping"),
        sa.Column("mapping_name", _name(), nullable=False),
        sa.Column("source_table", sa.String(100), comment="table or endpoint"),
        sa.Column("target_table", sa.String(100), nullable=False),
        *_json(p, "mapping_config", nullable=False),
        sa.Column(
            "sync_frequency",
            _words("realtime", "hourly", "daily", "weekly", "manual"),
            nullable=False,
            server_default="manual",
        ),
        sa.Column("last_sync_at", sa.TIMESTAMP(), nullable=True),
        sa.Column("next_sync_at", sa.TIMESTAMP(), nullable=True),
        _is_active(),
        *_times(),
        sa.UniqueConstraint("system_id", "mapping_name", name=f"{p}system_mapping"),
        **OPTIONS,
    )
    op.create_table(
        f"{p}module_system_mappings",
        _id(),
        sa.Column("module_name", _name(), nullable=False),
        _system_id(p, "grant"),
        sa.Column("access_type", _words("read", "write", "read_write"), nullable=False, server_default="read"),
        *_json(p, "query_permissions", nullable=True),
        _is_active(),
        *_times(),
        sa.UniqueConstraint("module_name", "system_id", name=f"{p}module_system"),
        **OPTIONS,
    )
    _index(p, "module_system_mappings", "system_id")
    own = Tables.of(p)
    for table in (own.digests, own.outbox):
        table.create(op.get_bind(), checkfirst=True)
    create = "CREATE VIEW IF NOT EXISTS" if _is_sqlite() else "CREATE OR REPLACE VIEW"
    for name, select in views.statements(p).items():
        op.execute(f"{create} {name} AS {select}")


def _is_sqlite() -> bool:
    return op.get_context().dialect.name == "sqlite"


def _index(p: str, table: str, column: str) -> None:
    # MySQL makes an index for each foreign key by itself.
    if _is_sqlite():
        op.create_index(f"ix_{p}{table}_{column}", f"{p}{table}", [column], if_not_exists=True)


def _unsigned() -> sa.types.TypeEngine[int]:
    return sa.Integer().with_variant(mysql.INTEGER(unsigned=True), "mysql", "mariadb")


def _name() -> sa.types.TypeEngine[str]:
    """A name by which others ask: compared as it is written, so that the two stores agree."""
    return sa.String(100).with_variant(mysql.VARCHAR(100, collation="utf8mb4_bin"), "mysql", "mariadb")


def _words(*words: str) -> sa.Enum:
    return sa.Enum(*words, native_enum=True, create_constraint=True, name=None)


def _json(p: str, name: str, *, nullable: bool) -> tuple[SchemaItem, ...]:
    column = sa.Column(name, sa.Text().with_variant(mysql.JSON(), "mysql", "mariadb"), nullable=nullable)
    return (column, sa.CheckConstraint(f"{name} IS NULL OR json_valid({name})")) if _is_sqlite() else (column,)


def _id() -> sa.Column[int]:
    return sa.Column("id", _unsigned(), primary_key=True, autoincrement=True)


def _system_id(p: str, part: str) -> sa.Column[int]:
    key = sa.ForeignKey(f"{p}external_systems.id", ondelete="CASCADE", name=f"fk_{p}{part}_system")
    return sa.Column("system_id", _unsigned(), key, nullable=False)


def _is_active() -> sa.Column[bool]:
    return sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.text("1"))


def _times() -> tuple[sa.Column[datetime], sa.Column[datetime]]:
    now = "CURRENT_TIMESTAMP"
    updated = now if _is_sqlite() else f"{now} ON UPDATE {now}"
    return (
        sa.Column("created_at", sa.TIMESTAMP(), nullable=True, server_default=sa.text(now)),
        sa.Column("updated_at", sa.TIMESTAMP(), nullable=True, server_default=sa.text(updated)),
    )
