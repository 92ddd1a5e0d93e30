"""A cached record knows the trace of its delivery, so that mapping it goes on in the same one."""

import sqlalchemy as sa
from alembic import op

from intertie_chassis.migrations import prefix
from intertie_ingest.migrations.trace_column import CACHE, TRACE_COLUMN, trace_column

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Adds the column unless an adoption, or a run that broke off, has: at the end, where it costs no copy."""
    table = f"{prefix()}{CACHE}"
    if TRACE_COLUMN not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}:
        op.add_column(table, trace_column())
