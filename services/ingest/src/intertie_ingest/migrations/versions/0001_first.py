"""The cache, the deliveries and how they ended, the rejections, and the outbox to audit."""

from alembic import op

from intertie_chassis.migrations import prefix
from intertie_ingest.migrations.first_tables import first_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes the tables; those that a run which broke off has made are left as they are."""
    connection = op.get_bind()
    is_mariadb = bool(getattr(connection.dialect, "is_mariadb", False))
    first_tables(prefix(), connection.dialect.name, is_mariadb).create_all(connection)
