"""The versions of audit's table."""

from intertie_chassis.migrations import Migrations

MIGRATIONS = Migrations("audit", "intertie_audit.migrations", own_tables=("integration_query_logs",))
