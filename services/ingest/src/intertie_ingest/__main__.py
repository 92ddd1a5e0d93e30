"""`python -m intertie_ingest`: accepts deliveries and keeps the cache, or migrates, adopts and describes its tables."""

import sys

from intertie_chassis import clients, command
from intertie_chassis.database import Database
from intertie_chassis.identity import TokenSource, Verifier
from intertie_chassis.server import Server
from intertie_ingest.adopt import plan
from intertie_ingest.assembly import assemble
from intertie_ingest.migrations import MIGRATIONS
from intertie_ingest.settings import IngestSettings


async def serve(settings: IngestSettings) -> None:
    """Builds the server and runs it until it is told to stop."""
    verifier = Verifier.from_settings(settings)
    server = Server(
        "ingest",
        settings.ingest_listen,
        verifier,
        drain_seconds=settings.drain_seconds,
        max_concurrent_calls=settings.max_concurrent_calls,
    )
    database = await Database.open(
        settings.database_url_for("ingest"),
        pool_size=settings.ingest_commit_groups + 4,
        table_prefix=settings.table_prefix,
    )
    server.resources.push_async_callback(database.close)
    token = TokenSource.for_service(settings, "ingest")
    registry = clients.connect(settings.registry_address, token)
    server.resources.push_async_callback(registry.close)
    audit = clients.connect(settings.audit_address, token)
    server.resources.push_async_callback(audit.close)
    assemble(server, settings, database, verifier, registry, audit)
    await server.run()


if __name__ == "__main__":
    sys.exit(command.main("ingest", serve, IngestSettings, MIGRATIONS, plan))
