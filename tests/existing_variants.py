"""The existing deployment as other people built it: the same tables with other engines, texts, keys and additions."""

from collections.abc import Sequence
from typing import Any

from existing_deployment import TABLES, build
from suite import PREFIX, mysql

OURS = (
    "external_systems",
    "external_system_connections",
    "external_data_mappings",
    "external_data_cache",
    "integration_query_logs",
    "module_system_mappings",
    "event_integration_checkpoints",
    "survey_integration_checkpoints",
)
_WITHOUT_KEYS = "SELECT TABLE_NAME AS t, CONSTRAINT_NAME AS name FROM information_schema.REFERENTIAL_CONSTRAINTS " \
    "WHERE CONSTRAINT_SCHEMA = DATABASE()"  # fmt: skip
_ADDITIONS = (
    "ALTER TABLE {p}external_systems ADD COLUMN contact VARCHAR(255) NOT NULL DEFAULT 'nobody''s', "
    "ADD COLUMN `odd name` INT AS (id + 1) VIRTUAL",
    "ALTER TABLE {p}external_data_cache ADD COLUMN note VARCHAR(50) DEFAULT 'x' AFTER external_id, "
    "ADD COLUMN folded VARCHAR(255) AS (UPPER(external_id)) STORED, RENAME INDEX idx_sync_status TO by_status, "
    "RENAME INDEX unique_external_record TO record",
    "ALTER TABLE {p}integration_query_logs ADD COLUMN ip VARCHAR(45) NULL, MODIFY created_at TIMESTAMP NULL "
    "DEFAULT CURRENT_TIMESTAMP COMMENT 'it''s when'",
    "ALTER TABLE {p}event_integration_checkpoints ADD COLUMN reviewer INT UNSIGNED NULL",
    "CREATE TABLE {p}notes (id INT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(255))",
    "CREATE TRIGGER {p}noted AFTER INSERT ON {p}external_data_cache FOR EACH ROW "
    "INSERT INTO {p}notes (what) VALUES (NEW.external_id)",
    "CREATE VIEW v_active_integrations AS SELECT id FROM {p}external_systems",
    "CREATE VIEW {p}v_module_integrations AS SELECT id FROM {p}module_system_mappings",
)
VARIANTS: dict[str, Sequence[str]] = {
    "additions": _ADDITIONS,
    "without_foreign_keys": ("without keys",),
    "without_surveys": ("DROP TABLE {p}survey_integration_checkpoints", "DROP TABLE {p}surveys"),
    "three_byte_utf8": (
        "without keys",
        *(f"ALTER TABLE {{p}}{table} CONVERT TO CHARACTER SET utf8mb3 COLLATE utf8mb3_general_ci" for table in OURS),
    ),
    "myisam": ("without keys", *(f"ALTER TABLE {{p}}{table} ENGINE = MyISAM" for table in OURS)),
}


def build_variant(database_url: str, name: str) -> None:
    """Create and fill the tables in an empty database whose default character set may be any."""
    build(database_url)
    with mysql(database_url) as connection, connection.cursor() as cursor:
        for statement in VARIANTS[name]:
            if statement == "without keys":
                cursor.execute(_WITHOUT_KEYS)
                for key in cursor.fetchall():
                    cursor.execute(f"ALTER TABLE {key['t']} DROP FOREIGN KEY `{key['name']}`")
            else:
                cursor.execute(statement.format(p=PREFIX))


def contents(database_url: str, columns: dict[str, list[str]] | None = None) -> dict[str, Any]:
    """Every row of every table that the deployment came with, as bytes; `columns` says which, else all."""
    found = {}
    with mysql(database_url) as connection, connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute("SHOW TABLES LIKE %s", [PREFIX + table])
            if not cursor.fetchall():
                continue
            wanted = (columns or {}).get(table) or columns_of(database_url, table)
            read = ", ".join(f"HEX(CONVERT(`{column}` USING utf8mb4)) AS `{column}`" for column in wanted)
            cursor.execute(f"SELECT {read} FROM {PREFIX}{table} ORDER BY id")
            found[table] = cursor.fetchall()
    return found


def columns_of(database_url: str, table: str) -> list[str]:
    """The names of a table's columns, in their order."""
    with mysql(database_url) as connection, connection.cursor() as cursor:
        cursor.execute(f"SHOW COLUMNS FROM {PREFIX}{table}")
        return [str(row["Field"]) for row in cursor.fetchall()]


def definitions(database_url: str) -> dict[str, str]:
    """How the database defines each of its tables, without the counters and the order of the keys."""
    found = {}
    with mysql(database_url) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW FULL TABLES WHERE Table_type = 'BASE TABLE'")
        for row in cursor.fetchall():
            name = str(next(iter(row.values())))
            cursor.execute(f"SHOW CREATE TABLE `{name}`")
            lines = cursor.fetchall()[0]["Create Table"].partition(" AUTO_INCREMENT=")[0].split("\n")
            found[name] = "\n".join(sorted(line.rstrip(",") for line in lines))
    return found
