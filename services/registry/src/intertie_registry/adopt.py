"""What the existing deployment's tables need to become the registry's: see docs/adopting.md.

Types and defaults stay, so that the PHP application's statements stay legal; a mapping's name becomes unique in its
system.
"""

from sqlalchemy import text

from intertie_chassis.adoption import Plan, literal
from intertie_mapping import documents
from intertie_registry.adoption_store import remark
from intertie_registry.discrepancies import Discrepancy
from intertie_registry.migrations import views
from intertie_registry.tables import Tables

_LONGEST_NAME = 100
_KINDS = {
    "system": ("external_systems", "id", "system_name"),
    "connection": ("external_system_connections", "system_id", "connection_type"),
    "mapping": ("external_data_mappings", "system_id", "mapping_name"),
    "grant": ("module_system_mappings", "system_id", "module_name"),
}


async def adopt(plan: Plan) -> None:
    """Plan what is missing. Raises FailedPrecondition when a table is."""
    plan.require(*(table for table, _, _ in _KINDS.values()))
    plan.make_transactional(*(table for table, _, _ in _KINDS.values()))
    _widen_driver(plan)
    await _number_duplicates(plan)
    plan.add_unique(
        "external_data_mappings",
        f"{plan.prefix}system_mapping",
        ["system_id", "mapping_name"],
        "a push names its mapping, so the name must say which",
    )
    plan.add_column("module_system_mappings", "expires_at", "TIMESTAMP NULL", "a grant may end by itself")
    reason = (
        "what is there stays in clear text, but what is written through the suite is sealed, which is longer: set "
        "INTERTIE_SECRETS_SEALING=off for as long as another application reads this column"
    )
    plan.modify_column("external_system_connections", "db_password", reason, type="text")
    plan.modify_column("external_system_connections", "api_auth_token", reason, type="mediumtext")
    tables = Tables.of(plan.prefix)
    is_new = plan.table("registry_digests") is None
    plan.create_table(tables.digests, "by its digest a configuration that SQL changed is told from one that a call did")
    plan.create_table(tables.outbox, "what audit is to hear of a change is written with the change")
    plan.create_table(tables.secret_keys, "a sealing key is told from another one of the same id")
    if is_new:
        for kind, (table, system, title) in _KINDS.items():
            plan.run(
                f"INSERT INTO {plan.name('registry_digests')} (kind, part_id, system_id, title, digest) "
                f"SELECT '{kind}', id, `{system}`, `{title}`, '{Discrepancy.ADOPTED}' FROM {plan.name(table)}",
                f"the {kind}s that are there are no news for the audit log",
            )
    for name, select in views.statements(plan.prefix).items():
        if not await _has_view(plan, name):
            plan.run(f"CREATE VIEW `{name}` AS {select}", "the PHP application reads this view")
    await remark(plan, is_first=is_new)


def _widen_driver(plan: Plan) -> None:
    """Plan the word `sqlite` behind those that db_driver takes, if it is an ENUM without it."""
    table = plan.table("external_system_connections")
    words = table.columns["db_driver"].type if table is not None else ""
    if words.startswith("enum(") and "'sqlite'" not in words:
        reason = "connections to SQLite files become possible"
        plan.modify_column("external_system_connections", "db_driver", reason, type=f"{words[:-1]},'sqlite')")


async def _number_duplicates(plan: Plan) -> None:
    """Plan new names for all but the newest of the mappings that have the same name in a system.

    The newest keeps it, since that is the one that was last meant. Equal is what the column's collation takes as equal.
    """
    table = plan.name("external_data_mappings")
    same = text(
        f"SELECT old.id, old.system_id, old.mapping_name FROM {table} old WHERE EXISTS (SELECT 1 FROM {table} newer "
        "WHERE newer.system_id = old.system_id AND newer.mapping_name = old.mapping_name AND newer.id > old.id) "
        "ORDER BY old.id DESC"
    )
    older = (await plan.connection.execute(same)).all()
    if not older:
        return
    rows = await plan.connection.execute(text(f"SELECT system_id, mapping_name FROM {table}"))
    # Folded: a name that differs in case only may clash too, and a number more does no harm.
    taken = {(row.system_id, row.mapping_name.casefold()) for row in rows}
    for row in older:
        number = 1
        while (row.system_id, (name := _numbered(row.mapping_name, number)).casefold()) in taken:
            number += 1
        taken.add((row.system_id, name.casefold()))
        plan.run(
            f"UPDATE {table} SET mapping_name = {literal(name)}, updated_at = updated_at WHERE id = {int(row.id)}",
            f"a newer mapping of the same system has the name {documents.serialise(row.mapping_name)}",
        )


def _numbered(name: str, number: int) -> str:
    suffix = f" ({number})"
    return name[: _LONGEST_NAME - len(suffix)] + suffix


async def _has_view(plan: Plan, name: str) -> bool:
    query = text("SELECT COUNT(*) FROM information_schema.views WHERE table_schema = DATABASE() AND table_name = :name")
    return bool(await plan.connection.scalar(query, {"name": name}))
