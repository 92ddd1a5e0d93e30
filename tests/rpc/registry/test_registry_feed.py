"""RegistryFeed for pull: ticks, reports and credentials, to pull and to nobody else."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from intertie.registry.v1 import feed_pb2, registry_pb2
from intertie_chassis.errors import InvalidArgument, PermissionDenied, Unauthenticated
from registry_rig import Installation
from waiting import eventually

CONFIG = b'{"field_mappings": {"title": "event_title"}}'
CALLS = ("ClaimTicks", "ReportSync", "ReportConnectionTest")


def moment(when: datetime) -> Timestamp:
    """The time in a message."""
    made = Timestamp()
    made.FromDatetime(when)
    return made


@pytest.fixture
async def mapping(installation: Installation) -> registry_pb2.Mapping:
    """An hourly mapping of a system."""
    stub = installation.stub("operator")
    await stub.CreateSystem(registry_pb2.CreateSystemRequest(system=registry_pb2.System(system_name="police")))
    wanted = registry_pb2.Mapping(
        system="police", mapping_name="m", target_table="t", mapping_config=CONFIG, sync_frequency="hourly"
    )
    return await stub.CreateMapping(registry_pb2.CreateMappingRequest(mapping=wanted, skip_target_validation=True))


async def test_ticks_and_reports_are_for_pull(installation: Installation) -> None:
    """Whatever else somebody may."""
    for role in ("", "admin", "operator", "module:events", "module:pull", "service:ingest"):
        for call in CALLS:
            with pytest.raises(PermissionDenied if role else Unauthenticated):
                await getattr(installation.feed(role), call)(getattr(feed_pb2, f"{call}Request")())


async def test_a_tick_from_being_due_to_its_sync(installation: Installation, mapping: registry_pb2.Mapping) -> None:
    """Given until it is taken; then the sync is told, and one by hand; the missed ones are in the audit log."""
    feed, viewer = installation.feed(), installation.stub("viewer")

    async def claimed(*taken: feed_pb2.Tick, most: int = 10) -> list[feed_pb2.Tick]:
        return list((await feed.ClaimTicks(feed_pb2.ClaimTicksRequest(taken=taken, max_ticks=most))).ticks)

    async def read() -> registry_pb2.Mapping:
        return await viewer.GetMapping(registry_pb2.GetMappingRequest(id=mapping.id))

    [tick] = await claimed()
    assert (tick.mapping_id, tick.system_id, tick.missed) == (mapping.id, 1, 0)
    assert tick.due_at == mapping.updated_at
    assert await claimed(most=0) == []
    assert await claimed(most=-1) == []
    assert await claimed() == [tick], "nobody has taken it yet"
    assert await claimed(tick) == []
    after = await read()
    put_off = after.next_sync_at.ToDatetime() - tick.due_at.ToDatetime()
    assert timedelta(hours=1) <= put_off <= timedelta(hours=1, minutes=3)
    assert not after.HasField("last_sync_at")
    assert await claimed(tick) == [], "told twice"
    assert (await read()).next_sync_at == after.next_sync_at

    finished = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    report = feed_pb2.ReportSyncRequest(mapping_id=mapping.id, finished_at=moment(finished), is_scheduled=True)
    await feed.ReportSync(report)
    synced = await read()
    assert (synced.last_sync_at, synced.next_sync_at) == (report.finished_at, after.next_sync_at)
    assert synced.updated_at == mapping.updated_at
    later = moment(finished - timedelta(hours=30))
    await feed.ReportSync(feed_pb2.ReportSyncRequest(mapping_id=mapping.id, finished_at=later))
    assert (await read()).last_sync_at == report.finished_at


async def test_what_is_wrong_with_a_report(installation: Installation) -> None:
    """Every field is named; nothing is half kept."""
    feed, now = installation.feed(), moment(datetime(2026, 1, 1))
    requests: list[tuple[str, Any, set[str]]] = [
        ("ReportSync", feed_pb2.ReportSyncRequest(), {"mapping_id", "finished_at"}),
        ("ReportSync", feed_pb2.ReportSyncRequest(mapping_id=1, finished_at=Timestamp(seconds=-5)), {"finished_at"}),
        ("ReportSync", feed_pb2.ReportSyncRequest(mapping_id=1, finished_at=Timestamp(seconds=2**40)), {"finished_at"}),
        (
            "ReportConnectionTest",
            feed_pb2.ReportConnectionTestRequest(connection_status="never_tested"),
            {"connection_id", "connection_status", "tested_at"},
        ),
        (
            "ClaimTicks",
            feed_pb2.ClaimTicksRequest(taken=[feed_pb2.Tick(mapping_id=1, due_at=now), feed_pb2.Tick()]),
            {"taken[1].mapping_id", "taken[1].due_at"},
        ),
        (
            "ClaimTicks",
            feed_pb2.ClaimTicksRequest(taken=[feed_pb2.Tick(mapping_id=1, due_at=now)] * 1001),
            {"taken"},
        ),
    ]
    for call, request, fields in requests:
        with pytest.raises(InvalidArgument) as error:
            await getattr(feed, call)(request)
        assert {field for field, _ in error.value.violations} == fields


async def test_a_trial_is_shown(installation: Installation, mapping: registry_pb2.Mapping) -> None:
    """Status, time and error; of what is gone nothing is said, and a long error is cut."""
    stub, feed = installation.stub("operator"), installation.feed()
    wanted = registry_pb2.Connection(system="police", connection_type="database", db_host="db.example")
    made = await stub.CreateConnection(registry_pb2.CreateConnectionRequest(connection=wanted))
    tried = moment(datetime(2026, 1, 1, 12))

    async def reported(status: str, error: str, number: int = made.id) -> registry_pb2.Connection:
        await feed.ReportConnectionTest(
            feed_pb2.ReportConnectionTestRequest(
                connection_id=number, connection_status=status, connection_error=error, tested_at=tried
            )
        )
        return await stub.GetConnection(registry_pb2.GetConnectionRequest(id=made.id))

    await reported("error", "x", made.id + 1)
    failed = await reported("error", "no\0 route " + "x" * 70_000)
    assert (failed.connection_status, failed.last_connection_test) == ("error", tried)
    assert failed.connection_error.startswith("no route x")
    assert len(failed.connection_error) == 2000
    works = await reported("connected", "")
    assert (works.connection_status, works.connection_error, works.updated_at) == ("connected", "", made.updated_at)


async def test_only_pull_is_told_where_a_connection_leads(installation: Installation) -> None:
    """Address and credentials to pull; ingest gets the configuration's secrets, the others none."""
    stub = installation.stub("operator")
    await stub.CreateSystem(registry_pb2.CreateSystemRequest(system=registry_pb2.System(system_name="police")))
    wanted = registry_pb2.Connection(
        system="police", connection_type="api", api_base_url="https://api.example", api_auth_token="hush1",
        db_host="db.example", db_password="hush2", config_json=b'{"headers": {"X-Tenant": "hush3", "Accept": "a/b"}}',
    )  # fmt: skip
    made = await stub.CreateConnection(registry_pb2.CreateConnectionRequest(connection=wanted))
    assert made.config_json == b'{"headers":{"Accept":"a/b"}}'
    assert "config_json.headers.X-Tenant" in made.secrets_set

    async def seen(role: str) -> feed_pb2.ConnectionConfiguration:
        async with contextlib.aclosing(installation.watch(role)) as feed, asyncio.timeout(10):
            async for message in feed:
                for each in message.systems:
                    if each.connections:
                        return each.connections[0]
        raise AssertionError("the stream ended")

    pull = await seen("service:pull")
    assert (pull.api_base_url, pull.api_auth_token, pull.db_host, pull.db_password) == (
        "https://api.example", "hush1", "db.example", "hush2",
    )  # fmt: skip
    assert (pull.api_auth_type, pull.api_timeout, pull.db_driver) == ("bearer", 30, "mysql")
    assert b"hush3" in pull.config_json
    ingest = await seen("service:ingest")
    assert b"hush3" in ingest.config_json
    for message in (ingest, await seen("service:mapper")):
        assert "hush1" not in str(message)
        assert "hush2" not in str(message)
        assert not message.db_host
        assert not message.api_base_url
    assert "hush" not in str(await seen("service:mapper"))


async def test_missed_ticks_reach_audit(
    installation: Installation, mapping: registry_pb2.Mapping, database: Any
) -> None:
    """Told once, by the service that took the tick up."""
    await installation.start_neighbours()
    table = f"{database.table_prefix}external_data_mappings"

    async def overdue(connection: Any) -> None:
        await connection.exec_driver_sql(f"UPDATE {table} SET next_sync_at = '2026-01-01 00:00:00'")

    await database.transaction(overdue)
    feed = installation.feed()
    [tick] = (await feed.ClaimTicks(feed_pb2.ClaimTicksRequest(max_ticks=1))).ticks
    assert tick.due_at == moment(datetime(2026, 1, 1))
    assert tick.missed > 0
    await feed.ClaimTicks(feed_pb2.ClaimTicksRequest(taken=[tick, tick]))
    entry = f"service:pull: schedule mapping {mapping.id}"
    await eventually(lambda: entry in installation.audit.told)
    assert installation.audit.told.count(entry) == 1
