"""The registry as its callers meet it: a real server, real tokens, both databases."""

import asyncio
import contextlib
from typing import Any

import pytest
from sqlalchemy import text

from intertie.api.v1 import identity_pb2, identity_pb2_grpc
from intertie.registry.v1 import registry_pb2, registry_pb2_grpc
from intertie_chassis import clients
from intertie_chassis.database import Database
from intertie_chassis.errors import IntertieError, InvalidArgument, PermissionDenied, Unauthenticated
from intertie_chassis.identity import FixedToken, KeyRing, Verifier
from registry_rig import Installation
from suite import PREFIX
from waiting import eventually

SERVICE = registry_pb2.DESCRIPTOR.services_by_name["RegistryService"]
CONFIG = b'{"field_mappings": {"title": "event_title"}}'


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


async def test_what_happens_to_tokens_reaches_audit_and_the_other_services(installation: Installation) -> None:
    """A revocation while the registry runs is in the log, on the feed, and true of the registry itself."""
    token = installation.keys.issue("viewer", "gone soon")
    principal = Verifier(installation.keys.jwks_path).verify(token)
    feed: Any = identity_pb2_grpc.IdentityFeedStub(installation.channel("service:mapper"))
    await installation.start_neighbours()
    async with contextlib.aclosing(feed.WatchIdentity(identity_pb2.WatchIdentityRequest())) as answers:
        assert (await anext(answers)).snapshot
        KeyRing(installation.settings.data_dir).revoke([principal.token_id])
        assert [each.token_id for each in (await anext(answers)).revocations] == [principal.token_id]
    wanted = {f"{verb} token {principal.token_id}" for verb in ("issue", "revoke")}
    identities = installation.audit.identities
    await eventually(lambda: wanted <= {entry.query_string for entry in identities.values()})
    async with clients.connect(installation.settings.registry_address, FixedToken(token)) as channel:
        with pytest.raises(Unauthenticated):
            await registry_pb2_grpc.RegistryServiceStub(channel).ListSystems(registry_pb2.ListSystemsRequest())


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
    await eventually(installation.answers)
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
