"""What the log of an existing deployment needs to become ours, with every row kept and PHP's own inserts still legal.

It ends as the migrations make it anew; a test holds the two together. A later migration adds to both.
"""

from intertie_audit.migrations.chain_tables import ORIGIN, ChainTables
from intertie_audit.migrations.triggers import triggers
from intertie_chassis.adoption import Plan

LOGS = "integration_query_logs"

_OURS = (
    ("entry_id", "CHAR(26) CHARACTER SET ascii COLLATE ascii_bin NULL"),
    ("system_name", "VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL"),
    ("actor", "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL"),
    ("delivery_id", "VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL"),
    ("request_id", "VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL"),
)
_INDEXED = ("system_id", "system_name", "module_name", "query_type", "status", "delivery_id", "created_at")


async def plan(plan: Plan) -> None:
    """Asks for all that is missing; nothing when the log is adopted already."""
    plan.make_transactional(LOGS)
    logs = plan.table(LOGS)
    if logs is not None:
        for key in logs.foreign_keys_on("system_id"):
            plan.drop_foreign_key(LOGS, key.name, "what happened outlives the system that it happened to")
    plan.modify_column(LOGS, "system_id", "some entries are about no system", nullable=True)
    plan.modify_column(LOGS, "query_type", "deliveries, mappings and changes are logged, too", type="varchar(32)")
    plan.modify_column(
        LOGS, "created_at", "times to the microsecond", type="timestamp(6)", default="CURRENT_TIMESTAMP(6)"
    )
    for column, definition in _OURS:
        plan.add_column(LOGS, column, definition, "who did what, and in which request")
    plan.add_unique(LOGS, "intertie_entry_id", ["entry_id"], "an entry that is sent twice is kept once")
    for column in _INDEXED:
        plan.add_index(LOGS, f"intertie_{column}", [column], "lists are filtered by it")
    await _plan_chain(plan)


async def _plan_chain(plan: Plan) -> None:
    """The chain's tables, the mark up to where the log was there before it, and the triggers, which come last."""
    is_new = plan.table(ORIGIN) is None
    for table in ChainTables(plan.prefix).metadata.sorted_tables:
        plan.create_table(table, "the log is chained, so that no change of it goes unseen")
    mark = f"INSERT INTO {plan.name(ORIGIN)} SELECT COALESCE(MAX(`id`), 0) FROM {plan.name(LOGS)}"
    reason = "rows up to here were in the log before there was a chain"
    if is_new:
        plan.run(mark, reason)
    else:
        await plan.run_when(f"SELECT COUNT(*) = 0 FROM {plan.name(ORIGIN)}", mark, reason)
    result = await plan.connection.exec_driver_sql(
        "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()"
    )
    present = set(result.scalars().all())
    for name, statement in triggers(plan.prefix, "mysql").items():
        if name not in present:
            plan.run(statement, "what is in the log stays as it is", may_be_refused=True)
