"""The existing PHP deployment's database as its Migration 026 leaves it, with the rows and blemishes of years."""

from suite import PREFIX, mysql

TS = "TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP"
UPDATED = f"{TS} ON UPDATE CURRENT_TIMESTAMP"
STAMPS = f"created_at {TS}, updated_at {UPDATED}"
ENGINE = "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci"
QUERY_TYPES = ("select", "insert", "update", "delete", "api_get", "api_post", "api_put", "api_delete")
SUBSYSTEMS = (
    "law_enforcement",
    "traffic_transport",
    "fire_rescue",
    "emergency_response",
    "community_policing",
    "target_audience",
)


def _words(*words: str) -> str:
    return "ENUM(" + ", ".join(f"'{word}'" for word in words) + ")"


def _refers(column: str, table: str, on_delete: str = "CASCADE") -> str:
    return f"FOREIGN KEY ({column}) REFERENCES {PREFIX}{table}(id) ON DELETE {on_delete}"


def _checkpoints(singular: str, plural: str, subsystems: tuple[str, ...]) -> str:
    return f"""
        id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, {singular}_id INT UNSIGNED NOT NULL,
        subsystem_type {_words(*subsystems)} NOT NULL,
        integration_status {_words("pending", "sent", "acknowledged", "confirmed", "failed")}
            NOT NULL DEFAULT 'pending',
        sent_data JSON, received_data JSON, last_sync_at TIMESTAMP NULL, sync_attempts INT UNSIGNED NOT NULL DEFAULT 0,
        error_message TEXT, {STAMPS}, {_refers(f"{singular}_id", plural)}, INDEX idx_status (integration_status)"""


