"""An ingest started anew while registry is away: it accepts with what it has kept, and gives way to registry."""

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

import processes
from ingest_samples import SECRET, mapping, system
from intertie.ingest.v1 import ingest_pb2
from intertie_chassis import errors as chassis_errors
from intertie_chassis.sealing_sources import FileKeys
from intertie_ingest.configuration import StoredGrant
from intertie_ingest.snapshot_file import SnapshotFile
from waiting import eventually

KNOWN = system(mapping(), grants=(StoredGrant("events", "read_write", True),))


def webhook(number: int, name: str = "law_enforcement", secret: str = SECRET) -> ingest_pb2.RawDelivery:
    headers = (("content-type", b"application/json"), ("x-webhook-secret", secret.encode()))
    return ingest_pb2.RawDelivery(
        route=ingest_pb2.ROUTE_WEBHOOK,
        system=name,
        body=json.dumps({"id": number}).encode(),
        headers=[ingest_pb2.Header(name=header, value=value) for header, value in headers],
    )


async def accepted(rig: Any, number: int, **options: str) -> bool:
    """Whether the delivery is accepted; what ingest says when it is not ready yet counts as no."""
    try:
        (result,) = await rig.accept(webhook(number, **options))
    except chassis_errors.Unavailable as error:
        raise AssertionError(str(error)) from error
    return bool(result.HasField("acceptance"))


async def codes(rig: Any, *deliveries: ingest_pb2.RawDelivery) -> list[int]:
    """What deliveries are answered, as status codes; 0 for accepted ones."""
    return [result.error.code for result in await rig.accept(*deliveries)]


async def kept(start: Any, path: Path) -> None:
    """An ingest runs, keeps what registry says, and stops with registry."""
    first = await start(ingest_snapshot_file=path)
    first.feed.say(KNOWN)
    await eventually(lambda: accepted(first, 1))
    keys = FileKeys(first.settings.data_dir / "keys" / "ingest-snapshot.key")
    file = SnapshotFile(path, keys, timedelta(hours=1))
    # Registry's first word was that there is nothing, and that was kept, too.
    await eventually(lambda: (found := file.read(time.time())) and found.systems == (KNOWN,))
    await first.stop()


async def test_it_accepts_without_registry_and_gives_way_to_it(start: Any, tmp_path: Path) -> None:
    """What it knows it takes, hands on and grants; what it does not know waits for registry, whose word then counts."""
    path = tmp_path / "kept"
    await kept(start, path)
    address = f"127.0.0.1:{processes.free_port()}"
    second = await start(ingest_snapshot_file=path, registry_address=address)
    await eventually(lambda: accepted(second, 2))
    lease = await second.lease(max_records=10, wait_milliseconds=10_000)
    assert sorted(record.external_id for record in lease.records) == ["1", "2"]
    unknown = [webhook(3, secret="rotated meanwhile"), webhook(3, name="new meanwhile")]
    unavailable = 14
    assert await codes(second, webhook(3), *unknown) == [0, unavailable, unavailable]
    push = ingest_pb2.PushRequest(system="law_enforcement", mapping="new meanwhile", data=b"{}")
    with pytest.raises(chassis_errors.Unavailable) as caught:
        await second.ingest("module:events").Push(push)
    assert (caught.value.reason, caught.value.retry_after) == ("NO_SNAPSHOT", 1)
    push.mapping = "incidents_to_events"
    assert (await second.ingest("module:events").Push(push)).acceptance.delivery_id

    second.feed.say(system(mapping(), webhook_secret="rotated meanwhile"), system(number=2, name="new meanwhile"))
    await second.open_registry(address)
    await eventually(lambda: accepted(second, 4, secret="rotated meanwhile"))
    unauthenticated = 16
    assert await codes(second, webhook(5), *unknown) == [unauthenticated, 0, 0]
    with pytest.raises(chassis_errors.PermissionDenied):
        await second.ingest("module:events").Push(push)


async def test_what_cannot_be_used_changes_nothing(start: Any, tmp_path: Path) -> None:
    """Ingest starts, answers 503, and comes up with registry as it would without a file."""
    path = tmp_path / "kept"
    await kept(start, path)
    sealed = path.read_text()
    path.write_text(sealed[: len(sealed) // 2])
    address = f"127.0.0.1:{processes.free_port()}"
    with capture_logs() as logs:
        second = await start(ingest_snapshot_file=path, registry_address=address)
        await eventually(lambda: [one for one in logs if "is not used" in one["event"]])
    with pytest.raises(chassis_errors.Unavailable) as caught:
        await second.accept(webhook(2))
    assert caught.value.reason == "NO_SNAPSHOT"
    second.feed.say(KNOWN)
    await second.open_registry(address)
    await eventually(lambda: accepted(second, 2))
