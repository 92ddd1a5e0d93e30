"""The two views that the existing PHP application reads, as it has them."""

ACTIVE = "v_active_integrations"
MODULE = "v_module_integrations"


def statements(prefix: str) -> dict[str, str]:
    """The SELECT of each view, by the view's name; the same SQL on MySQL, MariaDB and SQLite.

    What a view says of "the connection" is the system's first active one, as everywhere in the suite.
    """
    systems, connections = f"{prefix}external_systems", f"{prefix}external_system_connections"
    mappings, grants = f"{prefix}external_data_mappings", f"{prefix}module_system_mappings"
    first = f"(SELECT MIN(f.id) FROM {connections} f WHERE f.system_id = s.id AND f.is_active = 1)"
    active_mappings = f"(SELECT COUNT(*) FROM {mappings} m WHERE m.system_id = s.id AND m.is_active = 1)"
    return {
        f"{prefix}{ACTIVE}": (
            "SELECT s.id AS system_id, s.system_name, s.display_name, s.system_type, "
            "c.connection_type, c.connection_status, c.last_connection_test, "
            f"{active_mappings} AS mapping_count, "
            f"(SELECT COUNT(*) FROM {grants} g WHERE g.system_id = s.id AND g.is_active = 1) AS module_count "
            f"FROM {systems} s LEFT JOIN {connections} c ON c.id = {first} WHERE s.is_active = 1"
        ),
        f"{prefix}{MODULE}": (
            "SELECT g.module_name, s.id AS system_id, s.system_name, s.display_name, s.system_type, g.access_type, "
            f"{active_mappings} AS mapping_count, c.connection_status "
            f"FROM {grants} g JOIN {systems} s ON s.id = g.system_id "
            f"LEFT JOIN {connections} c ON c.id = {first} WHERE g.is_active = 1 AND s.is_active = 1"
        ),
    }
