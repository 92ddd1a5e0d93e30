"""The registry put together: stores, services and the work beside them, on one server."""

from functools import partial

from intertie_chassis import identity_feed, sealing_sources
from intertie_chassis.database import Database
from intertie_chassis.errors import StartupError
from intertie_chassis.metrics import PAGE, keep_looking
from intertie_chassis.process import Process
from intertie_chassis.server import Server
from intertie_registry import audit_convert, check_service, feed_service, secrets_service, service
from intertie_registry.clients import Audit, Mapper
from intertie_registry.configuration_check import ConfigurationCheck
from intertie_registry.credentials import Credentials
from intertie_registry.identity_events import IdentityEvents
from intertie_registry.migrations import MIGRATIONS
from intertie_registry.settings import RegistrySettings
from intertie_registry.stores import Stores


async def compose(settings: RegistrySettings) -> Server:
    """The registry's server with all that it needs, not yet started."""
    process, prefix = Process("registry", settings, settings.registry_listen), settings.table_prefix
    server, credentials = process.server, _credentials(settings)
    database = await Database.open(settings.database_url_for("registry"), table_prefix=prefix, name="registry")
    server.resources.push_async_callback(database.close)
    mapper = Mapper(process.connect("mapper"))
    audit = Audit(process.connect("audit"))
    stores = Stores.on(database, prefix, poll_seconds=settings.registry_poll_seconds, credentials=credentials)
    try:
        await stores.secrets.require_right_keys()
    except StartupError:
        await server.resources.aclose()
        raise
    server.add(service.add_to_server, service.RegistryService(stores, mapper), service.DESCRIPTOR)
    server.add(feed_service.add_to_server, feed_service.RegistryFeed(stores), feed_service.DESCRIPTOR)
    secrets = secrets_service.SecretsService(stores.secrets)
    server.add(secrets_service.add_to_server, secrets, secrets_service.DESCRIPTOR)
    check = check_service.ConfigurationService(ConfigurationCheck(stores, mapper))
    server.add(check_service.add_to_server, check, check_service.DESCRIPTOR)
    feed = identity_feed.IdentityFeed(process.verifier)
    server.add(identity_feed.add_to_server, feed, identity_feed.DESCRIPTOR)
    server.ready_when("schema", MIGRATIONS.readiness(database, prefix))
    server.ready_when("configuration", stores.live.readiness)
    server.ready_when("sealing keys", stores.secrets.readiness)
    server.run_in_background("sealing keys", stores.secrets.look_for_keys)
    server.run_in_background("live configuration", lambda: stores.live.follow(stores.journal.reconcile))
    server.run_in_background("audit outbox", lambda: stores.journal.outbox.drain(audit.append, joined=True))
    if PAGE.is_shown:
        look = partial(stores.journal.outbox.look, "registry")
        server.run_in_background("metrics of the outbox", lambda: keep_looking(look))
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
