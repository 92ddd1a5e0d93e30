"""CheckConfiguration as its callers meet it: what would be refused and what differs, and nothing is changed."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from canaries import canary, found
from intertie.registry.v1 import check_pb2, check_pb2_grpc, registry_pb2
from intertie_chassis import clients
from intertie_chassis.errors import (
    Aborted,
    InvalidArgument,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)
from intertie_chassis.identity import MintedToken
from intertie_cli.declared import checking, live, loaded
from intertie_cli.declared.application import Application
from intertie_cli.declared.pairs import paired
from intertie_cli.declared.plan import Plan, Prune, Pruning, made
from intertie_registry.comparison import AT_ONCE
from registry_rig import Installation
from waiting import eventually

T = TypeVar("T")

SECRET, OTHER = canary("webhook"), canary("another")
CONFIG: dict[str, Any] = {"webhook_secret": SECRET, "retries": 1}


def connection(number: int = 0, **config: Any) -> registry_pb2.Connection:
    """A connection of the system `crm` as it is to be."""
    return registry_pb2.Connection(
        id=number,
        system="crm",
        connection_type="rest",
        api_base_url="https://h.example",
        api_auth_token=OTHER,
        config_json=json.dumps({**CONFIG, **config}).encode(),
    )


def mapping(table: str) -> registry_pb2.Mapping:
    """A mapping into a table."""
    config = b'{"constants": {"a": 1}}'
    return registry_pb2.Mapping(system="later", mapping_name="m", target_table=table, mapping_config=config)


@pytest.fixture
async def created(installation: Installation) -> registry_pb2.Connection:
    """A connection of `crm`, with the secrets above."""
    stub = installation.stub()
    await stub.CreateSystem(registry_pb2.CreateSystemRequest(system=registry_pb2.System(system_name="crm")))
    return await stub.CreateConnection(registry_pb2.CreateConnectionRequest(connection=connection()))


async def asked(installation: Installation, **parts: Any) -> tuple[list[str], list[str]]:
    """What is found wrong, and what differs."""
    answer = await installation.configuration().CheckConfiguration(check_pb2.CheckConfigurationRequest(**parts))
    assert found([SECRET, OTHER], str(answer).encode()) == []
    problems = [f"{each.kind} {each.index} {each.field}: {each.message}" for each in answer.problems]
    return problems, [f"{each.index} {each.field}" for each in answer.differing_secrets]


async def test_all_faults_of_all_parts_come_in_one_answer(
    installation: Installation, created: registry_pb2.Connection
) -> None:
    """Each with its part and its field, also those that mapper finds; of connections that exist by what they become."""
    await installation.start_neighbours()
    misfit, faulty = mapping("bad"), mapping("t")
    faulty.mapping_config = b'{"filter": "("}'
    lacking = connection(created.id, webhook_secret=None, webhook_auth="github")
    new = connection(webhook_auth="hmac", tls="often")
    problems, differing = await asked(
        installation,
        systems=[registry_pb2.System(system_name="later"), registry_pb2.System(system_name="a/b", system_type="ftp")],
        connections=[connection(created.id), new, lacking, connection(4711)],
        mappings=[misfit, faulty],
        grants=[registry_pb2.Grant(module_name="x", system="later", access_type="all")],
    )  # fmt: skip
    assert [problem.partition(":")[0] for problem in problems] == [
        "system 1 system_name",
        "system 1 system_type",
        "connection 1 config_json.tls",
        "connection 1 config_json.webhook_hmac",
        "connection 2 config_json.webhook_secret",
        "connection 3 id",
        "mapping 0 event_name",
        "mapping 0 starts_at",
        "mapping 1 mapping_config.filter",
        "grant 0 access_type",
    ]
    assert differing == []
    assert await installation.stub().GetConnection(registry_pb2.GetConnectionRequest(id=created.id)) == created


async def test_which_credentials_differ_is_said_and_audited(
    installation: Installation, created: registry_pb2.Connection
) -> None:
    """Not what they are; and nothing is changed."""
    await installation.start_neighbours()
    assert await asked(installation, connections=[connection(created.id)]) == ([], [])
    wrong = connection(created.id, webhook_secret=OTHER)
    wrong.api_auth_token = SECRET
    assert await asked(installation, connections=[wrong]) == ([], ["0 api_auth_token", "0 config_json.webhook_secret"])
    await eventually(lambda: f"admin: compare connection {created.id}" in installation.audit.told)
    assert installation.audit.told.count(f"admin: compare connection {created.id}") == 1


async def test_nobody_guesses_a_credential(installation: Installation, created: registry_pb2.Connection) -> None:
    """Whoever was wrong thirty times learns nothing more, not even from the right one; other things may be asked."""
    for number in range(AT_ONCE):
        await asked(installation, connections=[connection(created.id, webhook_secret=f"guess {number}")])
    with pytest.raises(ResourceExhausted) as refused:
        await asked(installation, connections=[connection(created.id)])
    assert (refused.value.reason, (refused.value.retry_after or 0) > 0) == ("RATE_LIMITED", True)
    without = registry_pb2.Connection(id=created.id, system="crm", connection_type="rest", api_timeout=5000)
    assert await asked(installation, connections=[without]) == (
        ["connection 0 api_timeout: must be at most 3600 seconds"],
        [],
    )


async def test_for_admins_only_and_bounded(installation: Installation) -> None:
    """Nobody else compares credentials; and not all at once."""
    for role in ("operator", "viewer", "module:events", "service:ingest"):
        with pytest.raises(PermissionDenied):
            await installation.configuration(role).CheckConfiguration(check_pb2.CheckConfigurationRequest())
    with pytest.raises(InvalidArgument):
        await asked(installation, systems=[registry_pb2.System(system_name=str(number)) for number in range(201)])


async def test_without_mapper_it_is_said(installation: Installation) -> None:
    """Unless targets are not to be looked at."""
    with pytest.raises(Unavailable):
        await asked(installation, mappings=[mapping("t")])
    assert await asked(installation, mappings=[mapping("t")], skip_target_validation=True) == ([], [])


FILE: dict[str, Any] = {
    "version": 1,
    "systems": [{"system_name": "crm"}, {"system_name": "shop"}],
    "connections": [
        {"system": "crm", "name": "rest", "connection_type": "rest", "api_base_url": "https://h.example",
         "api_auth_token": "${OTHER}", "config_json": {"webhook_secret": "${SECRET}", "retries": 2}},
        {"system": "shop", "name": "db", "connection_type": "database", "db_driver": "sqlite", "db_name": "/x.db"},
    ],
    "mappings": [{"system": "shop", "mapping_name": "m", "target_table": "t", "source_table": "s",
                  "mapping_config": {"constants": {"a": 1}, "sync": {"connection": "db"}}}],
    "grants": [{"module_name": "x", "system": "shop", "expires_at": "2030-01-31T12:00:00+01:00"}],
}  # fmt: skip


async def planned(
    installation: Installation, tmp_path: Path, file: dict[str, Any] = FILE, **pruning: Any
) -> tuple[Plan, Application]:
    """The plan for a file, and what carries it out."""
    path = tmp_path / "f.json"
    path.write_text(json.dumps(file))
    declared, problems, _ = loaded.read([str(path)], {"SECRET": SECRET, "OTHER": OTHER})
    state = await live.read(installation.stub())
    pairs, more = paired(declared, state)
    verdict = await checking.ask(installation.configuration(), pairs, state, skip_targets=False)
    assert [*problems, *more, *verdict.problems] == []
    plan = made(pairs, state, verdict.compared, Pruning(**pruning))
    return plan, Application(installation.stub(), state)


async def when_there(work: Callable[[], Awaitable[T]]) -> T:
    """What the work gives once a neighbour that was started again is reached: gRPC waits a little between attempts."""

    async def attempt() -> T | None:
        try:
            return await work()
        except Unavailable:
            return None

    found = await eventually(attempt)
    assert found is not None
    return found


def titles(changes: Any) -> list[str]:
    return [f"{change.action} {change.title}" for change in changes]


async def test_a_file_is_applied_once(
    installation: Installation, created: registry_pb2.Connection, tmp_path: Path
) -> None:
    """What differs is changed, what is missing made, and then nothing is left to do."""
    await installation.start_neighbours()
    plan, application = await planned(installation, tmp_path)
    await application.run(plan)
    assert titles(application.done) == [
        "create system shop",
        "update connection crm/rest",
        "create connection shop/db",
        "create mapping shop/m",
        "create grant x/shop",
    ]
    state = await live.read(installation.stub())
    [saved] = (await installation.stub().ListMappings(registry_pb2.ListMappingsRequest())).mappings
    [number] = [each.id for each in state.of("connection") if each.key == ("shop", "db")]
    assert json.loads(saved.mapping_config)["sync"] == {"connection_id": number}
    again, _ = await planned(installation, tmp_path)
    assert (titles(again.changes), again.unchanged) == ([], 6)
    smaller = {**FILE, "grants": [], "mappings": []}
    plan, application = await planned(installation, tmp_path, smaller, parts=Prune.DEACTIVATE)
    await application.run(plan)
    assert titles(application.done) == ["switch off grant x/shop", "switch off mapping shop/m"]
    smallest = {"version": 1, "systems": FILE["systems"][:1]}
    plan, application = await planned(installation, tmp_path, smallest, parts=Prune.DELETE, systems=True)
    await application.run(plan)
    assert titles(application.done) == ["delete connection crm/rest", "delete system shop"]
    assert [part.title for part in (await live.read(installation.stub())).parts] == ["system crm"]


async def test_what_fails_half_way_is_gone_on_with(
    installation: Installation, created: registry_pb2.Connection, tmp_path: Path
) -> None:
    """What was done stays, what was not is known, and a second run does just that."""
    await installation.start_neighbours()
    plan, application = await planned(installation, tmp_path)
    await installation.stop("mapper")
    with pytest.raises(Unavailable):
        await application.run(plan)
    assert titles(application.done) == ["create system shop", "update connection crm/rest", "create connection shop/db"]
    await installation.start_neighbours()
    plan, application = await when_there(lambda: planned(installation, tmp_path))
    await application.run(plan)
    assert titles(application.done) == ["create mapping shop/m", "create grant x/shop"]


async def test_who_changes_something_meanwhile_is_not_overwritten(
    installation: Installation, created: registry_pb2.Connection, tmp_path: Path
) -> None:
    """The run ends before the part that is not as it was when the plan was made."""
    await installation.start_neighbours()
    plan, application = await planned(installation, tmp_path)
    changed = registry_pb2.UpdateConnectionRequest(connection=registry_pb2.Connection(id=created.id, api_timeout=7))
    await installation.stub().UpdateConnection(changed)
    with pytest.raises(Aborted, match="connection crm/rest was changed by somebody else meanwhile"):
        await application.run(plan)
    assert titles(application.done) == ["create system shop"]
    assert (await installation.stub().GetConnection(registry_pb2.GetConnectionRequest(id=created.id))).api_timeout == 7


async def test_a_replaced_secret_may_stay_good_for_a_while(
    installation: Installation, created: registry_pb2.Connection, tmp_path: Path
) -> None:
    """As with a rotation; what is left of it is no difference afterwards."""
    await installation.start_neighbours()
    config = {"webhook_secret": "${OTHER}", "retries": 1}
    file = {"version": 1, "connections": [{**FILE["connections"][0], "config_json": config}]}
    plan, _ = await planned(installation, tmp_path, file)
    state = await live.read(installation.stub())
    until = datetime.now(UTC) + timedelta(hours=2)
    await Application(installation.stub(), state, keep_secrets_until=until).run(plan)
    after = await installation.stub().GetConnection(registry_pb2.GetConnectionRequest(id=created.id))
    assert "config_json.webhook_secret_previous" in after.secrets_set
    assert titles((await planned(installation, tmp_path, file))[0].changes) == []


async def test_a_registry_of_the_version_before_is_dealt_with(installation: Installation, tmp_path: Path) -> None:
    """It cannot say what differs: credentials are written, and the rest goes on."""
    await installation.start_neighbours()
    nothing = live.state([], [], [], [])
    channel = clients.connect(installation.settings.audit_address, MintedToken(installation.keys, "admin"))
    try:
        path = tmp_path / "f.json"
        path.write_text(json.dumps(FILE))
        declared, _, _ = loaded.read([str(path)], {"SECRET": SECRET, "OTHER": OTHER})
        pairs, _ = paired(declared, nothing)
        stub = check_pb2_grpc.ConfigurationServiceStub(channel)
        verdict = await when_there(lambda: checking.ask(stub, pairs, nothing, skip_targets=False))
    finally:
        await channel.close()
    assert (verdict.is_known, verdict.problems, verdict.compared) == (False, [], {})
