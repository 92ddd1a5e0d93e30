"""SecretsService as its callers meet it, and a registry that is started with other keys."""

from pathlib import Path
from typing import Any

import pytest

from intertie.registry.v1 import registry_pb2, secrets_pb2
from intertie_chassis.errors import FailedPrecondition, IntertieError, PermissionDenied, StartupError
from intertie_chassis.sealing import SealingKey
from intertie_registry.assembly import compose
from registry_rig import Installation
from waiting import eventually


@pytest.fixture
async def created(installation: Installation) -> registry_pb2.Connection:
    """A connection with credentials."""
    stub = installation.stub()
    await stub.CreateSystem(registry_pb2.CreateSystemRequest(system=registry_pb2.System(system_name="police")))
    wanted = registry_pb2.Connection(
        system="police", connection_type="api", api_base_url="https://api.example", api_auth_token="CANARY token",
        db_password="CANARY password", config_json=b'{"webhook_secret": "CANARY webhook"}',
    )  # fmt: skip
    return await stub.CreateConnection(registry_pb2.CreateConnectionRequest(connection=wanted))


async def walked(answers: Any) -> secrets_pb2.SecretsProgress:
    """The last word of a walk."""
    return [answer.progress async for answer in answers][-1]


async def test_counted_and_rotated(installation: Installation, created: registry_pb2.Connection) -> None:
    """The answer names keys and places; a rotation makes a key, drops the old one, and audit hears of it."""
    await installation.start_neighbours()
    stub = installation.secrets()
    before = await stub.GetSecretsStatus(secrets_pb2.GetSecretsStatusRequest())
    [key] = before.keys
    assert (key.is_present, key.is_known, key.sealed, before.sealed, len(before.clear)) == (True, True, 3, 3, 0)
    request = secrets_pb2.RotateSecretsRequest(new_key=True, drop_old_keys=True)
    progress = await walked(stub.RotateSecrets(request))
    assert (progress.connections_done, progress.connections_total, progress.changed) == (1, 1, 3)
    after = await stub.GetSecretsStatus(secrets_pb2.GetSecretsStatusRequest())
    assert [(each.key_id, each.sealed) for each in after.keys] == [(progress.key_id, 3)]
    assert progress.key_id != key.key_id
    assert "CANARY" not in f"{before}{progress}{after}{created}"
    assert list(created.secrets_set) == ["db_password", "api_auth_token", "config_json.webhook_secret"]
    await eventually(lambda: f"admin: rotate connection {created.id}" in installation.audit.told)
    assert (await walked(stub.SealSecrets(secrets_pb2.SealSecretsRequest()))).changed == 0


async def test_for_admins_only(installation: Installation) -> None:
    """Nobody else learns where credentials stand, or changes keys."""
    for role in ("operator", "viewer", "module:events", "service:ingest"):
        stub = installation.secrets(role)
        with pytest.raises(PermissionDenied):
            await stub.GetSecretsStatus(secrets_pb2.GetSecretsStatusRequest())
        for answers in (
            stub.SealSecrets(secrets_pb2.SealSecretsRequest(dry_run=True)),
            stub.RotateSecrets(secrets_pb2.RotateSecretsRequest()),
        ):
            with pytest.raises(PermissionDenied):
                await walked(answers)


async def test_other_keys_at_the_start(installation: Installation, created: registry_pb2.Connection) -> None:
    """It does not start, names the key that is missed, shows none; with both it starts, and rotates to the first."""
    path = Path(installation.settings.data_dir) / "keys" / "secrets.keys"
    old = path.read_text().splitlines()[-1]
    new = SealingKey.new()
    await installation.stop("registry")
    settings = installation.settings
    for wrong, says in ((new.line(), old.partition(":")[0]), ("k:bad", "key 1 is not base64")):
        installation.settings = settings.model_validate(settings.model_dump() | {"secrets_keys": wrong})
        with pytest.raises(StartupError, match=says) as caught:
            await compose(installation.settings)
        assert wrong.partition(":")[2] not in str(caught.value)
        assert "\n" not in str(caught.value)
    both = f"{new.line()},{old}"
    installation.settings = settings.model_validate(settings.model_dump() | {"secrets_keys": both})
    assert old not in repr(installation.settings)
    await installation.start()

    async def rotated() -> secrets_pb2.SecretsProgress | None:
        try:
            return await walked(installation.secrets().RotateSecrets(secrets_pb2.RotateSecretsRequest()))
        except IntertieError:
            return None

    progress = await eventually(rotated)
    assert progress is not None
    assert (progress.changed, progress.key_id) == (3, new.id)
    with pytest.raises(FailedPrecondition, match="INTERTIE_SECRETS_KEYS"):
        await walked(installation.secrets().RotateSecrets(secrets_pb2.RotateSecretsRequest(new_key=True)))
