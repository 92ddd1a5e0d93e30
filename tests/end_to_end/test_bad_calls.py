"""Bad calls to a running ingest over gRPC: rows 44 to 46 of the table of bad inputs."""

import json
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from intertie.ingest.v1 import ingest_pb2
from suite import Suite
from waiting import eventually

SYSTEM = "bad_calls"


@pytest.fixture
def ready(suite: Suite) -> Suite:
    """The suite with the system that is pushed to."""
    if suite.is_first_time(SYSTEM):
        suite.add_system(SYSTEM)
        suite.add_mapping(SYSTEM, "events", {"field_mappings": {"title": "event_title"}})
    return suite


def _calls(suite: Suite, method: str, **options: Any) -> Any:
    channel = grpc.insecure_channel(suite.env["INTERTIE_INGEST_ADDRESS"])
    return channel, channel.unary_unary(f"/intertie.ingest.v1.IngestService/{method}", **options)


def _memory(pid: int, field: str = "VmHWM") -> int:
    """KiB of a process at its most (or now)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def _ingest(suite: Suite) -> int:
    """The id of the process that listens as ingest."""
    port = int(suite.env["INTERTIE_INGEST_ADDRESS"].rpartition(":")[2])
    inodes = {
        line.split()[9]
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
    }
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if entry.readlink().name.partition("socket:")[2].strip("[]") in inodes:
                return int(entry.parts[2])
        except OSError:
            continue
    raise AssertionError("nobody listens there")


def test_rows_44_and_45_bytes_that_are_no_message_and_bombs(ready: Suite) -> None:
    """Garbage is INVALID_ARGUMENT, a method that is none UNIMPLEMENTED, what is too large or inflates a thousandfold
    RESOURCE_EXHAUSTED, and costs less than 64 MiB; metadata over the limit gives the same each time."""
    pid = _ingest(ready)
    metadata = (("authorization", f"Bearer {ready.token('operator')}"),)
    gzip, plain = grpc.Compression.Gzip, grpc.Compression.NoCompression
    zeros = bytes(40 * 1024 * 1024)
    wanted = [
        ("Push", b"\xff\xff\xff\xff", plain, (), grpc.StatusCode.INVALID_ARGUMENT),
        ("Push", b"\x0a\x02\xff\xfe", plain, (), grpc.StatusCode.INVALID_ARGUMENT),
        ("Nothing", b"", plain, (), grpc.StatusCode.UNIMPLEMENTED),
        ("Push", zeros, gzip, (), grpc.StatusCode.RESOURCE_EXHAUSTED),
        ("Push", zeros[: 33 * 1024 * 1024], plain, (), grpc.StatusCode.RESOURCE_EXHAUSTED),
        *[("Push", b"", plain, (("x-filler", "x" * 17_000),), grpc.StatusCode.RESOURCE_EXHAUSTED)] * 10,
    ]
    before = _memory(pid, "VmRSS")
    for method, data, compression, more, code in wanted:
        channel, call = _calls(ready, method)
        with channel, pytest.raises(grpc.RpcError) as caught:
            call(data, metadata=metadata + more, compression=compression, timeout=60)
        assert caught.value.code() is code, (method, data[:4], caught.value)
    assert _memory(pid, "VmRSS") - before < 64 * 1024


async def test_row_46_deadlines_and_cancelled_calls_leave_all_or_nothing(ready: Suite) -> None:
    """Whether a row stands may be either; half of one never does."""
    system_id = ready.get(f"/systems/{SYSTEM}")["id"]
    metadata = (("authorization", f"Bearer {ready.token('operator')}"),)
    channel, call = _calls(
        ready,
        "Push",
        request_serializer=ingest_pb2.PushRequest.SerializeToString,
        response_deserializer=ingest_pb2.PushResponse.FromString,
    )
    with channel:
        requests = [
            ingest_pb2.PushRequest(system=SYSTEM, mapping="events", data=b'{"id": "late%d", "title": "x"}' % n)
            for n in range(20)
        ]
        for request in requests[:10]:
            with pytest.raises(grpc.RpcError) as caught:
                call(request, metadata=metadata, timeout=0.001)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        for place, request in enumerate(requests[10:]):
            going = call.future(request, metadata=metadata, timeout=30)
            time.sleep(place / 1000)  # so that some are cancelled before, some in, some after their commit
            going.cancel()
        whole = call(requests[0], metadata=metadata, timeout=30)  # what came before it on the connection has begun
    assert whole.acceptance.external_ids == ["late0"]

    def is_whole() -> bool:
        # A cancelled call may still be committing; what it leaves is whole all the same.
        late = "system_id = %s AND external_id LIKE 'late%%'"
        cached = {row["external_id"] for row in ready.rows("external_data_cache", late, [system_id], "ingest")}
        bodies = [
            bytes(row["body"]) for row in ready.rows("inbound_deliveries", "system_id = %s", [system_id], "ingest")
        ]
        return {json.loads(body)["id"] for body in bodies if body.startswith(b'{"id": "late')} == cached

    await eventually(is_whole)
