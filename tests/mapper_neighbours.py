"""The services that mapper calls, as real servers that keep what they need in memory, and mapper beside them."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from intertie.audit.v1 import audit_pb2, audit_pb2_grpc
from intertie.ingest.v1 import ingest_pb2, ingest_pb2_grpc, queue_pb2, queue_pb2_grpc
from intertie.mapper.v1 import mapper_pb2_grpc
from intertie.registry.v1 import feed_pb2, feed_pb2_grpc
from intertie_chassis import clients
from intertie_chassis.database import Database
from intertie_chassis.errors import Unavailable
from intertie_chassis.identity import KeyRing, MintedToken, Verifier
from intertie_chassis.server import Server
from intertie_mapper.composition import Mapper
from intertie_mapper.migrations import MIGRATIONS
from intertie_mapper.service import DESCRIPTOR
from intertie_mapper.settings import MapperSettings

PREFIX = "campaign_department_"


class Queue(queue_pb2_grpc.RecordQueueServicer):
    """RecordQueue: hands out what was put in, once per settlement that asks for another try."""

    def __init__(self) -> None:
        self.settled: dict[int, queue_pb2.Settlement] = {}
        self.settlements: list[queue_pb2.Settlement] = []
        self.leases = 0
        self.refuses_to_settle = 0
        self._waiting: list[queue_pb2.LeasedRecord] = []
        self._leased: dict[str, dict[int, queue_pb2.LeasedRecord]] = {}
        self._wake = asyncio.Condition()
        self._next = 1

    async def put(self, external_id: str, data: dict[str, Any], *, mapping_id: int = 1, revision: int = 1) -> int:
        """A pending record; gives its number."""
        raw = json.dumps(data).encode()
        async with self._wake:
            number, self._next = self._next, self._next + 1
            self._waiting.append(
                queue_pb2.LeasedRecord(
                    id=number, system_id=1, mapping_id=mapping_id, external_id=external_id, revision=revision, data=raw,
                    delivery_id=f"d{number}", digest=hashlib.sha256(raw).digest(), attempts=0,
                )
            )  # fmt: skip
            self._wake.notify_all()
        return number

    async def LeaseRecords(  # noqa: N802
        self, request: queue_pb2.LeaseRecordsRequest, context: Any
    ) -> queue_pb2.LeaseRecordsResponse:
        """Wait for records as long as is asked."""
        async with self._wake:
            try:
                async with asyncio.timeout(request.wait_milliseconds / 1000):
                    await self._wake.wait_for(lambda: bool(self._waiting))
            except TimeoutError:
                return queue_pb2.LeaseRecordsResponse()
            some, self._waiting = self._waiting[: request.max_records], self._waiting[request.max_records :]
            for record in some:
                record.attempts += 1
            self.leases += 1
            token = f"lease-{self.leases}"
            self._leased[token] = {record.id: record for record in some}
            return queue_pb2.LeaseRecordsResponse(lease_token=token, records=some)

    async def SettleRecords(  # noqa: N802
        self, request: queue_pb2.SettleRecordsRequest, context: Any
    ) -> queue_pb2.SettleRecordsResponse:
        """Keep settlements; retries are waiting again at once."""
        if self.refuses_to_settle:
            self.refuses_to_settle -= 1
            raise Unavailable
        held = self._leased.pop(request.lease_token, {})
        async with self._wake:
            for settlement in request.settlements:
                record = held.get(settlement.id)
                if record is None:
                    continue
                self.settlements.append(settlement)
                self.settled[settlement.id] = settlement
                if settlement.untried:
                    record.attempts -= 1
                if settlement.outcome == queue_pb2.Settlement.OUTCOME_RETRY:
                    self._waiting.append(record)
            self._wake.notify_all()
        return queue_pb2.SettleRecordsResponse()

    async def ExtendLeases(  # noqa: N802
        self, request: queue_pb2.ExtendLeasesRequest, context: Any
    ) -> queue_pb2.ExtendLeasesResponse:
        """Nothing expires here."""
        return queue_pb2.ExtendLeasesResponse()


Queue.__abstractmethods__ = frozenset()


class Cache(ingest_pb2_grpc.IngestServiceServicer):
    """Ingest's cache as far as mapper reads it."""

    def __init__(self) -> None:
        self.records: list[ingest_pb2.Record] = []

    async def ListRecords(  # noqa: N802
        self, request: ingest_pb2.ListRecordsRequest, context: Any
    ) -> ingest_pb2.ListRecordsResponse:
        """Those of the state that is asked for, in pages by position."""
        start = int(request.page_token or 0)
        fitting = [one for one in self.records if request.sync_status in ("", one.sync_status)]
        end = start + (request.page_size or 50)
        token = str(end) if end < len(fitting) else ""
        return ingest_pb2.ListRecordsResponse(records=fitting[start:end], next_page_token=token)


