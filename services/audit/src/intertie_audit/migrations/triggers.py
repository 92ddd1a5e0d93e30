"""Triggers that refuse what nobody may do: change or delete links, checkpoints and entries.

An entry's payloads may be set to NULL, since retention does that; nothing else about it may change.
"""

from intertie_audit.migrations.chain_tables import CHAIN, CHECKPOINTS

LOGS = "integration_query_logs"
PAYLOADS = ("request_payload", "response_payload")
KEPT = (
    "id",
    "system_id",
    "query_type",
    "query_string",
    "response_status",
    "execution_time_ms",
    "status",
    "error_message",
    "requested_by",
    "module_name",
    "created_at",
    "entry_id",
    "system_name",
    "actor",
    "delivery_id",
    "request_id",
)
"""Columns of an entry that never change."""

_APPEND_ONLY = "is append-only: see docs/audit.md"


def triggers(prefix: str, dialect: str) -> dict[str, str]:
    """Name and statement of each trigger; `dialect`: ``sqlite``, or MySQL and MariaDB otherwise."""
    made: dict[str, str] = {}
    for table, event in ((CHAIN, "update"), (CHAIN, "delete"), (CHECKPOINTS, "update"), (CHECKPOINTS, "delete")):
        made |= _refusing(prefix, table, event, "", dialect)
    made |= _refusing(prefix, LOGS, "delete", "", dialect)
    made |= _refusing(prefix, LOGS, "update", _is_more_than_expiry(dialect), dialect)
    return made


def _refusing(prefix: str, table: str, event: str, when: str, dialect: str) -> dict[str, str]:
    name = f"{prefix}{table}_no_{event}".replace("integration_", "")
    head = f"BEFORE {event.upper()} ON {_quoted(prefix + table, dialect)} FOR EACH ROW"
    message = f"{table} {_APPEND_ONLY}"
    if dialect == "sqlite":
        condition = f" WHEN {when}" if when else ""
        body = f"{head}{condition} BEGIN SELECT RAISE(ABORT, '{message}'); END"
    else:
        signal = f"SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{message}'"
        body = f"{head} IF {when} THEN {signal}; END IF" if when else f"{head} {signal}"
    return {name: f"CREATE TRIGGER {_quoted(name, dialect)} {body}"}


def _is_more_than_expiry(dialect: str) -> str:
    if dialect == "sqlite":
        # IS is exact here: text is compared byte for byte, and a text is never a number or a blob.
        kept = " AND ".join(f"NEW.{name} IS OLD.{name} AND typeof(NEW.{name}) IS typeof(OLD.{name})" for name in KEPT)
        payloads = " AND ".join(f"(NEW.{name} IS NULL OR NEW.{name} IS OLD.{name})" for name in PAYLOADS)
    else:
        # BINARY: by its collation a text is equal to itself in other case, and with spaces at its end.
        kept = " AND ".join(f"BINARY NEW.{name} <=> BINARY OLD.{name}" for name in KEPT)
        payloads = " AND ".join(f"(NEW.{name} IS NULL OR BINARY NEW.{name} <=> BINARY OLD.{name})" for name in PAYLOADS)
    return f"NOT ({kept} AND {payloads})"


def _quoted(name: str, dialect: str) -> str:
    return f'"{name}"' if dialect == "sqlite" else f"`{name}`"
