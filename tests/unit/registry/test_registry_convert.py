"""What the registry takes from a request, and what it says about everything that is wrong with one."""

import json

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from intertie.registry.v1 import registry_pb2
from intertie_chassis.errors import InvalidArgument
from intertie_registry import (
    connection_convert,
    credential_places,
    feed_convert,
    grant_convert,
    mapping_convert,
    system_convert,
)
from intertie_registry.errors import InvalidMapping
from intertie_registry.feed_convert import Trust
from intertie_registry.model import Connection, SystemImage
from intertie_registry.model import System as StoredSystem

System = registry_pb2.System
Wire = registry_pb2.Connection
GOOD = b'{"field_mappings": {"title": "event_title"}}'


def new_system(**fields: object) -> object:
    """Convert a creation."""
    return system_convert.new_system(registry_pb2.CreateSystemRequest(system=System(**fields)))  # type: ignore[arg-type]


def new_connection(**fields: object) -> Connection:
    """Convert a creation of an API connection."""
    wire = Wire(**{"system": "police", "connection_type": "api", **fields})  # type: ignore[arg-type]
    return connection_convert.new_connection(registry_pb2.CreateConnectionRequest(connection=wire))


def violations(error: pytest.ExceptionInfo[InvalidArgument]) -> set[str]:
    """The fields at fault."""
    return {field for field, _ in error.value.violations}


@pytest.mark.parametrize("name", ["", "a/b", "..", ".", "a\nb", "a\0", "x" * 101, " a", "a\u2028b"])
def test_names_that_no_url_can_hold(name: str) -> None:
    """Refused with the field."""
    with pytest.raises(InvalidArgument) as error:
        new_system(system_name=name)
    assert violations(error) == {"system.system_name"}


@pytest.mark.parametrize("name", ["law_enforcement", "x" * 100, "Polizei München", "警察", "a.b:c"])
def test_names_that_are_fine(name: str) -> None:
    """Letters of any script, up to 100."""
    assert new_system(system_name=name) is not None


def test_everything_wrong_comes_in_one_answer() -> None:
    """No field hides another one's fault."""
    with pytest.raises(InvalidArgument) as error:
        new_connection(
            connection_type="pigeon",
            db_port=70000,
            db_driver="access",
            api_base_url="ftp://x",
            api_auth_type="handshake",
            config_json=b'{"webhook_auth": "magic", "push_auth": 1, "allowed_networks": ["10.0.0.0/99"]}',
        )
    assert violations(error) == {
        "connection.connection_type",
        "connection.db_port",
        "connection.db_driver",
        "connection.api_base_url",
        "connection.api_auth_type",
        "connection.config_json.webhook_auth",
        "connection.config_json.push_auth",
        "connection.config_json.allowed_networks",
    }


@pytest.mark.parametrize(
    "url", ["https://u:p@host", "https://", "host/path", "http://host:99999", "https://host/#x", "http://a b"]
)
def test_urls_that_are_refused(url: str) -> None:
    """http(s) with a host, without credentials."""
    with pytest.raises(InvalidArgument) as error:
        new_connection(api_base_url=url)
    assert violations(error) == {"connection.api_base_url"}


@pytest.mark.parametrize(
    "body",
    [b"{", b"[1]", b'"x"', b"null", b'{"a":1,"a":2}', b'{"a":NaN}', b"\xff{}", b'{"a":"' + b"x" * 65536 + b'"}'],
)
def test_config_that_is_no_plain_object(body: bytes) -> None:
    """Strict JSON, an object, at most 64 KiB."""
    with pytest.raises(InvalidArgument) as error:
        new_connection(config_json=body)
    assert violations(error) == {"connection.config_json"}


def test_a_signature_needs_a_secret() -> None:
    """Saved without, every delivery would be refused."""
    with pytest.raises(InvalidArgument, match="needs a webhook_secret"):
        new_connection(config_json=b'{"webhook_auth": "github"}')
    assert new_connection(config_json=b'{"webhook_auth": "none"}').config_json == '{"webhook_auth":"none"}'


def test_defaults_of_a_connection() -> None:
    """Those of the columns."""
    made = new_connection()
    assert (made.db_driver, made.api_auth_type, made.api_timeout, made.is_active) == ("mysql", "bearer", 30, True)


def test_no_secret_is_in_an_answer() -> None:
    """Credentials, secrets in the configuration and in the URL: only that they are set."""
    secrets = {"webhook_secret": "hush1", "oauth": {"client_secret": "hush2"}}
    connection = Connection(
        1,
        1,
        "api",
        db_password="hush3",
        api_auth_token="hush4",
        api_base_url="https://me:hush5@host",
        config_json=json.dumps(secrets),
    )
    message = connection_convert.connection_message(connection)
    assert "hush" not in str(message)
    assert "hush" not in repr(connection).replace("hush5", "")
    assert list(message.secrets_set) == [
        "db_password",
        "api_auth_token",
        "config_json.webhook_secret",
        "config_json.oauth.client_secret",
    ]


