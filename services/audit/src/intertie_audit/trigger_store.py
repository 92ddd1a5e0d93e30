"""Which of the triggers that keep the log and the chain from being changed are there."""

from sqlalchemy import text

from intertie_audit.migrations.triggers import triggers
from intertie_chassis.database import Database


async def warnings(database: Database) -> list[str]:
    """What an operator should know about the triggers; nothing when all are there. Raises Unavailable.

    On MySQL an account sees triggers only with the right TRIGGER on the table, so they may be there although this
    process cannot see them; then its account lacks the right to drop them as well, and that is told instead.
    """
    if database.dialect == "sqlite":
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    else:
        query = "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()"
    async with database.read() as connection:
        present = set((await connection.scalars(text(query))).all())
    missing = sorted(triggers(database.table_prefix, database.dialect).keys() - present)
    if not missing:
        return []
    return [
        "audit: triggers that refuse changes of the log and its chain are missing, or this account may not see them "
        f"({', '.join(missing)}); changes are still found by `intertie audit verify`. See docs/audit.md, Triggers"
    ]
