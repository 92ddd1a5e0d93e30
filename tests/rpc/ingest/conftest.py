"""A real ingest server, between a registry and an audit that only say and take what a test wants."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ingest_samples import mapping, system
from intertie.audit.v1 import audit_pb2, audit_pb2_grpc
from intertie.ingest.v1 import ingest_pb2, ingest_pb2_grpc, queue_pb2, queue_pb2_grpc
from intertie.registry.v1 import feed_pb2, feed_pb2_grpc
from intertie_chassis.clients import Channel, connect
from intertie_chassis.database import Database
from intertie_chassis.identity import FixedToken, KeyRing, Verifier
from intertie_chassis.server import Server
from intertie_ingest.assembly import assemble
from intertie_ingest.configuration import StoredGrant, StoredSystem
from intertie_ingest.migrations import MIGRATIONS
from intertie_ingest.settings import IngestSettings
from intertie_ingest.spool_directory import SpoolDirectory
from intertie_ingest.spool_store import SpoolStore
from passage import Passage
from pull_rig import grant_message
from waiting import eventually

GRANTS = (StoredGrant("events", "read_write", True), StoredGrant("surveys", "read", True))


class Feed(feed_pb2_grpc.RegistryFeedServicer):
    """A registry that says what the test has set, and each change of it."""

    def __init__(self) -> None:
        self.systems: tuple[StoredSystem, ...] = ()
        self._changed = asyncio.Event()

    def say(self, *systems: StoredSystem) -> None:
        """Makes this the configuration."""
        self.systems = systems
        self._changed.set()

    async def WatchConfiguration(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        """Always whole snapshots: as a registry that restarts at each change."""
        while True:
            self._changed.clear()
            yield feed_pb2.WatchConfigurationResponse(
                systems=[_message(stored) for stored in self.systems], snapshot=True, complete=True
            )
            await self._changed.wait()


class Audit(audit_pb2_grpc.AuditServiceServicer):
    """An audit that remembers."""

    def __init__(self) -> None:
        self.entries: dict[str, audit_pb2.Entry] = {}

    async def AppendEntries(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Takes each entry once."""
        self.entries |= {entry.entry_id: entry for entry in request.entries}
        return audit_pb2.AppendEntriesResponse(appended=len(request.entries))


@dataclass
class Rig:
    """The running servers and ways to call ingest."""

    keys: KeyRing
    verifier: Verifier
    settings: IngestSettings
    feed: Feed
    audit: Audit
    server: Server
    database: Database
    neighbours: Server
    port: int
    stack: AsyncExitStack
    channels: dict[str, Channel] = field(default_factory=dict)

    def as_(self, role: str) -> Channel:
        """A channel with the token of a role."""
        if role not in self.channels:
            self.channels[role] = connect(f"127.0.0.1:{self.port}", FixedToken(self.keys.issue(role)))
            self.stack.push_async_callback(self.channels[role].close)
        return self.channels[role]

    def ingest(self, role: str = "operator") -> Any:
        """IngestService as a role calls it."""
        return ingest_pb2_grpc.IngestServiceStub(self.as_(role))

    def queue(self) -> Any:
        """RecordQueue as mapper calls it."""
        return queue_pb2_grpc.RecordQueueStub(self.as_("service:mapper"))

    async def accept(self, *deliveries: Any) -> list[Any]:
        """The results of a batch, as the gateway gets them."""
        request = ingest_pb2.AcceptDeliveriesRequest(deliveries=deliveries)
        return list((await self.ingest("service:gateway").AcceptDeliveries(request)).results)

    async def open_registry(self, address: str) -> None:
        """Has registry, as `feed` says it, answer where it was not."""
        opened = await open_neighbours(self.verifier, self.feed, self.audit, address)
        self.stack.push_async_callback(opened.stop)

    async def stop(self) -> None:
        """Stops ingest and its neighbours."""
        await self.server.stop()
        await self.neighbours.stop()

    async def lease(self, **options: Any) -> Any:
        """A lease, as mapper gets it."""
        return await self.queue().LeaseRecords(queue_pb2.LeaseRecordsRequest(**options))


Start = Callable[..., Awaitable[Rig]]
"""Starts an ingest with neighbours on the test's database and data directory; what is given are settings."""


@pytest.fixture
async def start(tmp_path: Path, database_url: str) -> AsyncIterator[Start]:
    """Ingests one after another, as a test that restarts it needs them."""
    async with AsyncExitStack() as stack:

        async def started(**options: Any) -> Rig:
            return await _start(tmp_path, database_url, stack, **options)

        yield started


@pytest.fixture
async def rig(tmp_path: Path, database_url: str) -> AsyncIterator[Rig]:
    """Ingest on the test's database, with the seed's system and two modules' grants."""
    async with AsyncExitStack() as stack:
        made = await _start(tmp_path, database_url, stack)
        made.feed.say(system(mapping(), grants=GRANTS))
        await eventually(lambda: _is_ready(made))
        yield made


