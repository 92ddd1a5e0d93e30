"""What pull must know of each system, compiled from the stored configuration: how to reach it, and who may ask what.

Whatever is stored compiles: a fault closes the connection, the mapping or the grant that it belongs to.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from intertie_ingest import errors
from intertie_ingest.configuration import (
    CompiledMapping,
    StoredConnection,
    StoredMapping,
    StoredSystem,
    compile_mapping,
)
from intertie_ingest.databases.permissions import Permissions
from intertie_ingest.external import ExternalConnection
from intertie_ingest.grants import Grant
from intertie_ingest.model import Fault
from intertie_mapping.plan import Plan
from intertie_mapping.synchronisation import Synchronisation

_ACCESS_TYPES = ("read", "write", "read_write")
_API_SECONDS = 30


@dataclass(frozen=True, slots=True)
class PullMapping:
    """A mapping, as syncs read its source."""

    id: int
    system_id: int
    #: the system's name
    system: str
    name: str
    is_active: bool
    #: the table or endpoint that a sync reads
    source_table: str
    sync_frequency: str
    #: where its records go
    route: CompiledMapping
    #: None when it cannot be used
    synchronisation: Synchronisation | None
    #: why it cannot
    problem: str = ""

    @property
    def plan(self) -> Plan | None:
        """What its records become; None when the configuration is at `fault`."""
        return self.route.plan

    @property
    def fault(self) -> Fault | None:
        """Why there is no plan."""
        return self.route.fault


@dataclass(frozen=True, slots=True)
class PullGrant(Grant):
    """What a module may do with a system, statement by statement."""

    permissions: Permissions = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class PullSystem:
    """A system that may be asked."""

    id: int
    name: str
    is_active: bool
    #: all of them by id, active or not
    connections: tuple[ExternalConnection, ...]
    #: all of them by id, active or not
    mappings: tuple[PullMapping, ...]
    #: each module's active grant
    grants: Mapping[str, PullGrant]
    #: what is wrong with the stored configuration, for the log
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PullConfiguration:
    """All systems."""

    by_id: Mapping[int, PullSystem] = field(default_factory=dict)
    #: active or not; of two of one name the active one
    by_name: Mapping[str, PullSystem] = field(default_factory=dict)
    mappings: Mapping[int, PullMapping] = field(default_factory=dict)
    connections: Mapping[int, ExternalConnection] = field(default_factory=dict)

    @classmethod
    def of(cls, systems: Iterable[PullSystem]) -> "PullConfiguration":
        """The configuration of these systems."""
        ordered = sorted(systems, key=lambda system: system.id)
        return cls(
            {system.id: system for system in ordered},
            {system.name: system for system in sorted(ordered, key=lambda system: (system.is_active, -system.id))},
            {mapping.id: mapping for system in ordered for mapping in system.mappings},
            {connection.id: connection for system in ordered for connection in system.connections},
        )

    def system(self, name: str) -> PullSystem:
        """The active system of this name. Raises SystemNotFound."""
        found = self.by_name.get(name)
        if found is None or not found.is_active:
            raise errors.SystemNotFound("there is no active external system of this name", metadata={"system": name})
        return found

    def mapping(self, system: PullSystem, name: str) -> PullMapping:
        """The system's active mapping of this name; of two, the first by id. Raises MappingNotFound."""
        for mapping in system.mappings:
            if mapping.name == name and mapping.is_active:
                return mapping
        raise errors.MappingNotFound(
            "the system has no active mapping of this name", metadata={"system": system.name, "mapping": name}
        )

    def database_of(self, system: PullSystem, connection_id: int | None) -> ExternalConnection:
        """The system's active database connection of this number, or its first one for none.

        Raises ConnectionNotFound, NoConnection.
        """
        return _chosen(system, connection_id, "database", [one for one in system.connections if one.is_database])

    def api_of(self, system: PullSystem, connection_id: int | None) -> ExternalConnection:
        """The system's active API connection of this number, or its first one for none.

        Raises ConnectionNotFound, NoConnection.
        """
        return _chosen(system, connection_id, "API", [one for one in system.connections if one.is_api])

    @property
    def active_connections(self) -> list[ExternalConnection]:
        """What may be reached: active connections of active systems."""
        return [one for one in self.connections.values() if one.is_active and self.by_id[one.system_id].is_active]


