"""The registry as its callers meet it: a real server, real tokens, both databases."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import processes
from intertie.audit.v1 import audit_pb2, audit_pb2_grpc
from intertie.mapper.v1 import mapper_pb2, mapper_pb2_grpc
from intertie.registry.v1 import feed_pb2, feed_pb2_grpc, registry_pb2, registry_pb2_grpc
from intertie_chassis import clients
from intertie_chassis.database import Database
from intertie_chassis.errors import IntertieError, InvalidArgument, PermissionDenied, Unauthenticated
from intertie_chassis.identity import FixedToken, KeyRing, MintedToken, Verifier
from intertie_chassis.server import Server
from intertie_registry.__main__ import compose
from intertie_registry.migrations import MIGRATIONS
from intertie_registry.settings import RegistrySettings
from suite import PREFIX
from waiting import eventually

SERVICE = registry_pb2.DESCRIPTOR.services_by_name["RegistryService"]
CONFIG = b'{"field_mappings": {"title": "event_title"}}'


class Mapper(mapper_pb2_grpc.MapperServiceServicer):
    """A mapper that finds fault with the table `bad`."""

    async def ValidateMapping(  # noqa: N802
        self, request: mapper_pb2.ValidateMappingRequest, context: Any
    ) -> mapper_pb2.ValidateMappingResponse:
        """Two problems, or none."""
        names = ("event_name", "starts_at") if request.target_table == "bad" else ()
        problems = [mapper_pb2.MappingProblem(field=name, message="needs a value") for name in names]
        return mapper_pb2.ValidateMappingResponse(problems=problems)


class Audit(audit_pb2_grpc.AuditServiceServicer):
    """An audit that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def AppendEntries(  # noqa: N802
        self, request: audit_pb2.AppendEntriesRequest, context: Any
    ) -> audit_pb2.AppendEntriesResponse:
        """Take everything."""
        self.told += [f"{entry.actor}: {entry.query_string}" for entry in request.entries]
        return audit_pb2.AppendEntriesResponse(appended=len(request.entries))


# The other methods are not asked.
for servicer in (Mapper, Audit):
    servicer.__abstractmethods__ = frozenset()


class Installation:
    """A registry on a database, with whom it calls; stubs for each role."""

    def __init__(self, directory: Path, database_url: str) -> None:
        addresses = {
            f"{service}_{what}": address
            for service in ("registry", "mapper", "audit")
            for address in [f"127.0.0.1:{processes.free_port()}"]
            for what in ("listen", "address")
        }
        self.settings = RegistrySettings.model_validate(
            {"data_dir": directory, "registry_database_url": database_url, "drain_seconds": 1, **addresses}
        )
        self.keys = KeyRing(directory)
        self.keys.ensure()
        self.audit = Audit()
        self._servers: dict[str, Server] = {}
        self._channels: dict[str, clients.Channel] = {}

    async def start(self) -> None:
        """Start the registry on its tables."""
        self._servers["registry"] = await compose(self.settings)
        await self._servers["registry"].start()

    async def start_neighbours(self) -> None:
        """Start mapper and audit."""
        for name, servicer, add, contract in (
            ("mapper", Mapper(), mapper_pb2_grpc.add_MapperServiceServicer_to_server, mapper_pb2),
            ("audit", self.audit, audit_pb2_grpc.add_AuditServiceServicer_to_server, audit_pb2),
        ):
            listen = getattr(self.settings, f"{name}_listen")
            server = Server(name, listen, Verifier(self.keys.jwks_path), drain_seconds=1)
            server.add(add, servicer, contract.DESCRIPTOR.services_by_name[f"{name.capitalize()}Service"])
            await server.start()
            self._servers[name] = server

    async def stop(self, name: str) -> None:
        """Stop one server."""
        await self._servers.pop(name).stop()

    def channel(self, role: str) -> clients.Channel:
        """The registry as a caller of this role meets it; an empty role sends rubbish for a token."""
        if role not in self._channels:
            token = MintedToken(self.keys, role) if role else FixedToken("rubbish")
            self._channels[role] = clients.connect(self.settings.registry_address, token)
        return self._channels[role]

    def stub(self, role: str = "admin") -> "registry_pb2_grpc.RegistryServiceAsyncStub":
        """RegistryService for a role."""
        return registry_pb2_grpc.RegistryServiceStub(self.channel(role))

    def watch(self, role: str = "service:ingest") -> clients.Answers:
        """The feed, from its beginning."""
        stub = feed_pb2_grpc.RegistryFeedStub(self.channel(role))
        answers: Any = stub.WatchConfiguration(feed_pb2.WatchConfigurationRequest())
        return answers  # type: ignore[no-any-return]

    async def close(self) -> None:
        """End all."""
        for channel in self._channels.values():
            await channel.close()
        for name in list(self._servers):
            await self.stop(name)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A new database with the registry's tables."""
    opened = await Database.open(database_url, table_prefix=PREFIX)
    await MIGRATIONS.upgrade(opened, PREFIX)
    yield opened
    await opened.close()


