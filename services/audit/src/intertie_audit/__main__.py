"""`python -m intertie_audit`: serves the log, or migrates, adopts and describes its table."""

import sys

from intertie.audit.v1 import audit_pb2_grpc
from intertie_audit.adopt import plan
from intertie_audit.clients import Systems
from intertie_audit.migrations import MIGRATIONS
from intertie_audit.service import DESCRIPTOR, AuditService
from intertie_audit.settings import AuditSettings
from intertie_audit.store import Store
from intertie_audit.tail import Tail
from intertie_chassis import clients, command
from intertie_chassis.database import Database
from intertie_chassis.identity import TokenSource, Verifier
from intertie_chassis.server import Server


async def serve(settings: AuditSettings) -> None:
    """Builds the server and runs it until it is told to stop."""
    server = Server(
        "audit",
        settings.audit_listen,
        Verifier.from_settings(settings),
        drain_seconds=settings.drain_seconds,
        max_concurrent_calls=settings.max_concurrent_calls,
    )
    database = await Database.open(settings.database_url_for("audit"), table_prefix=settings.table_prefix)
    server.resources.push_async_callback(database.close)
    registry = clients.connect(settings.registry_address, TokenSource.for_service(settings, "audit"))
    server.resources.push_async_callback(registry.close)

    store = Store(database)
    tail = Tail(store, most_followers=settings.audit_most_tails)
    service = AuditService(store, tail, Systems(registry))
    server.add(audit_pb2_grpc.add_AuditServiceServicer_to_server, service, DESCRIPTOR)
    server.ready_when("schema", MIGRATIONS.readiness(database, settings.table_prefix))
    await server.run()


if __name__ == "__main__":
    sys.exit(command.main("audit", serve, AuditSettings, MIGRATIONS, plan))
