"""The registry's stores on one database, made together: they share the journal."""

from dataclasses import dataclass
from typing import Self

from intertie_chassis.database import Database
from intertie_registry.connection_store import ConnectionStore
from intertie_registry.grant_store import GrantStore
from intertie_registry.journal_store import Journal
from intertie_registry.mapping_store import MappingStore
from intertie_registry.report_store import ReportStore
from intertie_registry.snapshot import LiveConfiguration
from intertie_registry.snapshot_store import SnapshotStore
from intertie_registry.store import SystemStore
from intertie_registry.tables import Tables
from intertie_registry.tick_store import TickStore


@dataclass(frozen=True, slots=True)
class Stores:
    """Everything that is stored, and the live image of it."""

    systems: SystemStore
    connections: ConnectionStore
    mappings: MappingStore
    grants: GrantStore
    ticks: TickStore
    reports: ReportStore
    journal: Journal
    live: LiveConfiguration

    @classmethod
    def on(cls, database: Database, prefix: str, *, poll_seconds: float = 0.5) -> Self:
        """The stores of the tables under this prefix."""
        tables = Tables.of(prefix)
        live = LiveConfiguration(SnapshotStore(database, tables), poll_seconds=poll_seconds)
        journal = Journal(database, tables, on_commit=live.publish)
        parts = database, tables, journal
        return cls(
            SystemStore(*parts),
            ConnectionStore(*parts),
            MappingStore(*parts),
            GrantStore(*parts),
            TickStore(*parts),
            ReportStore(database, tables),
            journal,
            live,
        )
