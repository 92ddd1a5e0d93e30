"""The demo's second system: a database and an API of its own, which modules ask and mappings sync from."""

import asyncio
import json
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from intertie.ingest.v1 import sync_pb2
from intertie.registry.v1 import registry_pb2
from intertie_chassis.errors import NotFound, Unavailable
from intertie_cli import demo_api, demo_source
from intertie_cli.session import Session

SYSTEM = "city_roads"
CLOSURES = "closures_to_events"
WORKS = "works_to_events"

_PERMISSIONS = {"tables": ["closures"], "max_rows": 1000, "endpoints": ["/works", "/works/*"]}
_MAPPINGS: dict[str, tuple[str, dict[str, Any]]] = {
    CLOSURES: (
        "closures",
        {
            "field_mappings": {
                "title": "event_title",
                "closed_on": "date",
                "street": "location",
                "reason": "description",
            },
            "defaults": {"event_status": "planned"},
            "sync": {"cursor_field": "updated_at", "lookback_seconds": 60, "page_size": 5},
        },
    ),
    WORKS: (
        "/works",
        {
            "field_mappings": {"title": "event_title", "starts_on": "date", "place": "location"},
            "defaults": {"event_status": "planned"},
            "sync": {
                "cursor_field": "updated_at",
                "cursor_param": "updated_since",
                "records": "works",
                "page_size": 3,
                "pagination": {
                    "kind": "page_number",
                    "base_page": 1,
                    "total_path": "pages",
                    "size_param": "page_size",
                },
            },
        },
    ),
}
_SEEN_SECONDS = 15.0


async def load(session: Session, module: str, address: str) -> None:
    """Makes the system with its database and its API at `address`, lets the module read them; waits until pull knows.

    Its syncs run on demand only: what a newcomer looks at does not change by itself.
    """
    settings, registry = session.settings, session.registry
    system = registry_pb2.System(system_name=SYSTEM, display_name="City Roads Department", system_type="hybrid")
    await registry.CreateSystem(registry_pb2.CreateSystemRequest(system=system))
    file = f"{SYSTEM}.db"
    demo_source.make(settings.data_dir / "external" / file)
    database = registry_pb2.Connection(system=SYSTEM, connection_type="database", db_driver="sqlite", db_name=file)
    api = registry_pb2.Connection(
        system=SYSTEM,
        connection_type="rest",
        api_base_url=f"http://{address}",
        api_auth_type="bearer",
        api_auth_token=demo_api.TOKEN,
        config_json=json.dumps({"allowed_networks": ["127.0.0.0/8", "::1"], "test_endpoint": "/works"}).encode(),
    )
    for connection in (database, api):
        await registry.CreateConnection(registry_pb2.CreateConnectionRequest(connection=connection))
    for name, (source, config) in _MAPPINGS.items():
        mapping = registry_pb2.Mapping(
            system=SYSTEM,
            mapping_name=name,
            source_table=source,
            target_table=f"{settings.table_prefix}events",
            mapping_config=json.dumps(config).encode(),
            sync_frequency="manual",
        )
        await registry.CreateMapping(registry_pb2.CreateMappingRequest(mapping=mapping))
    grant = registry_pb2.Grant(
        module_name=module,
        system=SYSTEM,
        access_type="read",
        query_permissions=json.dumps(_PERMISSIONS).encode(),
    )
    await registry.CreateGrant(registry_pb2.CreateGrantRequest(grant=grant))
    await _wait_until_pull_knows(session)


async def move(session: Session, address: str) -> None:
    """Says where the API listens now, when that is not where it did."""
    listed = await session.registry.ListConnections(registry_pb2.ListConnectionsRequest(system=SYSTEM, page_size=1000))
    for connection in listed.connections:
        url = f"http://{address}"
        if connection.connection_type == "rest" and connection.api_base_url != url:
            # A changed destination clears its credentials, so the token is given anew.
            moved = registry_pb2.Connection(id=connection.id, api_base_url=url, api_auth_token=demo_api.TOKEN)
            mask = FieldMask(paths=["api_base_url", "api_auth_token"])
            await session.registry.UpdateConnection(
                registry_pb2.UpdateConnectionRequest(connection=moved, update_mask=mask)
            )


async def _wait_until_pull_knows(session: Session) -> None:
    request = sync_pb2.GetCursorRequest(system=SYSTEM, mapping=WORKS)
    deadline = asyncio.get_running_loop().time() + _SEEN_SECONDS
    while True:
        try:
            await session.sync.GetCursor(request)
            return
        except NotFound:
            if asyncio.get_running_loop().time() > deadline:
                raise Unavailable("registry has the demo, but pull does not see it: see what it said above") from None
        await asyncio.sleep(0.1)


def commands(url: str, intertie: str, module: str) -> str:
    """What to paste to ask the system and to sync from it, for a gateway at `url`."""
    return f"""\
Ask an external database and an external API, as the module {module}:

curl -s {url}/api/v1/integrations/query/database -H 'Content-Type: application/json' \\
  -H "Authorization: Bearer $({intertie} token issue --role module:{module})" \\
  -d '{{"system": "{SYSTEM}", "query": "SELECT title, street FROM closures WHERE closed_on < :before",
       "params": {{"before": "2026-02-08"}}}}'
curl -s {url}/api/v1/integrations/query/api -H 'Content-Type: application/json' \\
  -H "Authorization: Bearer $({intertie} token issue --role module:{module})" \\
  -d '{{"system": "{SYSTEM}", "endpoint": "/works/RW-203", "method": "GET"}}'

Sync a table and an endpoint of theirs into campaign events; a second time only what is new is read:

{intertie} sync run {SYSTEM} {CLOSURES}
{intertie} sync run {SYSTEM} {WORKS}
"""