def _chosen(
    system: PullSystem, connection_id: int | None, kind: str, fitting: list[ExternalConnection]
) -> ExternalConnection:
    active = [one for one in fitting if one.is_active]
    if not connection_id:
        if not active:
            raise errors.NoConnection(
                f"the system has no active {kind} connection; add one, or activate it", metadata={"system": system.name}
            )
        return active[0]
    for one in active:
        if one.id == connection_id:
            return one
    raise errors.ConnectionNotFound(
        f"the system has no active {kind} connection of this number",
        metadata={"system": system.name, "connection_id": str(connection_id)},
    )


def compile_pull_system(stored: StoredSystem) -> PullSystem:
    """Compiles a system; what is wrong with it goes into `problems`."""
    problems: list[str] = []
    connections = tuple(
        _connection(stored, one, problems) for one in sorted(stored.connections, key=lambda one: one.id)
    )
    mappings = tuple(_mapping(stored, one, problems) for one in sorted(stored.mappings, key=lambda one: one.id))
    grants: dict[str, PullGrant] = {}
    for grant in stored.grants:
        if not grant.is_active:
            continue
        if grant.access_type not in _ACCESS_TYPES:
            problems.append(f"the grant of {grant.module}: {grant.access_type!r} is no access type; it allows nothing")
        permissions = Permissions.of(grant.query_permissions)
        if permissions.problem:
            problems.append(f"the grant of {grant.module} allows nothing: {permissions.problem}")
        grants[grant.module] = PullGrant(grant.access_type, grant.ends_at, permissions=permissions)
    return PullSystem(stored.id, stored.name, stored.is_active, connections, mappings, grants, tuple(problems))


def closed_pull_system(stored: StoredSystem) -> PullSystem:
    """A system that nobody may ask and nothing is read from, whatever is stored of it."""
    return PullSystem(stored.id, stored.name, stored.is_active, (), (), {})


def _connection(system: StoredSystem, stored: StoredConnection, problems: list[str]) -> ExternalConnection:
    options, problem = _options(stored.config_json)
    problem = stored.problem or problem
    if problem:
        problems.append(f"connection {stored.id}: {problem}; it is not used")
    return ExternalConnection(
        id=stored.id,
        system_id=system.id,
        system=system.name,
        connection_type=stored.connection_type,
        is_active=stored.is_active,
        db_host=stored.db_host,
        db_port=stored.db_port,
        db_name=stored.db_name,
        db_username=stored.db_username,
        db_password=stored.db_password,
        db_driver=stored.db_driver or "mysql",
        api_base_url=stored.api_base_url,
        api_auth_type=stored.api_auth_type or "bearer",
        api_auth_token=stored.api_auth_token,
        api_timeout=stored.api_timeout or _API_SECONDS,
        options=options,
        problem=problem,
    )


def _options(text: bytes) -> tuple[dict[str, Any], str]:
    """What `config_json` holds, or why it cannot be used."""
    if not text.strip():
        return {}, ""
    try:
        options = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}, "config_json is not JSON"
    if options is None or options == []:
        return {}, ""  # what PHP writes for an empty configuration
    if not isinstance(options, dict):
        return {}, "config_json is not a JSON object"
    return options, ""


def _mapping(system: StoredSystem, stored: StoredMapping, problems: list[str]) -> PullMapping:
    route, synchronisation, problem = compile_mapping(stored, problems), None, ""
    if route.plan is None:
        problem = route.fault.message if route.fault else "the configuration is not valid"
    else:
        try:
            synchronisation = Synchronisation.of({"sync": dict(route.plan.configuration.sync)})
        except ValueError as error:
            problem = f"The configuration of mapping {stored.name!r} is not valid: {error}"[:1000]
            problems.append(problem)
    return PullMapping(
        stored.id,
        system.id,
        system.name,
        stored.name,
        stored.is_active,
        stored.source_table,
        stored.sync_frequency,
        route,
        synchronisation,
        problem,
    )
