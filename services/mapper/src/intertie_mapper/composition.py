"""How mapper's parts are put together, for the process and for tests."""

import asyncio
from collections.abc import Sequence
from functools import partial

import structlog

from intertie_chassis.clients import Channel
from intertie_chassis.database import Database
from intertie_chassis.denials import Denial
from intertie_chassis.errors import Unavailable
from intertie_chassis.metrics import keep_looking
from intertie_chassis.outbox import Outbox
from intertie_mapper import audit_convert
from intertie_mapper.batch_store import BatchStore
from intertie_mapper.checkpoints import Checkpoints
from intertie_mapper.clients import Audit, CachedRecords, ConfigurationFeed, IngestQueue
from intertie_mapper.configuration import Configuration
from intertie_mapper.migrations import MIGRATIONS
from intertie_mapper.preview import Previews
from intertie_mapper.processing import Processor
from intertie_mapper.service import MapperService
from intertie_mapper.settings import MapperSettings
from intertie_mapper.statements import Dialect
from intertie_mapper.tables import outbox
from intertie_mapper.target_tables import TargetTables
from intertie_mapper.worker import Worker

_log = structlog.get_logger()


class Mapper:
    """All parts of one mapper process over one target database."""

    def __init__(
        self, settings: MapperSettings, database: Database, *, registry: Channel, ingest: Channel, audit: Channel
    ) -> None:
        self._settings = settings
        self._database = database
        self.configuration = Configuration()
        self.feed = ConfigurationFeed(registry, self.configuration)
        self._queue = IngestQueue(ingest)
        self._audit = Audit(audit)
        self._outbox = Outbox(database, outbox(settings.table_prefix))
        self.targets = TargetTables(database, settings.table_prefix, settings.allowed_tables)
        # Whether the server is MariaDB shows with the first connection, which may be later than this.
        self.dialect = Dialect(embedded=database.dialect == "sqlite", returning=database.dialect == "sqlite")
        store = BatchStore(database, self.dialect, settings.table_prefix, self._outbox)
        self.processor = Processor(self.configuration, self.targets, store, audit_convert.encoder(self.configuration))
        self.service = MapperService(
            self.configuration,
            self.targets,
            Previews(database, self.targets, store),
            Checkpoints(
                database, self.targets, store, self._outbox, self.configuration, audit_convert.checkpoint_entry
            ),
            CachedRecords(ingest),
        )

    async def work(self) -> None:
        """Apply records until cancelled, once the tables are there."""
        await self._await_tables()
        self.dialect.returning = self._database.dialect == "sqlite" or self._database.is_mariadb
        worker = Worker(
            self._queue,
            self.processor,
            self.configuration,
            batch_size=self._settings.mapper_batch_size,
            batches=self._settings.mapper_batches,
            lease_seconds=self._settings.mapper_lease_seconds,
        )
        await worker.run()

    async def keep_denials(self, denials: Sequence[Denial]) -> None:
        """Puts refused calls into the outbox. Raises Unavailable."""
        await self._outbox.post(audit_convert.denial_entries(denials))

    async def look(self) -> None:
        """Keep the metrics of the outbox until cancelled, once the tables are there."""
        await self._await_tables()
        await keep_looking(partial(self._outbox.look, "mapper"))

    async def drain(self) -> None:
        """Send the outbox to audit until cancelled, once the tables are there."""
        await self._await_tables()
        await self._outbox.drain(self._audit.append, joined=True)

    async def _await_tables(self) -> None:
        """Returns once the schema is as this code needs it; why it is not, health and its log say."""
        while True:
            try:
                if await MIGRATIONS.at_head(self._database, self._settings.table_prefix):
                    return
            except Unavailable as error:
                _log.info("the target database is away; looking again", cause=error.message)
            await asyncio.sleep(1)
