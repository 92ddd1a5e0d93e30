"""What may be written of systems, connections, mappings and grants: each field, and what it is when left out.

The names are the contracts'. Of a connection `name` is ours: connections have none there, and one is kept as a member
of config_json.
"""

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["system", "connection", "mapping", "grant"]
#: in the order in which they are made: each needs those before it
KINDS: tuple[Kind, ...] = ("system", "connection", "mapping", "grant")
SECTIONS: dict[str, Kind] = {"systems": "system", "connections": "connection", "mappings": "mapping", "grants": "grant"}

Form = Literal["name", "text", "secret", "word", "whole", "flag", "object", "permissions", "time"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a kind."""

    name: str
    form: Form
    about: str
    #: what it is when it is left out
    default: Any = None
    is_needed: bool = False
    words: tuple[str, ...] = ()
    #: of a text its characters, of a number its value
    most: int | None = None


_ACTIVE = "false switches it off, and keeps it"

FIELDS: dict[Kind, tuple[Field, ...]] = {
    "system": (
        Field("system_name", "name", "The name by which senders address it.", is_needed=True),
        Field("display_name", "text", "The name for people.", "", most=255),
        Field("system_type", "word", "What it is.", "api", words=("database", "api", "hybrid")),
        Field("description", "text", "What the system is.", ""),
        Field("is_active", "flag", f"Whether it may deliver and be queried; {_ACTIVE}.", True),
    ),
    "connection": (
        Field("system", "name", "The name of the system.", is_needed=True),
        Field("name", "name", "The connection's name, unique in the system.", is_needed=True),
        Field(
            "connection_type",
            "word",
            "How the system is reached.",
            is_needed=True,
            words=("database", "api", "rest", "soap", "graphql"),
        ),
        Field(
            "db_driver",
            "word",
            "The kind of database.",
            "mysql",
            words=("mysql", "postgresql", "sqlite", "mssql", "oracle"),
        ),
        Field("db_host", "text", "Host of the database.", "", most=255),
        Field("db_port", "whole", "Port of the database; 0: the usual one.", 0, most=65535),
        Field("db_name", "text", "Name of the database; for SQLite the path of its file.", "", most=100),
        Field("db_username", "text", "User of the database.", "", most=100),
        Field("db_password", "secret", "Password of the database.", most=255),
        Field("api_base_url", "text", "URL that API endpoints are joined to.", "", most=500),
        Field(
            "api_auth_type",
            "word",
            "How the API knows who calls.",
            "bearer",
            words=("bearer", "basic", "oauth2", "apikey", "none"),
        ),
        Field("api_auth_token", "secret", "Credential for the API."),
        Field("api_timeout", "whole", "Seconds that an API may take.", 30, most=3600),
        Field("config_json", "object", "How deliveries are verified, and how the system is reached.", None),
        Field("is_active", "flag", f"Whether it is used; {_ACTIVE}.", True),
    ),
    "mapping": (
        Field("system", "name", "The name of the system.", is_needed=True),
        Field("mapping_name", "name", "The name by which a push asks for it, unique in the system.", is_needed=True),
        Field("target_table", "name", "The table that the rows go into, with its prefix.", is_needed=True),
        Field("source_table", "text", "The table or endpoint that a sync reads.", "", most=100),
        Field(
            "sync_frequency",
            "word",
            "When its records are released, and its source is read.",
            "manual",
            words=("realtime", "hourly", "daily", "weekly", "manual"),
        ),
        Field("mapping_config", "object", "What a record becomes: the mapping language.", is_needed=True),
        Field("is_active", "flag", f"Whether it takes records; {_ACTIVE}.", True),
    ),
    "grant": (
        Field("module_name", "name", "The module.", is_needed=True),
        Field("system", "name", "The name of the system.", is_needed=True),
        Field("access_type", "word", "What it may do.", "read", words=("read", "write", "read_write")),
        Field("query_permissions", "permissions", "Which queries and endpoints; left out: all.", None),
        Field("expires_at", "time", "When it ends, such as 2027-01-31T12:00:00Z; left out: never.", None),
        Field("is_active", "flag", f"Whether it holds; {_ACTIVE}.", True),
    ),
}

#: the fields by which a part is known
IDENTITY: dict[Kind, tuple[str, ...]] = {
    "system": ("system_name",),
    "connection": ("system", "name"),
    "mapping": ("system", "mapping_name"),
    "grant": ("module_name", "system"),
}
SECRETS = ("db_password", "api_auth_token")


def compared(kind: Kind) -> tuple[Field, ...]:
    """The fields of a kind that can change and be seen: neither its identity nor its credentials."""
    return tuple(each for each in FIELDS[kind] if each.name not in IDENTITY[kind] and each.form != "secret")
