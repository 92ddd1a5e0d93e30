"""Grants that end: `expires_at`, NULL for those that do not."""

import sqlalchemy as sa
from alembic import op

from intertie_chassis.migrations import prefix

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column unless it is there: a run that broke off, or an adoption, may have made it.

    A TIMESTAMP: what SQL writes means the same moment whatever the time zone of its session. It stands last and may be
    NULL, so that MySQL and MariaDB add it without copying or locking the table, and older code goes on beside it.
    """
    table = f"{prefix()}module_system_mappings"
    if "expires_at" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}:
        op.add_column(table, sa.Column("expires_at", sa.TIMESTAMP(), nullable=True))
