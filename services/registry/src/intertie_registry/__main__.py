"""The registry's process: ``python -m intertie_registry [serve|migrate|adopt|status]``."""

import sys

from intertie.api.v1 import identity_pb2_grpc
from intertie.registry.v1 import feed_pb2, feed_pb2_grpc, registry_pb2, registry_pb2_grpc, secrets_pb2, secrets_pb2_grpc
from intertie_chassis import identity_feed, sealing_sources
from intertie_chassis.command import main
from intertie_chassis.database import Database
from intertie_chassis.process import Process
from intertie_chassis.server import Server
from intertie_registry import audit_convert
from intertie_registry.adopt import adopt
from intertie_registry.clients import Audit, Mapper
from intertie_registry.credentials import Credentials
from intertie_registry.feed_service import RegistryFeed
from intertie_registry.identity_events import IdentityEvents
from intertie_registry.migrations import MIGRATIONS
from intertie_registry.secrets_service import SecretsService
from intertie_registry.service import RegistryService
from intertie_registry.settings import RegistrySettings
from intertie_registry.stores import Stores


async def compose(settings: RegistrySettings) -> Server:
    """The registry's server with all that it needs, not yet started."""
    process, prefix = Process("registry", settings, settings.registry_listen), settings.table_prefix
    server = process.server
    database = await Database.open(settings.database_url_for("registry"), table_prefix=prefix)
    server.resources.push_async_callback(database.close)
    mapper = Mapper(process.connect("mapper"))
    audit = Audit(process.connect("audit"))
    credentials = _credentials(settings)
    stores = Stores.on(database, prefix, poll_seconds=settings.registry_poll_seconds, credentials=credentials)
    await stores.secrets.require_right_keys()
    server.add(
        registry_pb2_grpc.add_RegistryServiceServicer_to_server,
        RegistryService(stores, mapper),
        registry_pb2.DESCRIPTOR.services_by_name["RegistryService"],
    )
    server.add(
        feed_pb2_grpc.add_RegistryFeedServicer_to_server,
        RegistryFeed(stores),
        feed_pb2.DESCRIPTOR.services_by_name["RegistryFeed"],
    )
    server.add(
        secrets_pb2_grpc.add_SecretsServiceServicer_to_server,
        SecretsService(stores.secrets),
        secrets_pb2.DESCRIPTOR.services_by_name["SecretsService"],
    )
    feed = identity_feed.IdentityFeed(process.verifier)
    server.add(identity_pb2_grpc.add_IdentityFeedServicer_to_server, feed, identity_feed.DESCRIPTOR)
    server.ready_when("schema", MIGRATIONS.readiness(database, prefix))
    server.ready_when("configuration", stores.live.readiness)
    server.ready_when("sealing keys", stores.secrets.readiness)
    server.run_in_background("sealing keys", stores.secrets.look_for_keys)
    server.run_in_background("live configuration", lambda: stores.live.follow(stores.journal.reconcile))
    server.run_in_background("audit outbox", lambda: stores.journal.outbox.drain(audit.append, joined=True))
    server.tell_denials(lambda denials: stores.journal.outbox.post(audit_convert.denials_batch(denials)))
    identities = IdentityEvents(settings.data_dir)
    server.run_in_background("identities", lambda: identities.run(audit.append))
    return server


def _credentials(settings: RegistrySettings) -> Credentials:
    """Seals and opens with the keys that the settings name. Raises StartupError when they cannot be read."""
    keys = settings.secrets_keys.get_secret_value() if settings.secrets_keys is not None else None
    file, command = settings.secrets_keys_file, settings.secrets_keys_command
    source = sealing_sources.chosen(keys=keys, file=file, command=command, data_dir=settings.data_dir)
    source.current()
    return Credentials(source, is_on=settings.secrets_sealing == "on")


async def serve(settings: RegistrySettings) -> None:
    """Serves until told to stop."""
    await (await compose(settings)).run()


if __name__ == "__main__":
    sys.exit(main("registry", serve, RegistrySettings, MIGRATIONS, adopt))