@pytest.fixture
async def installation(tmp_path: Path, database_url: str, database: Database) -> AsyncIterator[Installation]:
    """A running registry whose image is loaded; mapper and audit are away."""
    installed = Installation(tmp_path, database_url)
    await installed.start()
    await eventually(lambda: _answers(installed))
    yield installed
    await installed.close()


async def _answers(installation: Installation) -> bool:
    with contextlib.suppress(IntertieError):
        async with contextlib.aclosing(installation.watch()) as feed:
            await anext(feed)
            return True
    return False


async def system(installation: Installation, name: str = "police") -> registry_pb2.System:
    """Create a system."""
    wanted = registry_pb2.System(system_name=name)
    return await installation.stub("operator").CreateSystem(registry_pb2.CreateSystemRequest(system=wanted))


def mapping(**fields: Any) -> registry_pb2.CreateMappingRequest:
    """Ask for a mapping."""
    values = {"system": "police", "mapping_name": "m", "target_table": "good", "mapping_config": CONFIG, **fields}
    return registry_pb2.CreateMappingRequest(mapping=registry_pb2.Mapping(**values))


async def test_nobody_gets_in_without_a_token(installation: Installation) -> None:
    """Every method denies a caller whom it does not know."""
    for method in SERVICE.methods:
        request = getattr(registry_pb2, method.input_type.name)()
        with pytest.raises(Unauthenticated):
            await getattr(installation.stub(""), method.name)(request)


@pytest.mark.parametrize(
    ("role", "denied"),
    [
        ("viewer", {"Create", "Update", "Delete"}),
        ("operator", {"CreateGrant", "UpdateGrant", "DeleteGrant"}),
        ("module:events", {"Create", "Update", "Delete", "Get", "ListConnections", "ListMappings", "ListGrants"}),
        ("service:ingest", {"Create", "Update", "Delete"}),
    ],
)
async def test_each_role_stays_in_its_bounds(installation: Installation, role: str, denied: set[str]) -> None:
    """What a role may not do is denied before anything is looked at."""
    for method in SERVICE.methods:
        if not method.name.startswith(tuple(denied)):
            continue
        request = getattr(registry_pb2, method.input_type.name)()
        with pytest.raises(PermissionDenied):
            await getattr(installation.stub(role), method.name)(request)


async def test_only_services_watch(installation: Installation) -> None:
    """The feed is for services, whatever else a caller may."""
    with pytest.raises(PermissionDenied):
        await anext(installation.watch("admin"))


async def test_secrets_go_in_and_do_not_come_out(installation: Installation) -> None:
    """Not by create, get, list or update; the feed gives them to ingest and keeps them from mapper."""
    await system(installation)
    stub = installation.stub("operator")
    wanted = registry_pb2.Connection(
        system="police",
        connection_type="api",
        api_auth_token="hush",
        db_password="hush",
        config_json=b'{"webhook_secret": "hush", "webhook_auth": "github"}',
    )
    made = await stub.CreateConnection(registry_pb2.CreateConnectionRequest(connection=wanted))
    changed = registry_pb2.Connection(id=made.id, config_json=b'{"webhook_auth": "stripe"}')
    answers = [
        made,
        await stub.UpdateConnection(registry_pb2.UpdateConnectionRequest(connection=changed)),
        await stub.GetConnection(registry_pb2.GetConnectionRequest(id=made.id)),
        await stub.ListConnections(registry_pb2.ListConnectionsRequest()),
    ]
    assert "hush" not in str(answers)
    assert list(answers[2].secrets_set) == ["db_password", "api_auth_token", "config_json.webhook_secret"]

    async def seen(role: str) -> bytes:
        async with contextlib.aclosing(installation.watch(role)) as feed:
            async for message in feed:
                for each in message.systems:
                    if each.connections and b"stripe" in each.connections[0].config_json:
                        return bytes(each.connections[0].config_json)
        raise AssertionError("the stream ended")

    async with asyncio.timeout(10):
        assert b"hush" in await seen("service:ingest")
        assert b"hush" not in await seen("service:mapper")


async def test_a_mapping_is_checked_against_its_target(installation: Installation) -> None:
    """Mapper away: unreachable, unless told to skip; mapper there: every problem in one answer."""
    await system(installation)
    stub = installation.stub("operator")
    with pytest.raises(IntertieError, match="skip_target_validation") as away:
        await stub.CreateMapping(mapping())
    assert away.value.reason == "TARGET_UNREACHABLE"
    request = mapping(mapping_name="unchecked", target_table="bad")
    request.skip_target_validation = True
    unchecked = await stub.CreateMapping(request)
    request.mapping.mapping_config = b'{"field_mappings": 1}'
    with pytest.raises(InvalidArgument):
        await stub.CreateMapping(request)

    await installation.start_neighbours()

    async def refused() -> set[str]:
        with pytest.raises(IntertieError) as error:
            await stub.CreateMapping(mapping(target_table="bad"))
        return {field for field, _ in error.value.violations} if error.value.reason == "INVALID_MAPPING" else set()

    assert await eventually(refused) == {"event_name", "starts_at"}
    made = await stub.CreateMapping(mapping())
    moved = registry_pb2.Mapping(id=made.id, target_table="bad")
    with pytest.raises(InvalidArgument):
        await stub.UpdateMapping(registry_pb2.UpdateMappingRequest(mapping=moved))
    # What does not concern the target is not held up by it.
    off = registry_pb2.Mapping(id=unchecked.id, is_active=False)
    assert not (await stub.UpdateMapping(registry_pb2.UpdateMappingRequest(mapping=off))).is_active