Cache.__abstractmethods__ = frozenset()


class Feed(feed_pb2_grpc.RegistryFeedServicer):
    """RegistryFeed: a snapshot for each watcher, then what is changed."""

    def __init__(self) -> None:
        self.systems: dict[int, feed_pb2.SystemConfiguration] = {}
        self._may_speak = asyncio.Event()
        self._may_speak.set()
        self._watchers: set[asyncio.Queue[feed_pb2.WatchConfigurationResponse]] = set()

    @property
    def watchers(self) -> int:
        """How many watch."""
        return len(self._watchers)

    def hush(self) -> None:
        """Give no snapshot to new watchers until `speak`."""
        self._may_speak.clear()

    def speak(self) -> None:
        """Give them the snapshot."""
        self._may_speak.set()

    def change(self, system: feed_pb2.SystemConfiguration) -> None:
        """A system is new or other than before."""
        self.systems[system.id] = system
        for watcher in self._watchers:
            watcher.put_nowait(feed_pb2.WatchConfigurationResponse(systems=[system], complete=True))

    async def WatchConfiguration(  # noqa: N802
        self, request: feed_pb2.WatchConfigurationRequest, context: Any
    ) -> AsyncIterator[feed_pb2.WatchConfigurationResponse]:
        """The snapshot in two parts, then changes."""
        watcher: asyncio.Queue[feed_pb2.WatchConfigurationResponse] = asyncio.Queue()
        self._watchers.add(watcher)
        try:
            await self._may_speak.wait()
            yield feed_pb2.WatchConfigurationResponse(systems=list(self.systems.values()), snapshot=True)
            yield feed_pb2.WatchConfigurationResponse(snapshot=True, complete=True)
            while True:
                yield await watcher.get()
        finally:
            self._watchers.discard(watcher)


Feed.__abstractmethods__ = frozenset()


class Log(audit_pb2_grpc.AuditServiceServicer):
    """The audit log as far as it takes entries."""

    def __init__(self) -> None:
        self.entries: dict[str, audit_pb2.Entry] = {}

    async def AppendEntries(  # noqa: N802
        self, request: audit_pb2.AppendEntriesRequest, context: Any
    ) -> audit_pb2.AppendEntriesResponse:
        """Each id once."""
        before = len(self.entries)
        for entry in request.entries:
            self.entries.setdefault(entry.entry_id, entry)
        return audit_pb2.AppendEntriesResponse(appended=len(self.entries) - before)


Log.__abstractmethods__ = frozenset()


