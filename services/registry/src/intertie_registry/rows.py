"""A row of the database as a value of the model, whatever SQL wrote into it.

SQLite keeps a text in a number's column if asked to, and older MySQL an empty text for an unknown ENUM word: nothing
here fails for that. A flag that is no number is off, a number that is none is 0; words stay as they are, for consumers
to refuse.
"""

import collections.abc
from datetime import datetime
from typing import Any

from intertie_registry.model import Connection, Grant, Mapping, System
from intertie_registry.ticks import Schedule

#: by the columns' names; SQLAlchemy's key type is its own
Row = collections.abc.Mapping[Any, Any]

_MOST = 2**32 - 1


def system(row: Row) -> System:
    """A row of external_systems."""
    return System(
        id=row["id"],
        system_name=text(row["system_name"]),
        display_name=text(row["display_name"]),
        system_type=text(row["system_type"]),
        description=text(row["description"]),
        is_active=flag(row["is_active"]),
        created_at=_time(row["created_at"]),
        updated_at=_time(row["updated_at"]),
    )


def connection(row: Row) -> Connection:
    """A row of external_system_connections, with the system's name as `system` where it was selected."""
    return Connection(
        id=row["id"],
        system_id=row["system_id"],
        system=text(row.get("system")),
        connection_type=text(row["connection_type"]),
        db_host=text(row["db_host"]),
        db_port=_number(row["db_port"]),
        db_name=text(row["db_name"]),
        db_username=text(row["db_username"]),
        db_password=text(row["db_password"]),
        db_driver=text(row["db_driver"]),
        api_base_url=text(row["api_base_url"]),
        api_auth_type=text(row["api_auth_type"]),
        api_auth_token=text(row["api_auth_token"]),
        api_timeout=_number(row["api_timeout"]),
        config_json=text(row["config_json"]),
        is_active=flag(row["is_active"]),
        last_connection_test=_time(row["last_connection_test"]),
        connection_status=text(row["connection_status"]),
        connection_error=text(row["connection_error"]),
        created_at=_time(row["created_at"]),
        updated_at=_time(row["updated_at"]),
    )


def mapping(row: Row) -> Mapping:
    """A row of external_data_mappings, with the system's name as `system` where it was selected."""
    return Mapping(
        id=row["id"],
        system_id=row["system_id"],
        system=text(row.get("system")),
        mapping_name=text(row["mapping_name"]),
        source_table=text(row["source_table"]),
        target_table=text(row["target_table"]),
        mapping_config=text(row["mapping_config"]),
        sync_frequency=text(row["sync_frequency"]),
        last_sync_at=_time(row["last_sync_at"]),
        next_sync_at=_time(row["next_sync_at"]),
        is_active=flag(row["is_active"]),
        created_at=_time(row["created_at"]),
        updated_at=_time(row["updated_at"]),
    )


#: the columns that `schedule` reads; the others may be long
SCHEDULE = (
    "id",
    "system_id",
    "mapping_name",
    "sync_frequency",
    "next_sync_at",
    "created_at",
    "updated_at",
    "is_active",
)


def schedule(row: Row) -> Schedule:
    """What the columns SCHEDULE of a row of external_data_mappings say about when it syncs."""
    return Schedule(
        mapping_id=row["id"],
        system_id=row["system_id"],
        frequency=text(row["sync_frequency"]),
        next_at=_time(row["next_sync_at"]),
        changed_at=_time(row["updated_at"]) or _time(row["created_at"]),
    )


def grant(row: Row) -> Grant:
    """A row of module_system_mappings, with the system's name as `system` where it was selected."""
    return Grant(
        id=row["id"],
        system_id=row["system_id"],
        system=text(row.get("system")),
        module_name=text(row["module_name"]),
        access_type=text(row["access_type"]),
        query_permissions=text(row["query_permissions"]),
        is_active=flag(row["is_active"]),
        expires_at=row["expires_at"],
        created_at=_time(row["created_at"]),
        updated_at=_time(row["updated_at"]),
    )


def text(value: Any) -> str:
    """What a column of texts holds; empty for NULL."""
    if value is None:
        return ""
    found = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    # Half a surrogate pair cannot be sent on; SQLite's json functions can make one.
    return found.encode("utf-8", "replace").decode()


def _number(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value <= _MOST else 0


def flag(value: Any) -> bool:
    """Whether what a column holds means yes."""
    return isinstance(value, int) and value != 0


def _time(value: Any) -> datetime | None:
    return value if isinstance(value, datetime) and value.year >= 1970 else None
