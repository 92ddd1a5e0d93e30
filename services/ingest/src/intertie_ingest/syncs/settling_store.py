"""The SQL of a run's end: what vanished, what waited for a sync, and how the run's records stand."""

from intertie_chassis.database import Database
from intertie_ingest.syncs.model import Claim, Run, Settlement
from intertie_ingest.tables import Tables


class SettlingStore:
    """Where runs come to their end. Every method raises Unavailable when the database is away."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database

    async def mark_vanished(self, claim: Claim, most: int) -> int:
        """Marks up to `most` records outdated that the full run did not see; 0 when there are none left.

        Records that a delivery brought since the run was asked for stay. Raises RunLost.
        """
        raise NotImplementedError

    async def release_waiting(self, run: Run) -> int:
        """Hands the mapping's waiting records to mapper; gives how many.

        Of a run of mode `release` they count as read and unchanged, and it settles with them.
        """
        raise NotImplementedError

    async def settlement(self, run: Run, *, is_final: bool = False) -> Settlement:
        """How the run's records stand. Once nothing is pending, or `is_final`, what mapper set aside is failed."""
        raise NotImplementedError
