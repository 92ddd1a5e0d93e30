"""`python -m intertie_ingest`: accepts deliveries and keeps the cache, or migrates, adopts and describes its tables."""

import sys

from intertie_chassis import command
from intertie_chassis.database import Database
from intertie_chassis.process import Process
from intertie_ingest.adopt import plan
from intertie_ingest.assembly import assemble
from intertie_ingest.migrations import MIGRATIONS
from intertie_ingest.settings import IngestSettings
from intertie_ingest.spool_directory import SpoolDirectory
from intertie_ingest.spool_store import SpoolStore
from intertie_ingest.store import lock_wait


async def serve(settings: IngestSettings) -> None:
    """Builds the server and runs it until it is told to stop."""
    process = Process("ingest", settings, settings.ingest_listen)
    server = process.server
    spooled = None if settings.spool_dir is None else await SpoolStore.open(SpoolDirectory.take(settings.spool_dir))
    if spooled is not None:
        server.resources.push_async_callback(spooled.close)
    database = await Database.open(
        settings.database_url_for("ingest"),
        pool_size=settings.ingest_commit_groups + 4,
        table_prefix=settings.table_prefix,
        name="ingest",
        lock_wait=lock_wait(settings.ingest_commit_seconds),
    )
    server.resources.push_async_callback(database.close)
    registry, audit = process.connect("registry"), process.connect("audit")
    assemble(server, settings, database, process.verifier, registry, audit, spooled)
    await process.run()


if __name__ == "__main__":
    sys.exit(command.main("ingest", serve, IngestSettings, MIGRATIONS, plan))
