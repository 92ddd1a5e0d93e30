"""What is signed without an id is known again when it is replayed under another delivery header."""

from alembic import op

from intertie_chassis.migrations import prefix
from intertie_ingest.migrations.replay_tables import replay_tables

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Adds the table unless an adoption, or a run that broke off, has."""
    replay_tables(prefix()).create_all(op.get_bind())