class Installation:
    """Mapper and its neighbours."""

    def __init__(self, keys: KeyRing, settings: MapperSettings, database: Database) -> None:
        self.database = database
        self.settings = settings
        # Their other methods are not asked.
        self.queue, self.feed = Queue(), Feed()  # type: ignore[abstract]
        self.cache, self.log = Cache(), Log()  # type: ignore[abstract]
        self.verifier = Verifier(keys.jwks_path)
        self._keys = keys
        self._channels: dict[str, clients.Channel] = {}
        self.neighbours: Server
        self.server: Server
        self.mapper: Mapper

    def stub(self, role: str) -> mapper_pb2_grpc.MapperServiceStub:
        """Mapper as a caller of this role meets it."""
        if role not in self._channels:
            address = f"127.0.0.1:{self.server.port}"
            self._channels[role] = clients.connect(address, MintedToken(self._keys, role))
        return mapper_pb2_grpc.MapperServiceStub(self._channels[role])

    def system(
        self, *mappings: tuple[str, dict[str, Any]], writers: tuple[str, ...] = ()
    ) -> feed_pb2.SystemConfiguration:
        """The one system with mappings of these targets and configurations."""
        return feed_pb2.SystemConfiguration(
            id=1,
            name="law_enforcement",
            is_active=True,
            mappings=[
                feed_pb2.MappingConfiguration(
                    id=number,
                    name=f"mapping_{number}",
                    target_table=PREFIX + target,
                    mapping_config=json.dumps(config).encode(),
                    sync_frequency="realtime",
                    is_active=True,
                )
                for number, (target, config) in enumerate(mappings, 1)
            ],
            grants=[
                feed_pb2.GrantConfiguration(id=number, module_name=name, access_type="read_write", is_active=True)
                for number, name in enumerate(writers, 1)
            ],
        )

    async def start(self) -> None:
        """Start the neighbours, then mapper."""
        await self._start_neighbours("127.0.0.1:0")
        await self.start_mapper()

    async def restart_neighbours(self) -> None:
        """They go away and come back at the same address."""
        port = self.neighbours.port
        await self.neighbours.stop()
        await self._start_neighbours(f"127.0.0.1:{port}")

    async def _start_neighbours(self, listen: str) -> None:
        self.neighbours = Server("neighbours", listen, self.verifier, drain_seconds=0.2)
        self.neighbours.add(
            queue_pb2_grpc.add_RecordQueueServicer_to_server,
            self.queue,
            queue_pb2.DESCRIPTOR.services_by_name["RecordQueue"],
        )
        self.neighbours.add(
            ingest_pb2_grpc.add_IngestServiceServicer_to_server,
            self.cache,
            ingest_pb2.DESCRIPTOR.services_by_name["IngestService"],
        )
        self.neighbours.add(
            feed_pb2_grpc.add_RegistryFeedServicer_to_server,
            self.feed,
            feed_pb2.DESCRIPTOR.services_by_name["RegistryFeed"],
        )
        self.neighbours.add(
            audit_pb2_grpc.add_AuditServiceServicer_to_server,
            self.log,
            audit_pb2.DESCRIPTOR.services_by_name["AuditService"],
        )
        await self.neighbours.start()

    async def start_mapper(self) -> None:
        """Start mapper as its __main__ does."""
        self.server = Server("mapper", "127.0.0.1:0", self.verifier, drain_seconds=0.2)
        neighbours = clients.connect(f"127.0.0.1:{self.neighbours.port}", MintedToken(self._keys, "service:mapper"))
        self.server.resources.push_async_callback(neighbours.close)
        self.mapper = Mapper(self.settings, self.database, registry=neighbours, ingest=neighbours, audit=neighbours)
        self.server.add(mapper_pb2_grpc.add_MapperServiceServicer_to_server, self.mapper.service, DESCRIPTOR)
        self.server.run_in_background("configuration", self.mapper.feed.watch)
        self.server.run_in_background("records", self.mapper.work)
        self.server.run_in_background("audit outbox", self.mapper.drain)
        await self.server.start()

    async def stop(self) -> None:
        """Stop all."""
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()
        await self.server.stop()
        await self.neighbours.stop()


@asynccontextmanager
async def installation(url: str, directory: Path, **settings: Any) -> AsyncIterator[Installation]:
    """Mapper over a newly migrated database, running, with its neighbours."""
    keys = KeyRing(directory / "data")
    keys.ensure()
    async with AsyncExitStack() as stack:
        database = await Database.open(url, table_prefix=PREFIX)
        stack.push_async_callback(database.close)
        await MIGRATIONS.upgrade(database, PREFIX)
        made = Installation(keys, MapperSettings(data_dir=directory / "data", **settings), database)
        await made.start()
        stack.push_async_callback(made.stop)
        yield made
