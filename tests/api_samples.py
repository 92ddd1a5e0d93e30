"""Connections to the external API of tests, and what their calls answer."""

import json
from typing import Any

from external_api import ExternalApi
from intertie_ingest.apis import Apis
from intertie_ingest.external import ExternalConnection

LOOPBACK = {"allowed_networks": ["127.0.0.0/8", "::1"]}


def connection(server: ExternalApi, path: str = "", **options: Any) -> ExternalConnection:
    """A REST connection to the server, without credentials."""
    return ExternalConnection(
        1,
        1,
        "crm",
        options.pop("connection_type", "rest"),
        api_base_url=server.url + path,
        api_auth_type=options.pop("auth", "none"),
        api_auth_token=options.pop("token", ""),
        api_timeout=options.pop("timeout", 10),
        options=LOOPBACK | options,
    )


async def get(apis: Apis, where: ExternalConnection, endpoint: str, data: Any = None) -> Any:
    """What a GET of an endpoint answers."""
    return json.loads((await apis.call(where, "GET", endpoint, data, only_reads=True)).data)
