"""Sync runs, their failures and cursors; the cache learns which run saw a record last."""

import sqlalchemy as sa
from alembic import op

from intertie_chassis.migrations import prefix
from intertie_ingest.migrations.sync_tables import RUN_COLUMN, run_column, sync_tables

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Adds what is missing: a run that broke off, or an adoption, may have made some of it.

    The column stands last and may be NULL, so that MySQL and MariaDB add it without copying or locking the table, and
    older code goes on beside it.
    """
    connection = op.get_bind()
    cache = f"{prefix()}external_data_cache"
    if RUN_COLUMN not in {column["name"] for column in sa.inspect(connection).get_columns(cache)}:
        op.add_column(cache, run_column())
    is_mariadb = bool(getattr(connection.dialect, "is_mariadb", False))
    sync_tables(prefix(), is_mariadb).create_all(connection)
