"""`python -m intertie_audit`: serves the log, or migrates, adopts and describes its table."""

import sys

from intertie.audit.v1 import audit_pb2_grpc
from intertie_audit import assembly, beside
from intertie_audit.adopt import plan
from intertie_audit.auditor import audited
from intertie_audit.clients import Systems
from intertie_audit.denial_entries import keeper
from intertie_audit.export import Export
from intertie_audit.export_store import ExportStore
from intertie_audit.lease_store import RETENTION, Lease
from intertie_audit.metrics import SealLook
from intertie_audit.migrations import MIGRATIONS
from intertie_audit.retention import Retention
from intertie_audit.retention_store import RetentionStore
from intertie_audit.service import DESCRIPTOR, AuditService
from intertie_audit.settings import AuditSettings
from intertie_audit.store import Store
from intertie_audit.tail import Tail
from intertie_audit.trigger_store import warnings
from intertie_audit.unsealed_store import UnsealedStore
from intertie_chassis import command
from intertie_chassis.database import Database
from intertie_chassis.metrics import PAGE
from intertie_chassis.process import Process


async def serve(settings: AuditSettings) -> None:
    """Builds the server and runs it until it is told to stop."""
    process = Process("audit", settings, settings.audit_listen)
    server = process.server
    url = settings.database_url_for("audit")
    database = await Database.open(url, table_prefix=settings.table_prefix, name="audit")
    server.resources.push_async_callback(database.close)
    store = Store(database)
    chain = assembly.chain(settings, database, store)
    tail = Tail(store, most_followers=settings.audit_most_tails, also_wake=chain.sealer.wake)
    export = Export(chain.links, ExportStore(database), chain.sealer.sign_now)
    retention = Retention(
        RetentionStore(database), chain.seals, Lease(database, RETENTION), settings.audit_payload_days
    )
    service = AuditService(store, tail, Systems(process.connect("registry")), export, chain)
    server.add(audit_pb2_grpc.add_AuditServiceServicer_to_server, service, DESCRIPTOR)
    server.ready_when("schema", MIGRATIONS.readiness(database, settings.table_prefix))
    server.resources.push_async_callback(chain.sealer.finish)
    server.run_in_background("sealer", beside.sealing(database, chain.sealer))
    server.run_in_background("retention", beside.forgetting(database, retention))
    if PAGE.is_shown:
        server.run_in_background("metrics of the chain", beside.looking(database, SealLook(UnsealedStore(database))))
    server.tell_denials(keeper(store.append, tail.wake))
    await process.run()


if __name__ == "__main__":
    verify = command.Verb("verify", "verify the chain with the database, the anchor and the public keys alone", audited)
    sys.exit(command.main("audit", serve, AuditSettings, MIGRATIONS, plan, warn=warnings, verbs=[verify]))
