"""The registry's stores on one database, made together: they share the journal."""

from dataclasses import dataclass
from typing import Self

from intertie_chassis.database import Database
from intertie_registry.connection_store import ConnectionStore
from intertie_registry.credentials import Credentials
from intertie_registry.grant_store import GrantStore
from intertie_registry.journal_store import Journal
from intertie_registry.key_proof_store import KeyProofs
from intertie_registry.mapping_store import MappingStore
from intertie_registry.report_store import ReportStore
from intertie_registry.secrets_store import SecretsStore
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
    secrets: SecretsStore
    journal: Journal
    live: LiveConfiguration

    @classmethod
    def on(
        cls, database: Database, prefix: str, *, poll_seconds: float = 0.5, credentials: Credentials | None = None
    ) -> Self:
        """The stores of the tables under this prefix; without `credentials` none is sealed."""
        tables = Tables.of(prefix)
        credentials = credentials or Credentials(None)
        proofs = KeyProofs(database, tables, credentials)
        snapshots = SnapshotStore(database, tables, credentials)
        live = LiveConfiguration(snapshots, poll_seconds=poll_seconds)
        journal = Journal(database, tables, on_commit=live.publish)
        parts = database, tables, journal
        return cls(
            SystemStore(*parts),
            ConnectionStore(*parts, credentials, proofs),
            MappingStore(*parts),
            GrantStore(*parts),
            TickStore(*parts),
            ReportStore(*parts),
            SecretsStore(*parts, credentials, proofs, snapshots),
            journal,
            live,
        )
