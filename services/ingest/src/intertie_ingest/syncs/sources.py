"""Which connection a mapping's source is read through, and what tells one source from another."""

import hashlib
from collections.abc import Callable

from intertie_ingest import errors
from intertie_ingest.external import ExternalConnection
from intertie_ingest.pull.configuration import PullConfiguration, PullMapping, PullSystem
from intertie_ingest.syncs.model import Mode, Run
from intertie_ingest.syncs.source import Source
from intertie_mapping.synchronisation import Synchronisation

SourceOf = Callable[[ExternalConnection, PullMapping, Synchronisation], Source]
"""Makes the source of a mapping; opens nothing yet."""


def default_mode(mapping: PullMapping) -> Mode:
    """How a mapping is synced unless asked otherwise."""
    if not mapping.source_table:
        return Mode.RELEASE
    synchronisation = mapping.synchronisation
    return Mode.INCREMENTAL if synchronisation is not None and synchronisation.cursor_field else Mode.FULL


def mapping_of(configuration: PullConfiguration, run: Run) -> tuple[PullSystem, PullMapping]:
    """The active system and mapping of a run. Raises SystemNotFound, MappingNotFound."""
    mapping = configuration.mappings.get(run.mapping_id)
    if mapping is None or not mapping.is_active:
        raise errors.MappingNotFound("the mapping is gone or switched off; switch it on and sync again")
    system = configuration.by_id[mapping.system_id]
    if not system.is_active:
        raise errors.SystemNotFound("the system is switched off; switch it on and sync again")
    return system, mapping


def connection_of(system: PullSystem, mapping: PullMapping, synchronisation: Synchronisation) -> ExternalConnection:
    """The connection that a mapping is read through.

    The one that `sync.connection_id` names; else the system's first active one, by number, of the type that serves such
    a source. What is written as an endpoint (with `/`, `?` or `:`) or is read page by page as only an API is
    (`sync.pagination`), APIs serve; anything else is a table where the system has an active database, else an endpoint.

    Raises NoSource, ConnectionNotFound, NoConnection, ConnectionUnusable.
    """
    if not mapping.source_table:
        raise errors.NoSource("the mapping has no source_table, so there is nothing to read")
    connection = _chosen(system, mapping, synchronisation)
    if connection.problem:
        raise errors.ConnectionUnusable(f"connection {connection.id} cannot be used: {connection.problem}")
    return connection


def fingerprint(connection: ExternalConnection, mapping: PullMapping, synchronisation: Synchronisation) -> str:
    """A text that two sources share when a place in the one is the same place in the other."""
    place = (connection.id, connection.db_driver, connection.db_host, connection.db_port, connection.db_name)
    identity = mapping.plan.configuration.external_id_field if mapping.plan is not None else ""
    told = repr((place, connection.api_base_url, mapping.source_table, identity, synchronisation))
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def _chosen(system: PullSystem, mapping: PullMapping, synchronisation: Synchronisation) -> ExternalConnection:
    active = [one for one in system.connections if one.is_active]
    if synchronisation.connection_id is not None:
        for one in active:
            if one.id == synchronisation.connection_id:
                return one
        raise errors.ConnectionNotFound(
            "the system has no active connection of the number in sync.connection_id",
            metadata={"system": system.name, "connection_id": str(synchronisation.connection_id)},
        )
    apis = [one for one in active if one.is_api]
    is_endpoint = bool(synchronisation.pagination) or not {"/", "?", ":"}.isdisjoint(mapping.source_table)
    fitting = apis if is_endpoint else [*(one for one in active if one.is_database), *apis]
    if not fitting:
        kind = "API" if is_endpoint else "database or API"
        raise errors.NoConnection(
            f"the system has no active {kind} connection to read {mapping.source_table!r} through; add one",
            metadata={"system": system.name},
        )
    return fitting[0]