def test_half_a_character_that_sql_wrote_stays_an_escape() -> None:
    """No message holds one: without this, one such row would end every list and every watcher's stream."""
    connection = Connection(1, 1, "api", config_json='{"note": "\\ud800", "a\\udfff_secret": "hush"}')
    message = connection_convert.connection_message(connection)
    assert message.config_json == b'{"note":"\\ud800"}'
    assert list(message.secrets_set) == ["config_json.a\\udfff_secret"]
    image = SystemImage(StoredSystem(1, "police"), connections=(connection,))
    [sent] = feed_convert.snapshot({1: image}, Trust.NONE)
    assert sent.systems[0].connections[0].config_json == message.config_json
    assert credential_places.shown(("config_json", "a\udfff_secret")) == "config_json.a\\udfff_secret"


def update(mask: list[str] | None, **fields: object) -> dict[str, object]:
    """What an update of a system changes."""
    request = registry_pb2.UpdateSystemRequest(system=System(system_name="police", **fields))  # type: ignore[arg-type]
    if mask is not None:
        request.update_mask.CopyFrom(FieldMask(paths=mask))
    return system_convert.system_changes(request)


def test_without_a_mask_what_is_set_changes() -> None:
    """False is set when it is there; what only comes out is ignored."""
    assert update(None, is_active=False, id=7) == {"is_active": False}
    assert update(None) == {}


def test_a_mask_can_clear() -> None:
    """What the mask names and the message leaves empty becomes empty, or the default of a word."""
    assert update(["display_name", "system_type"]) == {"display_name": "", "system_type": "api"}
    assert update(["*"], description="x") == {
        "display_name": "",
        "system_type": "api",
        "description": "x",
        "is_active": True,
    }


def test_a_mask_names_what_exists() -> None:
    """An unknown path is refused and the known ones are told; identity and times may be sent back."""
    with pytest.raises(InvalidArgument, match="display_name"):
        update(["shoe_size"])
    assert update(["system_name", "created_at", "display_name"], display_name="P") == {"display_name": "P"}


def test_a_mapping_is_refused_with_all_its_problems() -> None:
    """Problems of the configuration are named by their path, beside those of other fields."""
    wire = registry_pb2.Mapping(
        system="police",
        mapping_name="a/b",
        target_table="t",
        mapping_config=b'{"field_mapping": {}, "transformations": {"x": "shout"}}',
    )
    with pytest.raises(InvalidMapping) as error:
        mapping_convert.new_mapping(registry_pb2.CreateMappingRequest(mapping=wire))
    fields = violations(error)
    assert "mapping.mapping_name" in fields
    assert len([field for field in fields if field.startswith("mapping.mapping_config.")]) >= 2
    assert error.value.reason == "INVALID_MAPPING"


def test_a_mapping_keeps_its_text() -> None:
    """Numbers and the order of keys are what the person wrote."""
    body = b' {"constants": {"capacity": 1.50}, "field_mappings": {"b": "x", "a": "y"}} '
    wire = registry_pb2.Mapping(system="police", mapping_name="m", target_table="t", mapping_config=body)
    mapping = mapping_convert.new_mapping(registry_pb2.CreateMappingRequest(mapping=wire))
    assert mapping.mapping_config.encode() == body.strip()
    assert mapping.sync_frequency == "manual"


def test_grants_check_their_words() -> None:
    """Access and permissions."""
    wire = registry_pb2.Grant(module_name="events", system="police", access_type="all", query_permissions=b"[]")
    with pytest.raises(InvalidArgument) as error:
        grant_convert.new_grant(registry_pb2.CreateGrantRequest(grant=wire))
    assert violations(error) == {"grant.access_type", "grant.query_permissions"}
    with pytest.raises(InvalidArgument, match="access"):
        grant_convert.asked_access(registry_pb2.CheckAccessRequest(module="events", system="police", access="own"))


def test_mapping_needs_good_json() -> None:
    """An update checks a configuration as a creation does."""
    request = registry_pb2.UpdateMappingRequest(mapping=registry_pb2.Mapping(id=1, mapping_config=GOOD))
    assert mapping_convert.mapping_changes(request) == {"mapping_config": GOOD.decode()}
    request.mapping.mapping_config = b"{"
    with pytest.raises(InvalidMapping):
        mapping_convert.mapping_changes(request)
