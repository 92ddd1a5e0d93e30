"""What the registry keeps, as plain values: systems with their connections, mappings and grants.

An empty text stands for NULL, 0 for a number that is not given. What SQL wrote comes as it is, valid or not; whoever
acts on a value checks it. Fields that services report (times, test results) take no part in comparison: two values are
equal when they configure the same.
"""

import collections.abc
import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal

SYSTEM_TYPES = ("database", "api", "hybrid")
CONNECTION_TYPES = ("database", "api", "rest", "soap", "graphql")
DB_DRIVERS = ("mysql", "postgresql", "sqlite", "mssql", "oracle")
API_AUTH_TYPES = ("bearer", "basic", "oauth2", "apikey", "none")
CONNECTION_STATES = ("connected", "disconnected", "error", "never_tested")
SYNC_FREQUENCIES = ("realtime", "hourly", "daily", "weekly", "manual")
ACCESS_TYPES = ("read", "write", "read_write")

Kind = Literal["system", "connection", "mapping", "grant"]

#: marks a field that watchers are to hear of and that nobody writes
_NO_CONFIGURATION = {"configures": False}


@dataclass(frozen=True, slots=True)
class System:
    """An external system."""

    kind: ClassVar[Kind] = "system"
    id: int
    system_name: str
    display_name: str = ""
    system_type: str = "api"
    description: str = ""
    is_active: bool = True
    created_at: datetime | None = field(default=None, compare=False)
    updated_at: datetime | None = field(default=None, compare=False)

    @property
    def system_id(self) -> int:
        """The system's number, under the name that its parts have it."""
        return self.id

    @property
    def title(self) -> str:
        """Its name, for the audit log."""
        return self.system_name


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A credential of a connection that stands sealed in its row and cannot be opened."""

    #: where it stands: see `credential_places`
    path: tuple[str | int, ...]
    #: the sealed text, which takes the credential's place until somebody sets it anew
    stored: str = field(repr=False)
    problem: str
    #: whether it may open once another key is there, which another replica may have
    is_key_missing: bool = False


@dataclass(frozen=True, slots=True)
class Connection:
    """One way to reach a system, and how what it sends is verified."""

    kind: ClassVar[Kind] = "connection"
    id: int
    system_id: int
    connection_type: str
    db_host: str = ""
    db_port: int = 0
    db_name: str = ""
    db_username: str = ""
    db_password: str = field(default="", repr=False)
    db_driver: str = "mysql"
    api_base_url: str = ""
    api_auth_type: str = "bearer"
    api_auth_token: str = field(default="", repr=False)
    api_timeout: int = 30
    #: as stored, a JSON object when all is well; empty for NULL
    config_json: str = field(default="", repr=False)
    is_active: bool = True
    #: the credentials that could not be opened; they count as not set, see `Credentials.usable`
    unreadable: tuple[Unreadable, ...] = field(default=(), metadata=_NO_CONFIGURATION)
    #: the digest of the row where credentials stand sealed in it; empty where the row is as this is
    stored_digest: str = field(default="", compare=False, repr=False)
    last_connection_test: datetime | None = field(default=None, compare=False)
    connection_status: str = field(default="never_tested", compare=False)
    connection_error: str = field(default="", compare=False)
    created_at: datetime | None = field(default=None, compare=False)
    updated_at: datetime | None = field(default=None, compare=False)
    #: the system's name; where it is not needed, empty
    system: str = field(default="", compare=False)

    @property
    def title(self) -> str:
        """What it is, for the audit log."""
        return self.connection_type


@dataclass(frozen=True, slots=True)
class Mapping:
    """How the records of a system become rows of a table."""

    kind: ClassVar[Kind] = "mapping"
    id: int
    system_id: int
    mapping_name: str
    target_table: str
    #: as stored, a JSON object when all is well
    mapping_config: str
    source_table: str = ""
    sync_frequency: str = "manual"
    is_active: bool = True
    last_sync_at: datetime | None = field(default=None, compare=False)
    next_sync_at: datetime | None = field(default=None, compare=False)
    created_at: datetime | None = field(default=None, compare=False)
    updated_at: datetime | None = field(default=None, compare=False)
    system: str = field(default="", compare=False)

    @property
    def title(self) -> str:
        """Its name, for the audit log."""
        return self.mapping_name


@dataclass(frozen=True, slots=True)
class Grant:
    """What a module may do with a system."""

    kind: ClassVar[Kind] = "grant"
    id: int
    system_id: int
    module_name: str
    access_type: str = "read"
    #: as stored, a JSON object when all is well; empty for NULL: everything
    query_permissions: str = ""
    is_active: bool = True
    #: naive, UTC, to the second; None: it does not end
    expires_at: datetime | None = None
    created_at: datetime | None = field(default=None, compare=False)
    updated_at: datetime | None = field(default=None, compare=False)
    system: str = field(default="", compare=False)

    @property
    def title(self) -> str:
        """The module, for the audit log."""
        return self.module_name

    def has_ended(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and self.expires_at <= now

    def covers(self, access: str) -> bool:
        """Whether it allows ``read`` or ``write``. A word that is none of ours allows nothing."""
        return self.is_active and self.access_type in (access, "read_write")


Part = System | Connection | Mapping | Grant


@dataclass(frozen=True, slots=True)
class SystemImage:
    """A system with all that belongs to it, each kind ordered by id."""

    system: System
    connections: tuple[Connection, ...] = ()
    mappings: tuple[Mapping, ...] = ()
    grants: tuple[Grant, ...] = ()

    def parts(self) -> tuple[Part, ...]:
        """The system and everything in it, each on its own."""
        return (self.system, *self.connections, *self.mappings, *self.grants)


@dataclass(frozen=True, slots=True)
class ModuleSystem:
    """An active system as one module sees it."""

    system_name: str
    display_name: str
    system_type: str
    access_type: str
    #: state of the system's first active connection; empty when it has none
    connection_status: str


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes something, and in which call."""

    subject: str
    request_id: str = ""


def configured(part: Part) -> dict[str, Any]:
    """The values that configure something: what an operator or SQL writes, without what services report."""
    return {
        field.name: getattr(part, field.name)
        for field in dataclasses.fields(part)
        if field.compare and field.metadata.get("configures", True)
    }


def digest(part: Part) -> str:
    """A text of 64 characters that differs when the configuration, as it is stored, does.

    Sealed credentials count as they are stored: so replicas with other keys agree on it, and nobody who has it can try
    passwords on it.
    """
    if isinstance(part, Connection) and part.stored_digest:
        return part.stored_digest
    # Without what is not there, so that a part is the same before and after its kind was given another field.
    values = {name: value for name, value in configured(part).items() if value is not None}
    document = json.dumps(values, ensure_ascii=True, sort_keys=True, default=str)
    return hashlib.sha256(document.encode()).hexdigest()


def difference(
    before: collections.abc.Mapping[int, SystemImage], after: collections.abc.Mapping[int, SystemImage]
) -> tuple[dict[int, SystemImage], tuple[int, ...]]:
    """The systems that are new or changed, and the ids of those that are gone."""
    changed = {number: image for number, image in after.items() if before.get(number) != image}
    return changed, tuple(number for number in before if number not in after)
