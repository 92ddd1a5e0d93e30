"""Syncs through the whole process: asked for by hand and by tick, read from a real database, and told of."""

import json
from pathlib import Path

from external_databases import ExternalSQLite
from intertie.ingest.v1 import sync_pb2
from intertie.registry.v1 import feed_pb2
from intertie_ingest.configuration import StoredGrant, StoredMapping
from pull_rig import PullRig, pull_rig, stored, system_of
from waiting import eventually

CONFIG = {"field_mappings": {"title": "event_title"}, "sync": {"cursor_field": "id", "page_size": 2}}


async def test_a_sync_is_read_announced_and_shown(tmp_path: Path, files: ExternalSQLite, database_url: str) -> None:
    """Asked for by a module with a grant to read; then by a tick, which is taken up once and reported."""
    mapping = StoredMapping(7, "incidents", True, "hourly", json.dumps(CONFIG).encode(), "incidents")
    system = system_of(stored(files.connection), mappings=[mapping], grants=[StoredGrant("reader", "read", True)])
    async with pull_rig(tmp_path, database_url, system) as rig:
        request = sync_pb2.RunSyncRequest(system="police", mapping="incidents", no_wait=True)
        started = await rig.sync("module:reader").RunSync(request)
        await eventually(lambda: _has_read(rig, started.run.run_id, 3))
        await eventually(lambda: rig.queue.announced == 3)
        tick = feed_pb2.Tick(mapping_id=7, system_id=1)
        tick.due_at.FromJsonString("2026-05-01T10:00:00Z")
        rig.registry.due.append(tick)
        await eventually(lambda: rig.registry.taken)
        assert [one.mapping_id for one in rig.registry.taken] == [7]
        assert not rig.registry.due
        await rig.sync().CancelRun(sync_pb2.CancelRunRequest(run_id=started.run.run_id))
        await eventually(lambda: [one for one in rig.audit.entries if one.query_type == "sync"])


async def _has_read(rig: PullRig, run_id: str, records: int) -> bool:
    run = await rig.sync("viewer").GetRun(sync_pb2.GetRunRequest(run_id=run_id))
    return bool(run.read == records and run.state == "settling")