TABLES = {
    "users": "id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name VARCHAR(100) NOT NULL",
    "campaigns": f"""
        id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, title VARCHAR(200) NOT NULL, description TEXT,
        category VARCHAR(100),
        geographic_scope VARCHAR(255), location VARCHAR(255),
        status {_words("draft", "pending", "approved", "ongoing", "completed", "scheduled", "active", "archived")}
            NOT NULL DEFAULT 'draft',
        start_date DATE, end_date DATE, budget DECIMAL(12,2), staff_count INT UNSIGNED, owner_id INT UNSIGNED NOT NULL,
        {STAMPS}, {_refers("owner_id", "users", "RESTRICT")}""",
    "events": f"""
        id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, event_title VARCHAR(200) NULL, event_name VARCHAR(200) NOT NULL,
        event_type {_words("seminar", "drill", "workshop", "orientation")} NOT NULL DEFAULT 'seminar',
        event_description TEXT, description TEXT, hazard_focus VARCHAR(255), linked_campaign_id INT UNSIGNED NULL,
        date DATE, event_date DATE, start_time TIME, event_time TIME, end_time TIME, location VARCHAR(255),
        venue VARCHAR(255), venue_map_coordinates VARCHAR(255), capacity INT UNSIGNED, starts_at DATETIME NOT NULL,
        ends_at DATETIME, facilitators JSON, logistics_json JSON, materials_json JSON,
        attendance_count INT UNSIGNED NOT NULL DEFAULT 0,
        event_status {_words("planned", "ongoing", "completed", "cancelled")} NOT NULL DEFAULT 'planned',
        created_by INT UNSIGNED, {STAMPS}, last_updated {UPDATED},
        {_refers("linked_campaign_id", "campaigns", "SET NULL")}""",
    "surveys": f"""
        id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, campaign_id INT UNSIGNED NOT NULL, event_id INT UNSIGNED NULL,
        title VARCHAR(200) NOT NULL, description TEXT,
        status {_words("draft", "published", "closed")} NOT NULL DEFAULT 'draft',
        {STAMPS}, {_refers("campaign_id", "campaigns")}, {_refers("event_id", "events", "SET NULL")}""",
    "external_systems": f"""
        id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, system_name VARCHAR(100) NOT NULL UNIQUE,
        system_type {_words("database", "api", "hybrid")} NOT NULL DEFAULT 'api', display_name VARCHAR(255),
        description TEXT,
        is_active BOOLEAN NOT NULL DEFAULT TRUE, {STAMPS}""",
    "external_system_connections": f"""
        id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, system_id INT UNSIGNED NOT NULL,
        connection_type {_words("database", "api", "rest", "soap", "graphql")} NOT NULL, db_host VARCHAR(255),
        db_port INT UNSIGNED DEFAULT 3306, db_name VARCHAR(100), db_username VARCHAR(100),
        db_password VARCHAR(255) COMMENT 'Encrypted',
        db_driver {_words("mysql", "postgresql", "mssql", "oracle")} DEFAULT 'mysql',
        api_base_url VARCHAR(500),
        api_auth_type {_words("bearer", "basic", "oauth2", "apikey", "none")} DEFAULT 'bearer',
        api_auth_token TEXT COMMENT 'Encrypted', api_timeout INT UNSIGNED DEFAULT 30, config_json JSON,
        is_active BOOLEAN NOT NULL DEFAULT TRUE, last_connection_test TIMESTAMP NULL,
        connection_status {_words("connected", "disconnected", "error", "never_tested")}
            NOT NULL DEFAULT 'never_tested',
        connection_error TEXT, {STAMPS}, {_refers("system_id", "external_systems")}""",
    "external_data_mappings": f"""
        id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, system_id INT UNSIGNED NOT NULL, mapping_name VARCHAR(100) NOT NULL,
        source_table VARCHAR(100), target_table VARCHAR(100) NOT NULL, mapping_config JSON NOT NULL,
        sync_frequency {_words("realtime", "hourly", "daily", "weekly", "manual")} NOT NULL DEFAULT 'manual',
        last_sync_at TIMESTAMP NULL, next_sync_at TIMESTAMP NULL, is_active BOOLEAN NOT NULL DEFAULT TRUE, {STAMPS},
        {_refers("system_id", "external_systems")}""",
    "external_data_cache": f"""
        id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, system_id INT UNSIGNED NOT NULL,
        mapping_id INT UNSIGNED NOT NULL,
        external_id VARCHAR(255) NOT NULL, local_id INT UNSIGNED, data_json JSON NOT NULL,
        sync_status {_words("pending", "synced", "error", "outdated")} NOT NULL DEFAULT 'pending', sync_error TEXT,
        last_synced_at TIMESTAMP NULL, expires_at TIMESTAMP NULL, {STAMPS},
        UNIQUE KEY unique_external_record (system_id, external_id, mapping_id), INDEX idx_sync_status (sync_status),
        INDEX idx_mapping (mapping_id), INDEX idx_expires (expires_at), {_refers("system_id", "external_systems")},
        {_refers("mapping_id", "external_data_mappings")}""",
    "integration_query_logs": f"""
        id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, system_id INT UNSIGNED NOT NULL,
        query_type {_words(*QUERY_TYPES)}
            NOT NULL,
        query_string TEXT, request_payload JSON, response_payload JSON, response_status INT UNSIGNED,
        execution_time_ms INT UNSIGNED, status {_words("success", "error", "timeout")} NOT NULL, error_message TEXT,
        requested_by INT UNSIGNED, module_name VARCHAR(100), created_at {TS}, INDEX idx_system (system_id),
        {_refers("system_id", "external_systems")}""",
    "module_system_mappings": f"""
        id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, module_name VARCHAR(100) NOT NULL, system_id INT UNSIGNED NOT NULL,
        access_type {_words("read", "write", "read_write")} NOT NULL DEFAULT 'read', query_permissions JSON,
        is_active BOOLEAN NOT NULL DEFAULT TRUE, {STAMPS}, UNIQUE KEY unique_module_system (module_name, system_id),
        {_refers("system_id", "external_systems")}""",
    "event_integration_checkpoints": _checkpoints("event", "events", SUBSYSTEMS),
    "survey_integration_checkpoints": _checkpoints(
        "survey", "surveys", ("event_management", "disaster_preparedness", "community_policing", "emergency_response")
    ),
}
CACHED = """{"id": "old-%d", "title": "Old", "date": "2024-01-0%d"}"""
ROWS = (
    "INSERT INTO {p}users (name) VALUES ('owner')",
    "INSERT INTO {p}campaigns (title, owner_id) VALUES ('Safety month', 1)",
    "INSERT INTO {p}events (event_title, event_name, starts_at) VALUES ('Drill', 'Drill', '2024-05-01 09:00:00')",
    "INSERT INTO {p}surveys (campaign_id, title) VALUES (1, 'How was it?')",
    "INSERT INTO {p}external_systems (system_name, display_name, system_type) VALUES "
    + ", ".join(
        f"('{name}', '{name}', '{'database' if name == 'target_audience' else 'hybrid'}')" for name in SUBSYSTEMS
    ),
    "INSERT INTO {p}external_system_connections (system_id, connection_type, api_base_url, api_auth_token) "
    "VALUES (1, 'api', 'https://police.example.org', 'clear text')",
    "INSERT INTO {p}external_data_mappings (system_id, mapping_name, target_table, mapping_config) VALUES "
    """(1, 'incidents', '{p}events', '{{"field_mappings": {{"title": "event_title"}}}}'), """
    """(1, 'incidents', '{p}events', '{{"field_mappings": {{"title": "event_title", "date": "date"}}}}')""",
    f"INSERT INTO {{p}}external_data_cache (system_id, mapping_id, external_id, data_json) VALUES "
    f"(1, 1, 'old-1', '{(CACHED % (1, 1)).replace('{', '{{').replace('}', '}}')}'), "
    f"(2, 1, 'old-2', '{(CACHED % (2, 2)).replace('{', '{{').replace('}', '}}')}')",
    "INSERT INTO {p}external_data_cache (system_id, mapping_id, external_id, data_json, sync_status, last_synced_at, "
    """expires_at) VALUES (1, 1, 'old-3', '{{"id": "old-3"}}', 'synced', NOW(), NOW() + INTERVAL 1 HOUR)""",
    "INSERT INTO {p}integration_query_logs (system_id, query_type, query_string, status, requested_by, "
    "module_name) VALUES "
    "(1, 'select', 'SELECT 1', 'success', 1, 'events'), (1, 'api_get', '/incidents', 'error', 1, 'events')",
    "INSERT INTO {p}module_system_mappings (module_name, system_id, access_type) VALUES ('events', 1, 'read_write')",
    "INSERT INTO {p}event_integration_checkpoints (event_id, subsystem_type, integration_status) VALUES "
    "(1, 'law_enforcement', 'sent'), (1, 'law_enforcement', 'confirmed'), (1, 'fire_rescue', 'pending')",
    "INSERT INTO {p}survey_integration_checkpoints (survey_id, subsystem_type) VALUES "
    "(1, 'emergency_response'), (1, 'emergency_response')",
)