@pytest.fixture
async def embedded(tmp_path: Path, sqlite_url: str) -> AsyncIterator[Rig]:
    """The same on a SQLite file only."""
    async with AsyncExitStack() as stack:
        made = await _start(tmp_path, sqlite_url, stack)
        made.feed.say(system(mapping()))
        await eventually(lambda: _is_ready(made))
        yield made


@pytest.fixture
async def behind_passage(tmp_path: Path, mariadb_server: Any, mariadb_url: str) -> AsyncIterator[tuple[Rig, Passage]]:
    """The same on a MariaDB that a test may take away, with the way to it."""
    with Passage(mariadb_server.port) as passage:
        async with AsyncExitStack() as stack:
            made = await _start(tmp_path, mariadb_url.replace(f":{mariadb_server.port}/", f":{passage.port}/"), stack)
            made.feed.say(system(mapping()))
            await eventually(lambda: _is_ready(made))
            yield made, passage
            passage.widen()


@pytest.fixture
async def spooling(tmp_path: Path, mariadb_server: Any, mariadb_url: str) -> AsyncIterator[tuple[Rig, Passage]]:
    """The same with a spool, on a MariaDB that a test may take away, with the way to it."""
    with Passage(mariadb_server.port) as passage:
        async with AsyncExitStack() as stack:
            url = mariadb_url.replace(f":{mariadb_server.port}/", f":{passage.port}/")
            made = await _start(tmp_path, url, stack, spool_dir=tmp_path / "spool")
            made.feed.say(system(mapping(), grants=GRANTS))
            await eventually(lambda: _is_ready(made))
            yield made, passage


@pytest.fixture
async def unconfigured(tmp_path: Path, database_url: str) -> AsyncIterator[Rig]:
    """Ingest that has never reached a registry."""
    async with AsyncExitStack() as stack:
        yield await _start(tmp_path, database_url, stack, registry_address="127.0.0.1:1")


async def _start(tmp_path: Path, database_url: str, stack: AsyncExitStack, **options: Any) -> Rig:
    """Options are settings; without `registry_address` one of the neighbours is registry."""
    keys = KeyRing(tmp_path / "data")
    keys.ensure()
    verifier = Verifier(keys.jwks_path)
    feed, audit = Feed(), Audit()
    neighbours = await open_neighbours(verifier, feed, audit)
    stack.push_async_callback(neighbours.stop)
    address = f"127.0.0.1:{neighbours.port}"
    settings = IngestSettings(data_dir=tmp_path / "data", **{"registry_address": address, **options})
    server = Server("ingest", "127.0.0.1:0", verifier, drain_seconds=2)
    spooled = None if settings.spool_dir is None else await SpoolStore.open(SpoolDirectory.take(settings.spool_dir))
    if spooled is not None:
        server.resources.push_async_callback(spooled.close)
    database = await Database.open(database_url, table_prefix=settings.table_prefix)
    server.resources.push_async_callback(database.close)
    await MIGRATIONS.upgrade(database, settings.table_prefix)
    token = FixedToken(keys.issue("service:ingest"))
    registry, log = connect(settings.registry_address, token), connect(address, token)
    server.resources.push_async_callback(registry.close)
    server.resources.push_async_callback(log.close)
    assemble(server, settings, database, verifier, registry, log, spooled)
    stack.push_async_callback(server.stop)
    return Rig(keys, verifier, settings, feed, audit, server, database, neighbours, await server.start(), stack)


async def open_neighbours(verifier: Verifier, feed: Feed, audit: Audit, listen: str = "127.0.0.1:0") -> Server:
    """A registry and an audit on one address."""
    neighbours = Server("neighbours", listen, verifier, drain_seconds=0)
    neighbours.add(
        feed_pb2_grpc.add_RegistryFeedServicer_to_server, feed, feed_pb2.DESCRIPTOR.services_by_name["RegistryFeed"]
    )
    neighbours.add(
        audit_pb2_grpc.add_AuditServiceServicer_to_server, audit, audit_pb2.DESCRIPTOR.services_by_name["AuditService"]
    )
    await neighbours.start()
    return neighbours


async def _is_ready(rig: Rig) -> bool:
    request = ingest_pb2.ListDeliveriesRequest(system="law_enforcement")
    try:
        await rig.ingest().ListDeliveries(request)
    except Exception as error:
        raise AssertionError(str(error)) from error
    return True


def _message(stored: StoredSystem) -> feed_pb2.SystemConfiguration:
    return feed_pb2.SystemConfiguration(
        id=stored.id,
        name=stored.name,
        is_active=stored.is_active,
        connections=[
            feed_pb2.ConnectionConfiguration(id=one.id, is_active=one.is_active, config_json=one.config_json)
            for one in stored.connections
        ],
        mappings=[
            feed_pb2.MappingConfiguration(
                id=one.id,
                name=one.name,
                is_active=one.is_active,
                sync_frequency=one.sync_frequency,
                mapping_config=one.mapping_config,
            )
            for one in stored.mappings
        ],
        grants=[grant_message(one) for one in stored.grants],
    )
