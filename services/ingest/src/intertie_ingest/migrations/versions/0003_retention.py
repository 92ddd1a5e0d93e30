"""Deliveries are found by their age, so that bodies, and later the rest of them, can be forgotten in small steps."""

import sqlalchemy as sa
from alembic import op

from intertie_chassis.migrations import prefix
from intertie_ingest.migrations.retention_index import AGE_COLUMNS, AGE_INDEX, DELIVERIES

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Adds the index unless an adoption, or a run that broke off, has: without copying or locking the table."""
    table = f"{prefix()}{DELIVERIES}"
    if AGE_INDEX not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(AGE_INDEX, table, list(AGE_COLUMNS))