def build(database_url: str) -> None:
    """Create the tables in an empty database and fill them."""
    with mysql(database_url) as connection, connection.cursor() as cursor:
        for table, columns in TABLES.items():
            cursor.execute(f"CREATE TABLE {PREFIX}{table} ({columns}) {ENGINE}")
        for statement in ROWS:
            cursor.execute(statement.format(p=PREFIX))


def php_inserts(database_url: str, *, mapping_id: int, event_id: int) -> None:
    """Insert as the PHP application does: no column that it does not know, and duplicates where it makes them."""
    with mysql(database_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {PREFIX}external_data_cache (system_id, mapping_id, external_id, data_json, sync_status) "
            "VALUES (1, %s, 'php-1', %s, 'pending') "
            "ON DUPLICATE KEY UPDATE data_json = VALUES(data_json), sync_status = 'pending'",
            (mapping_id, '{"id": "php-1", "title": "From PHP", "date": "2025-03-01"}'),
        )
        cursor.execute(
            f"INSERT INTO {PREFIX}integration_query_logs (system_id, query_type, query_string, status, requested_by) "
            "VALUES (1, 'api_get', '/incidents from PHP', 'success', 1)"
        )
        cursor.execute(
            f"INSERT INTO {PREFIX}external_systems (system_name, display_name) VALUES ('from_php', 'From PHP')"
        )
        for _ in range(2):
            cursor.execute(
                f"INSERT INTO {PREFIX}event_integration_checkpoints (event_id, subsystem_type, integration_status) "
                "VALUES (%s, 'fire_rescue', 'sent')",
                (event_id,),
            )
