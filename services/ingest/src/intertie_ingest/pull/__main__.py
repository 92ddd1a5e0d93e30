"""`python -m intertie_ingest.pull`: asks external systems, for modules and for syncs; shares ingest's tables."""

import sys

from intertie_chassis import command
from intertie_chassis.database import Database
from intertie_chassis.process import Process
from intertie_ingest.migrations import MIGRATIONS
from intertie_ingest.pull.assembly import assemble
from intertie_ingest.pull.settings import PullSettings


async def serve(settings: PullSettings) -> None:
    """Builds the server and runs it until it is told to stop."""
    process = Process("pull", settings, settings.pull_listen)
    server = process.server
    database = await Database.open(
        settings.database_url_for("ingest"),
        pool_size=settings.pull_runs + 4,
        table_prefix=settings.table_prefix,
        name="ingest",
    )
    server.resources.push_async_callback(database.close)
    assemble(
        server,
        settings,
        database,
        process.connect("registry"),
        process.connect("ingest"),
        process.connect("audit"),
    )
    await process.run()


if __name__ == "__main__":
    sys.exit(command.main("pull", serve, PullSettings, MIGRATIONS, module="intertie_ingest.pull"))
