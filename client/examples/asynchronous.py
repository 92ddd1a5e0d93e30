"""The same methods from asyncio: calls side by side, and records as they come."""

import asyncio
from typing import Any

from intertie_client import AsyncClient, RateLimited


async def push(client: AsyncClient, record: dict[str, Any]) -> None:
    """Push a record; when there is too much at once, come again when it suits."""
    while True:
        try:
            await client.push("law_enforcement", "incidents_to_events", record)
            return
        except RateLimited as error:
            await asyncio.sleep(error.retry_after or 1)


async def main() -> None:
    """Push ten records at once beside a sync, then read the cache."""
    async with AsyncClient.from_env() as client:
        async with asyncio.TaskGroup() as group:
            sync = group.create_task(client.run_sync("city_roads", "works_to_events"))
            for number in range(2200, 2210):
                group.create_task(push(client, {"id": f"INC-{number}", "title": "Parade", "date": "2026-07-01"}))
        print("all are stored, and the sync has", sync.result().state)

        async for record in client.read_cache("city_roads", "works_to_events"):
            print(record.external_id, record.data["title"])


asyncio.run(main())
