"""The chain over the log: links, signed checkpoints, and triggers that keep them and the log from being changed."""

import sqlalchemy as sa
import structlog
from alembic import op
from sqlalchemy.exc import DBAPIError

from intertie_audit.migrations.chain_tables import ChainTables
from intertie_audit.migrations.triggers import LOGS, triggers
from intertie_chassis.database_errors import is_away
from intertie_chassis.migrations import prefix

revision = "0002"
down_revision = "0001"

_log = structlog.get_logger()


def upgrade() -> None:
    """Makes what is missing: a run that broke off, or an adoption, may have made some of it."""
    connection = op.get_bind()
    tables = ChainTables(prefix())
    tables.metadata.create_all(connection)
    if connection.execute(sa.select(tables.origin)).first() is None:
        logs = sa.table(f"{prefix()}{LOGS}", sa.column("id"))
        newest = sa.select(sa.func.coalesce(sa.func.max(logs.c.id), 0))
        connection.execute(sa.insert(tables.origin).from_select(["found_up_to"], newest))
    _make_triggers(connection)


def _make_triggers(connection: sa.Connection) -> None:
    is_sqlite = connection.dialect.name == "sqlite"
    present = set(
        connection.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            if is_sqlite
            else "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()"
        ).scalars()
    )
    for name, statement in triggers(prefix(), connection.dialect.name).items():
        if name in present:
            continue
        try:
            connection.exec_driver_sql(statement)
        except DBAPIError as error:
            if is_sqlite or is_away(error):
                raise
            # No privilege, or a binary log that trusts no triggers: the account's own rights must do then.
            _log.warning("the server refuses a trigger; see docs/audit.md", trigger=name, cause=str(error.orig))
