"""`python -m intertie_audit`: serves the log, or migrates, adopts and describes its table."""

import sys

from intertie.audit.v1 import audit_pb2_grpc
from intertie_audit.adopt import plan
from intertie_audit.chain_store import ChainStore
from intertie_audit.clients import Systems
from intertie_audit.denial_entries import keeper
from intertie_audit.export import Export
from intertie_audit.export_store import ExportStore
from intertie_audit.migrations import MIGRATIONS
from intertie_audit.service import DESCRIPTOR, AuditService
from intertie_audit.settings import AuditSettings
from intertie_audit.store import Store
from intertie_audit.tail import Tail
from intertie_chassis import command
from intertie_chassis.database import Database
from intertie_chassis.process import Process


async def serve(settings: AuditSettings) -> None:
    """Builds the server and runs it until it is told to stop."""
    process = Process("audit", settings, settings.audit_listen)
    server = process.server
    database = await Database.open(settings.database_url_for("audit"), table_prefix=settings.table_prefix)
    server.resources.push_async_callback(database.close)
    store = Store(database)
    tail = Tail(store, most_followers=settings.audit_most_tails)
    export = Export(ChainStore(database), ExportStore(database))
    service = AuditService(store, tail, Systems(process.connect("registry")), export)
    server.add(audit_pb2_grpc.add_AuditServiceServicer_to_server, service, DESCRIPTOR)
    server.ready_when("schema", MIGRATIONS.readiness(database, settings.table_prefix))
    server.tell_denials(keeper(store.append, tail.wake))
    await process.run()


if __name__ == "__main__":
    sys.exit(command.main("audit", serve, AuditSettings, MIGRATIONS, plan))
