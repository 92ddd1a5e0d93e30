"""A real pull server, between a registry, an ingest and an audit that only say and take what a test wants."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import orjson

from intertie.audit.v1 import audit_pb2, audit_pb2_grpc
from intertie.ingest.v1 import query_pb2_grpc, queue_pb2, queue_pb2_grpc, sync_pb2_grpc
from intertie.registry.v1 import feed_pb2, feed_pb2_grpc
from intertie_chassis import calls
from intertie_chassis.clients import Channel, connect
from intertie_chassis.database import Database
from intertie_chassis.identity import FixedToken, KeyRing, Verifier
from intertie_chassis.ids import new_ulid
from intertie_chassis.server import Server
from intertie_ingest.configuration import StoredConnection, StoredGrant, StoredMapping, StoredSystem
from intertie_ingest.external import ExternalConnection
from intertie_ingest.grants import NEVER
from intertie_ingest.migrations import MIGRATIONS
from intertie_ingest.pull.assembly import assemble
from intertie_ingest.pull.settings import PullSettings
from waiting import eventually


class Registry(feed_pb2_grpc.RegistryFeedServicer):
    """A registry that says what the test has set, and remembers what it is told."""

    def __init__(self) -> None:
        self.systems: tuple[StoredSystem, ...] = ()
        #: what is due, until somebody says that it is taken
        self.due: list[feed_pb2.Tick] = []
        self.taken: list[feed_pb2.Tick] = []
        self.syncs: list[feed_pb2.ReportSyncRequest] = []
        self.trials: list[feed_pb2.ReportConnectionTestRequest] = []
        self._changed = asyncio.Event()

    def say(self, *systems: StoredSystem) -> None:
        """Makes this the configuration."""
        self.systems = systems
        self._changed.set()

    async def WatchConfiguration(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        """Always whole snapshots: as a registry that restarts at each change."""
        while True:
            self._changed.clear()
            systems = [system_message(stored) for stored in self.systems]
            yield feed_pb2.WatchConfigurationResponse(systems=systems, snapshot=True, complete=True)
            await self._changed.wait()

    async def ClaimTicks(self, request: Any, context: Any) -> Any:  # noqa: N802
        """As the contract says."""
        self.taken.extend(request.taken)
        moments = {(tick.mapping_id, tick.due_at.ToNanoseconds()) for tick in request.taken}
        self.due = [tick for tick in self.due if (tick.mapping_id, tick.due_at.ToNanoseconds()) not in moments]
        return feed_pb2.ClaimTicksResponse(ticks=self.due[: request.max_ticks])

    async def ReportSync(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Remembers it."""
        self.syncs.append(request)
        return feed_pb2.ReportSyncResponse()

    async def ReportConnectionTest(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Remembers it."""
        self.trials.append(request)
        return feed_pb2.ReportConnectionTestResponse()


class Audit(audit_pb2_grpc.AuditServiceServicer):
    """An audit that remembers."""

    def __init__(self) -> None:
        self.entries: list[audit_pb2.Entry] = []

    async def AppendEntries(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Takes each entry once."""
        known = {entry.entry_id for entry in self.entries}
        self.entries += [entry for entry in request.entries if entry.entry_id not in known]
        return audit_pb2.AppendEntriesResponse(appended=len(request.entries))


class Queue(queue_pb2_grpc.RecordQueueServicer):
    """An ingest that counts what is announced."""

    def __init__(self) -> None:
        self.announced = 0

    async def AnnounceRecords(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Counts it."""
        self.announced += request.records
        return queue_pb2.AnnounceRecordsResponse()


@dataclass
class PullRig:
    """The running servers, and ways to call pull."""

    keys: KeyRing
    settings: PullSettings
    registry: Registry
    audit: Audit
    queue: Queue
    database: Database
    port: int
    stack: AsyncExitStack
    channels: dict[str, Channel] = field(default_factory=dict)

    def as_(self, role: str) -> Channel:
        """A channel with the token of a role."""
        if role not in self.channels:
            self.channels[role] = connect(f"127.0.0.1:{self.port}", FixedToken(self.keys.issue(role)))
            self.stack.push_async_callback(self.channels[role].close)
        return self.channels[role]

    def query(self, role: str) -> Any:
        """QueryService as a role calls it."""
        return query_pb2_grpc.QueryServiceStub(self.as_(role))

    def sync(self, role: str = "operator") -> Any:
        """SyncService as a role calls it."""
        return sync_pb2_grpc.SyncServiceStub(self.as_(role))

    async def is_serving(self) -> bool:
        """Whether its health says that it serves."""
        answer = await self.as_("admin").unary_unary("/grpc.health.v1.Health/Check")(b"")
        return bool(answer == b"\x08\x01")

    async def entries(self, request_id: str) -> list[audit_pb2.Entry]:
        """The log's entries of a question, of which there is one at least; that it was denied is told besides."""

        def told() -> list[audit_pb2.Entry]:
            about_it = [one for one in self.audit.entries if one.request_id == request_id]
            return [one for one in about_it if one.query_type != "access"]

        return await eventually(told)


def named_call() -> str:
    """Gives the calls that this test makes from here on a new request id, by which `entries` finds them."""
    request_id = new_ulid()
    calls.set_request_id(request_id)
    return request_id


def stored(external: ExternalConnection, **changes: Any) -> StoredConnection:
    """The connection as registry has it."""
    names = {one.name for one in fields(StoredConnection)} - {"config_json"}
    values: dict[str, Any] = {name: getattr(external, name) for name in names}
    return StoredConnection(**{**values, "config_json": orjson.dumps(dict(external.options)), **changes})


def system_of(
    *connections: StoredConnection,
    number: int = 1,
    name: str = "police",
    mappings: Sequence[StoredMapping] = (),
    grants: Sequence[StoredGrant] = (),
    is_active: bool = True,
) -> StoredSystem:
    """A system with these connections."""
    return StoredSystem(number, name, is_active, connections, tuple(mappings), tuple(grants))


def system_message(system: StoredSystem) -> feed_pb2.SystemConfiguration:
    """A system as the feed sends it."""
    message = feed_pb2.SystemConfiguration(id=system.id, name=system.name, is_active=system.is_active)
    for connection in system.connections:
        message.connections.add(
            **{one.name: getattr(connection, one.name) for one in fields(connection)}  # the same names
        )
    for mapping in system.mappings:
        message.mappings.add(**{one.name: getattr(mapping, one.name) for one in fields(mapping)})
    message.grants.extend(grant_message(grant) for grant in system.grants)
    return message


def grant_message(grant: StoredGrant) -> feed_pb2.GrantConfiguration:
    """A grant as the feed sends it."""
    message = feed_pb2.GrantConfiguration(
        module_name=grant.module,
        access_type=grant.access_type,
        is_active=grant.is_active,
        query_permissions=grant.query_permissions,
    )
    if grant.ends_at != NEVER:
        message.expires_at.FromMilliseconds(int(grant.ends_at * 1000))
    return message


@asynccontextmanager
async def pull_rig(
    tmp_path: Path, database_url: str, *systems: StoredSystem, **settings: Any
) -> AsyncIterator[PullRig]:
    """Pull on the database, with these systems; `settings` are PullSettings'."""
    async with AsyncExitStack() as stack:
        rig = await _started(tmp_path, database_url, stack, settings)
        rig.registry.say(*systems)

        await eventually(rig.is_serving)  # type: ignore[arg-type]
        yield rig


async def _started(tmp_path: Path, database_url: str, stack: AsyncExitStack, options: dict[str, Any]) -> PullRig:
    keys = KeyRing(tmp_path / "data")
    keys.ensure()
    verifier = Verifier(keys.jwks_path)
    registry, audit, queue = Registry(), Audit(), Queue()  # type: ignore[abstract]
    neighbours = Server("neighbours", "127.0.0.1:0", verifier, drain_seconds=0)
    neighbours.add(
        feed_pb2_grpc.add_RegistryFeedServicer_to_server, registry, feed_pb2.DESCRIPTOR.services_by_name["RegistryFeed"]
    )
    neighbours.add(
        audit_pb2_grpc.add_AuditServiceServicer_to_server, audit, audit_pb2.DESCRIPTOR.services_by_name["AuditService"]
    )
    neighbours.add(
        queue_pb2_grpc.add_RecordQueueServicer_to_server, queue, queue_pb2.DESCRIPTOR.services_by_name["RecordQueue"]
    )
    stack.push_async_callback(neighbours.stop)
    address = f"127.0.0.1:{await neighbours.start()}"
    settings = PullSettings(data_dir=tmp_path / "data", registry_address=address, **options)
    server = Server("pull", "127.0.0.1:0", verifier, drain_seconds=2)
    database = await Database.open(database_url, table_prefix=settings.table_prefix)
    server.resources.push_async_callback(database.close)
    await MIGRATIONS.upgrade(database, settings.table_prefix)
    channel = connect(address, FixedToken(keys.issue("service:pull")))
    server.resources.push_async_callback(channel.close)
    assemble(server, settings, database, channel, channel, channel)
    stack.push_async_callback(server.stop)
    return PullRig(keys, settings, registry, audit, queue, database, await server.start(), stack)
