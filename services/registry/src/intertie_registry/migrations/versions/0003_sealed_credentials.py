"""Credentials are sealed in their rows: a sealed text is longer than the column of passwords was."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from intertie_chassis.migrations import prefix
from intertie_registry.tables import Tables

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of key proofs, and widen two columns where their length counts: SQLite keeps any text anywhere.

    A token may have 65,535 bytes and a third more when it is sealed. Character set and comment of an adopted column
    stay as they are; older code goes on beside it.
    """
    p = prefix()
    Tables.of(p).secret_keys.create(op.get_bind(), checkfirst=True)
    if op.get_context().dialect.name == "sqlite":
        return
    table = f"{p}external_system_connections"
    columns = {column["name"]: column for column in sa.inspect(op.get_bind()).get_columns(table)}
    for name, kind in (("db_password", mysql.TEXT), ("api_auth_token", mysql.MEDIUMTEXT)):
        column = columns[name]
        now = column["type"]
        if isinstance(now, kind):
            continue
        op.alter_column(
            table,
            name,
            type_=kind(charset=getattr(now, "charset", None), collation=getattr(now, "collation", None)),
            existing_nullable=True,
            existing_comment=column.get("comment"),
        )
