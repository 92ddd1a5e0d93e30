"""`python -m intertie_ingest.pull`: asks external systems, for modules and for syncs; shares ingest's tables."""

import sys

from intertie_chassis import clients, command
from intertie_chassis.database import Database
from intertie_chassis.identity import TokenSource, Verifier
from intertie_chassis.server import Server
from intertie_ingest.migrations import MIGRATIONS
from intertie_ingest.pull.assembly import assemble
from intertie_ingest.pull.settings import PullSettings


async def serve(settings: PullSettings) -> None:
    """Builds the server and runs it until it is told to stop."""
    server = Server(
        "pull",
        settings.pull_listen,
        Verifier.from_settings(settings),
        drain_seconds=settings.drain_seconds,
        max_concurrent_calls=settings.max_concurrent_calls,
    )
    database = await Database.open(
        settings.database_url_for("ingest"), pool_size=settings.pull_runs + 4, table_prefix=settings.table_prefix
    )
    server.resources.push_async_callback(database.close)
    token = TokenSource.for_service(settings, "pull")
    registry = clients.connect(settings.registry_address, token)
    server.resources.push_async_callback(registry.close)
    ingest = clients.connect(settings.ingest_address, token)
    server.resources.push_async_callback(ingest.close)
    audit = clients.connect(settings.audit_address, token)
    server.resources.push_async_callback(audit.close)
    assemble(server, settings, database, registry, ingest, audit)
    await server.run()


if __name__ == "__main__":
    sys.exit(command.main("pull", serve, PullSettings, MIGRATIONS, module="intertie_ingest.pull"))
