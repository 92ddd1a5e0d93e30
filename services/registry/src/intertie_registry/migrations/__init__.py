"""The schema of the registry, revision by revision."""

from intertie_chassis.migrations import Migrations

#: the tables that an existing deployment may hold
OWN_TABLES = (
    "external_systems",
    "external_system_connections",
    "external_data_mappings",
    "module_system_mappings",
)

MIGRATIONS = Migrations("registry", "intertie_registry.migrations", OWN_TABLES)
