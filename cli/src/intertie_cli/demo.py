"""The demo: the seed's example and a system to pull from, loaded into an empty registry over gRPC, as users do."""

import asyncio
import json
from pathlib import Path

from intertie.ingest.v1 import ingest_pb2
from intertie.registry.v1 import registry_pb2
from intertie_chassis.errors import NotFound, Unavailable
from intertie_cli import demo_pull
from intertie_cli.session import Session

SYSTEM = "law_enforcement"
SECRET = "your_webhook_secret"
MAPPING = "incidents_to_events"
MODULE = "events"

_CONFIG = {
    "field_mappings": {"title": "event_title", "date": "date", "location": "location"},
}
_SEEN_SECONDS = 15.0


def address_file(data_dir: Path) -> Path:
    """Where it is kept on which address the demo's API listens."""
    return data_dir / "external" / "demo-api-address"


async def load(session: Session, api: str) -> str | None:
    """Loads the demo unless the registry holds systems; gives why not, or None when it was loaded.

    Waits until ingest knows it, so that what is printed next works at once. `api`: where the demo's API listens; a demo
    that was loaded before is told when that is another address than then.
    """
    registry = session.registry
    systems = (await registry.ListSystems(registry_pb2.ListSystemsRequest(page_size=1000))).systems
    if any(system.system_name == SYSTEM for system in systems):
        if any(system.system_name == demo_pull.SYSTEM for system in systems):
            await demo_pull.move(session, api)
        return "the demo is left out: its system is there already"
    if systems:
        return "the demo is left out: the registry is not empty"
    system = registry_pb2.System(system_name=SYSTEM, display_name="Law Enforcement System", system_type="hybrid")
    await registry.CreateSystem(registry_pb2.CreateSystemRequest(system=system))
    connection = registry_pb2.Connection(
        system=SYSTEM,
        connection_type="api",
        api_base_url="https://law-enforcement-api.example.com",
        api_auth_type="bearer",
        config_json=json.dumps({"webhook_secret": SECRET, "push_auth": "none"}).encode(),
    )
    await registry.CreateConnection(registry_pb2.CreateConnectionRequest(connection=connection))
    mapping = registry_pb2.Mapping(
        system=SYSTEM,
        mapping_name=MAPPING,
        target_table=f"{session.settings.table_prefix}events",
        mapping_config=json.dumps(_CONFIG).encode(),
        sync_frequency="realtime",
    )
    await registry.CreateMapping(registry_pb2.CreateMappingRequest(mapping=mapping))
    grant = registry_pb2.Grant(module_name=MODULE, system=SYSTEM, access_type="read_write")
    await registry.CreateGrant(registry_pb2.CreateGrantRequest(grant=grant))
    await demo_pull.load(session, MODULE, api)
    await _wait_until_ingest_knows(session)
    return None


async def _wait_until_ingest_knows(session: Session) -> None:
    request = ingest_pb2.ReadCacheRequest(system=SYSTEM, mapping=MAPPING)
    deadline = asyncio.get_running_loop().time() + _SEEN_SECONDS
    while True:
        try:
            await session.ingest.ReadCache(request)
            return
        except NotFound:
            if asyncio.get_running_loop().time() > deadline:
                raise Unavailable("registry has the demo, but ingest does not see it: see what it said above") from None
        await asyncio.sleep(0.1)


def commands(url: str, intertie: str) -> str:
    """Examples to paste, for a gateway at `url`; `intertie` is how the command is called from here."""
    return f"""\
Send a webhook, as an external system does:

curl -i {url}/api/v1/integrations/webhook/{SYSTEM} \\
  -H 'X-Webhook-Secret: {SECRET}' -H 'Content-Type: application/json' \\
  -d '{{"event_type": "incident_created", "id": "12345", "title": "Traffic Accident",
       "location": "Main St", "date": "2025-01-20"}}'

Push a record:

curl -i {url}/api/v1/integrations/push -H 'Content-Type: application/json' \\
  -d '{{"system": "{SYSTEM}", "mapping": "{MAPPING}",
       "data": {{"id": "12346", "title": "Road Closure", "location": "Elm St", "date": "2025-01-21"}}}}'

See what became of it:

{intertie} records list --system {SYSTEM}
{intertie} checkpoints list
curl -s -H "Authorization: Bearer $({intertie} token issue --role viewer)" \\
  '{url}/api/v1/integrations/logs?system={SYSTEM}'

{demo_pull.commands(url, intertie, MODULE)}"""