async def test_a_module_asks_for_itself(installation: Installation) -> None:
    """It sees the systems that it has a grant on, and what it may do there; about others it may not ask."""
    for name in ("police", "fire"):
        await system(installation, name)
    grant = registry_pb2.Grant(module_name="events", system="police", access_type="read")
    await installation.stub().CreateGrant(registry_pb2.CreateGrantRequest(grant=grant))
    events, surveys = installation.stub("module:events"), installation.stub("module:surveys")
    listed = await events.ListSystems(registry_pb2.ListSystemsRequest())
    assert [each.system_name for each in listed.systems] == ["police"]
    assert len((await installation.stub("viewer").ListSystems(registry_pb2.ListSystemsRequest())).systems) == 2
    own = await events.ListModuleSystems(registry_pb2.ListModuleSystemsRequest(module="events"))
    assert [(each.system_name, each.access_type) for each in own.systems] == [("police", "read")]
    for access, allowed in (("read", True), ("write", False)):
        asked = registry_pb2.CheckAccessRequest(module="events", system="police", access=access)
        assert (await events.CheckAccess(asked)).allowed is allowed
    with pytest.raises(PermissionDenied):
        await surveys.CheckAccess(registry_pb2.CheckAccessRequest(module="events", system="police"))
    with pytest.raises(PermissionDenied):
        await surveys.ListModuleSystems(registry_pb2.ListModuleSystemsRequest(module="events"))
    unknown = registry_pb2.CheckAccessRequest(module="surveys", system="nowhere")
    assert not (await surveys.CheckAccess(unknown)).allowed


async def test_lists_are_paged(installation: Installation) -> None:
    """Pages follow each other to the end; a token of another request is refused."""
    for number in range(5):
        await system(installation, f"s{number}")
    stub = installation.stub("viewer")
    names: list[str] = []
    request = registry_pb2.ListSystemsRequest(page_size=2)
    while True:
        page = await stub.ListSystems(request)
        names += [each.system_name for each in page.systems]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert names == ["s0", "s1", "s2", "s3", "s4"]
    request.active_only = True
    with pytest.raises(InvalidArgument) as error:
        await stub.ListSystems(request)
    assert error.value.reason == "INVALID_PAGE_TOKEN"
    with pytest.raises(InvalidArgument):
        await stub.ListMappings(registry_pb2.ListMappingsRequest(page_size=-1))


async def test_changes_reach_audit_once(installation: Installation, database: Database) -> None:
    """What happened while audit was away arrives when it is back: by calls and by SQL, in order, once."""
    await system(installation)

    async def insert(connection: Any) -> None:
        statement = f"INSERT INTO {PREFIX}module_system_mappings (module_name, system_id) VALUES ('events', 1)"
        await connection.execute(text(statement))

    await database.transaction(insert)
    await installation.start_neighbours()
    told = installation.audit.told
    await eventually(lambda: len(told) >= 2)
    await installation.stub("operator").DeleteSystem(registry_pb2.DeleteSystemRequest(system="police"))
    await eventually(lambda: len(told) >= 3)
    subject = told[0].partition(":")[0]
    assert [line.rpartition(": ")[2] for line in told] == ["create system 1", "create grant 1", "delete system 1"]
    assert told[1].startswith("sql: ")
    assert subject != "sql"


async def _drained(feed: clients.Answers) -> None:
    async for _ in feed:
        continue


async def test_watchers_come_back_after_a_restart(installation: Installation, database: Database) -> None:
    """The stream ends with the registry; a new one begins with everything, also what changed meanwhile."""
    await system(installation, "before")
    feed = installation.watch()
    assert (await anext(feed)).complete
    await installation.stop("registry")
    with pytest.raises(IntertieError):
        await _drained(feed)

    async def insert(connection: Any) -> None:
        await connection.execute(text(f"INSERT INTO {PREFIX}external_systems (system_name) VALUES ('meanwhile')"))

    await database.transaction(insert)
    await installation.start()
    await eventually(lambda: _answers(installation))
    async with contextlib.aclosing(installation.watch()) as again:
        snapshot = await anext(again)
    assert [each.name for each in snapshot.systems] == ["before", "meanwhile"]
    assert (snapshot.snapshot, snapshot.complete) == (True, True)


async def test_a_silent_feed_shows_that_it_lives(installation: Installation) -> None:
    """Without a change a message without systems comes, so that a watcher can tell silence from death."""
    async with contextlib.aclosing(installation.watch()) as feed, asyncio.timeout(10):
        await anext(feed)
        life = await anext(feed)
    assert (life.complete, len(life.systems), len(life.removed_system_ids)) == (True, 0, 0)
