"""What the existing deployment's tables need to become mapper's: every row stays, and PHP's own inserts stay legal.

The modules' tables are never altered. Every checkpoint table is taken over, also those of modules that are not named
here: a table whose name ends in `_integration_checkpoints`, with the columns that such a table has.
"""

from sqlalchemy import text

from intertie_chassis.adoption import Plan, quote
from intertie_mapper import tables

_ENDING = "_integration_checkpoints"
_NEEDED = {
    "id",
    "subsystem_type",
    "integration_status",
    "received_data",
    "last_sync_at",
    "sync_attempts",
    "error_message",
}


async def plan(plan: Plan) -> None:
    """Asks for all that is missing; nothing when the tables are adopted already."""
    for singular, plural in tables.CHECKPOINTS.items():
        _create(plan, singular, plural)
    for name in await _checkpoint_tables(plan):
        await _adopt_checkpoints(plan, name)
    plan.create_table(
        tables.links(plan.prefix, is_mariadb=plan.is_mariadb), "which row came from which external record is kept here"
    )
    plan.create_table(tables.outbox(plan.prefix), "what audit is to hear of a batch is written with the batch")


def _create(plan: Plan, singular: str, plural: str) -> None:
    """A checkpoint table that is missing, where the module's table has the key that it refers to."""
    module = plan.table(plural)
    key = module.columns.get("id") if module is not None else None
    if key is not None and key.type.lower().startswith("int") and "unsigned" in key.type.lower():
        plan.create_table(
            tables.checkpoints(plan.prefix, singular, embedded=False),
            f"how the exchange of {plural} stands is kept here",
        )


async def _checkpoint_tables(plan: Plan) -> list[str]:
    """The names, without prefix, of all checkpoint tables that are there."""
    query = text(
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() "
        "AND TABLE_TYPE = 'BASE TABLE' AND LEFT(TABLE_NAME, CHAR_LENGTH(:prefix)) = :prefix "
        "AND RIGHT(TABLE_NAME, CHAR_LENGTH(:ending)) = :ending ORDER BY TABLE_NAME"
    )
    found = await plan.connection.scalars(query, {"prefix": plan.prefix, "ending": _ENDING})
    return [str(name).removeprefix(plan.prefix) for name in found.all()]


async def _adopt_checkpoints(plan: Plan, name: str) -> None:
    table = plan.table(name)
    row_column = f"{name.removesuffix(_ENDING)}_id"
    if table is None or not {row_column, *_NEEDED} <= set(table.columns):
        return
    plan.make_transactional(name)
    plan.modify_column(
        name, "subsystem_type", "any system may be joined, not only those that were thought of", type="varchar(100)"
    )
    is_new = plan.add_column(
        name,
        "system_id",
        "INT UNSIGNED NULL",
        "our rows have a key; PHP's inserts leave it empty",
        after="subsystem_type",
    )
    await _name_systems(plan, name, row_column, is_new=is_new)
    plan.add_unique(
        name, f"{plan.prefix}{name.removesuffix(_ENDING)}_checkpoint_system", [row_column, "system_id"],
        "a row and a system have one checkpoint",
    )  # fmt: skip
    plan.add_index(
        name,
        f"{plan.prefix}{name.removesuffix(_ENDING)}_checkpoint_updated",
        ["updated_at", "id"],
        "lists give the newest first",
    )


async def _name_systems(plan: Plan, name: str, row_column: str, *, is_new: bool) -> None:
    """The newest row of each target row and registered system gets the system's number, unless one has it already."""
    if plan.table("external_systems") is None:
        return  # registry has a database of its own: the first exchange makes a row beside the old ones
    checkpoints, systems, row = plan.name(name), plan.name("external_systems"), quote(row_column)
    exact = (
        "CONVERT({} USING utf8mb4) COLLATE utf8mb4_bin"  # whatever the columns' own collations, they can be compared
    )
    same = f"{exact.format('s.system_name')} = {exact.format('c.subsystem_type')}"
    newest = f"(SELECT MAX(id) AS id FROM {checkpoints} GROUP BY {row}, subsystem_type)"
    if is_new:
        free, probed = "", f"SELECT 1 FROM {checkpoints} c JOIN {systems} s ON {same} LIMIT 1"
    else:
        held = f"(SELECT {row}, system_id FROM {checkpoints} WHERE system_id IS NOT NULL)"
        free = f" LEFT JOIN {held} h ON h.{row} = c.{row} AND h.system_id = s.id"
        probed = (
            f"SELECT 1 FROM {checkpoints} c JOIN {newest} n ON n.id = c.id JOIN {systems} s ON {same}{free} "
            "WHERE c.system_id IS NULL AND h.system_id IS NULL LIMIT 1"
        )
    where = "c.system_id IS NULL AND h.system_id IS NULL" if free else "c.system_id IS NULL"
    await plan.run_when(
        probed,
        f"UPDATE {checkpoints} c JOIN {newest} n ON n.id = c.id JOIN {systems} s ON {same}{free} "
        f"SET c.system_id = s.id, c.updated_at = c.updated_at WHERE {where}",
        "the newest state of each row and system is the one that goes on; older ones stay as history",
    )
