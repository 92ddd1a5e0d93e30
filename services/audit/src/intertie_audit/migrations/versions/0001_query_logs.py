"""The log, with the columns of the existing deployment and ours.

It has no key to the table of systems, which another owner has: what happened outlives the system that it happened to.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from intertie_chassis.migrations import prefix

revision = "0001"
down_revision = None

MYSQL = ("mysql", "mariadb")
UNSIGNED = sa.Integer().with_variant(mysql.INTEGER(unsigned=True), *MYSQL)
NUMBER = sa.Integer().with_variant(mysql.BIGINT(unsigned=True), *MYSQL)
JSON = sa.Text().with_variant(mysql.JSON(), *MYSQL)
STATUS = sa.String(16).with_variant(mysql.ENUM("success", "error", "timeout"), *MYSQL)
ENTRY_ID = sa.String(26).with_variant(mysql.CHAR(26, charset="ascii", collation="ascii_bin"), *MYSQL)
# TIMESTAMP, not DATETIME: PHP's inserts leave the time to the column's default, and only a TIMESTAMP turns the time
# zone of their session into UTC.
MOMENT = sa.DateTime().with_variant(mysql.TIMESTAMP(fsp=6), *MYSQL)

# A secondary index ends with the primary key, so one column serves both the filter and the newest-first order.
INDEXED = ("system_id", "system_name", "module_name", "query_type", "status", "delivery_id", "created_at")


def exact(length: int) -> sa.String:
    """Text that is compared byte for byte: names and ids."""
    return sa.String(length).with_variant(mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin"), *MYSQL)


def upgrade() -> None:
    """Makes the table and its indexes."""
    is_mysql = op.get_bind().dialect.name in MYSQL
    name = f"{prefix()}integration_query_logs"
    # SQLite's CURRENT_TIMESTAMP has whole seconds, and times are compared as text there.
    now = "CURRENT_TIMESTAMP(6)" if is_mysql else "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')"
    op.create_table(
        name,
        sa.Column("id", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("system_id", UNSIGNED),
        sa.Column("query_type", sa.String(32), nullable=False),
        sa.Column("query_string", sa.Text),
        sa.Column("request_payload", JSON),
        sa.Column("response_payload", JSON),
        sa.Column("response_status", UNSIGNED),
        sa.Column("execution_time_ms", UNSIGNED),
        sa.Column("status", STATUS, nullable=False),
        sa.Column("error_message", sa.Text),
        sa.Column("requested_by", UNSIGNED),
        sa.Column("module_name", sa.String(100)),
        sa.Column("created_at", MOMENT, nullable=False, server_default=sa.text(now)),
        sa.Column("entry_id", ENTRY_ID),
        sa.Column("system_name", exact(100)),
        sa.Column("actor", exact(255)),
        sa.Column("delivery_id", exact(64)),
        sa.Column("request_id", exact(128)),
        if_not_exists=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mariadb_engine="InnoDB",
        mariadb_charset="utf8mb4",
        sqlite_autoincrement=True,
    )
    # Index names are the table's on MySQL, the whole file's on SQLite.
    before = "" if is_mysql else f"{name}_"
    present = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(name)}
    for column in ("entry_id", *INDEXED):
        index = f"{before}intertie_{column}"
        if index not in present:
            op.create_index(index, name, [column], unique=column == "entry_id")
