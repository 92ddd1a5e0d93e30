"""The commit of a page: what it changes in the cache and what the run says of it, in one transaction."""

from intertie_chassis.database import Database
from intertie_ingest.syncs.model import Claim, PageOutcome, StoredPage
from intertie_ingest.tables import Tables


class PageStore:
    """Where pages are stored."""

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database

    async def store(self, claim: Claim, page: StoredPage) -> PageOutcome:
        """Stores a page whole or not at all. A record that the database refuses becomes a failure.

        Raises RunLost, CursorMismatch when the cursor's values have no order between them, and Unavailable.
        """
        raise NotImplementedError
