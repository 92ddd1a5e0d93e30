"""Connections between the contract and the model. Secrets go in here and do not come out."""

from datetime import UTC, timedelta
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from intertie.registry.v1 import registry_pb2
from intertie_chassis.clock import utc_now
from intertie_registry import admission, reaching, secrets, urls, verification, webhook_options
from intertie_registry.changes import KEPT_UNTIL, Changes, config_text
from intertie_registry.credentials import usable
from intertie_registry.fields import Fields
from intertie_registry.mask_convert import named_fields
from intertie_registry.model import API_AUTH_TYPES, CONNECTION_TYPES, DB_DRIVERS, Connection
from intertie_registry.moment_convert import timestamp

CHANGEABLE = (
    "system",
    "connection_type",
    "db_host",
    "db_port",
    "db_name",
    "db_username",
    "db_password",
    "db_driver",
    "api_base_url",
    "api_auth_type",
    "api_auth_token",
    "api_timeout",
    "config_json",
    "is_active",
)
"""The fields that calls may set."""
_DEFAULT_TIMEOUT = 30
_LONGEST_OVERLAP = timedelta(days=30)
_LONGEST_TIMEOUT = 3600


def new_connection(request: registry_pb2.CreateConnectionRequest) -> Connection:
    """The connection to create, its system named. Raises InvalidArgument that names every field at fault."""
    wanted, fields = request.connection, Fields("connection")
    values = _values(wanted, set(CHANGEABLE), fields)
    config = secrets.merged({}, values.pop("config_json"))
    fields.problems("config_json", verification.lacking(config))
    fields.require_none()
    return Connection(id=0, system_id=0, config_json=config_text(config) if config else "", **values)


def connection_changes(request: registry_pb2.UpdateConnectionRequest) -> Changes:
    """What an update changes. Raises InvalidArgument that names every field at fault."""
    wanted, fields = request.connection, Fields("connection")
    if not wanted.id:
        fields.refuse("id", "must say which connection")
    named = named_fields(wanted, request.update_mask, fields, changeable=CHANGEABLE, identity=("id", "system"))
    values = _values(wanted, named, fields)
    if request.HasField("keep_webhook_secret_until"):
        values[KEPT_UNTIL] = _kept_until(request.keep_webhook_secret_until, fields)
    fields.require_none()
    return values


def connection_message(connection: Connection) -> registry_pb2.Connection:
    """The connection as callers see it: which secrets are set, not what they are."""
    connection = usable(connection)
    config = secrets.parse(connection.config_json)
    set_secrets = [name for name in secrets.CREDENTIALS if getattr(connection, name)]
    return registry_pb2.Connection(
        id=connection.id,
        system=connection.system,
        connection_type=connection.connection_type,
        db_host=connection.db_host,
        db_port=connection.db_port,
        db_name=connection.db_name,
        db_username=connection.db_username,
        db_driver=connection.db_driver,
        api_base_url=secrets.shown_url(connection.api_base_url),
        api_auth_type=connection.api_auth_type,
        api_timeout=connection.api_timeout,
        config_json=secrets.redacted_text(connection.config_json).encode(),
        is_active=connection.is_active,
        secrets_set=[*set_secrets, *secrets.paths(config, "config_json")],
        last_connection_test=timestamp(connection.last_connection_test),
        connection_status=connection.connection_status,
        connection_error=connection.connection_error,
        created_at=timestamp(connection.created_at),
        updated_at=timestamp(connection.updated_at),
    )


def _values(wanted: registry_pb2.Connection, named: set[str], fields: Fields) -> dict[str, Any]:
    """The named fields, checked; config_json as the object that it holds."""
    checks: dict[str, Any] = {
        "system": lambda: fields.name("system", wanted.system),
        "connection_type": lambda: fields.word("connection_type", wanted.connection_type, CONNECTION_TYPES),
        "db_host": lambda: fields.text("db_host", wanted.db_host, 255),
        "db_port": lambda: _port(wanted.db_port, fields),
        "db_name": lambda: fields.text("db_name", wanted.db_name, 100),
        "db_username": lambda: fields.text("db_username", wanted.db_username, 100),
        "db_password": lambda: fields.text("db_password", wanted.db_password, 255),
        "db_driver": lambda: fields.word("db_driver", wanted.db_driver, DB_DRIVERS, "mysql"),
        "api_base_url": lambda: _url(wanted.api_base_url, fields),
        "api_auth_type": lambda: fields.word("api_auth_type", wanted.api_auth_type, API_AUTH_TYPES, "bearer"),
        "api_auth_token": lambda: fields.text("api_auth_token", wanted.api_auth_token),
        "api_timeout": lambda: _timeout(wanted.api_timeout, fields),
        "config_json": lambda: _config(wanted.config_json, fields),
        "is_active": lambda: wanted.is_active if wanted.HasField("is_active") else True,
    }
    return {name: check() for name, check in checks.items() if name in named}


def _kept_until(until: Timestamp, fields: Fields) -> str:
    """The end of a secret that is replaced, as config_json has it."""
    now = utc_now().replace(tzinfo=UTC)
    try:
        moment = until.ToDatetime(UTC)
    except (ValueError, OverflowError):
        moment = now
    if not now < moment <= now + _LONGEST_OVERLAP:
        fields.refuse_as(KEPT_UNTIL, f"must be a time to come, at most {_LONGEST_OVERLAP.days} days from now")
    return moment.isoformat().replace("+00:00", "Z")


def _port(port: int, fields: Fields) -> int:
    if port > 65_535:
        fields.refuse("db_port", "must be at most 65535")
    return port


def _timeout(seconds: int, fields: Fields) -> int:
    if seconds > _LONGEST_TIMEOUT:
        fields.refuse("api_timeout", f"must be at most {_LONGEST_TIMEOUT} seconds")
    return seconds or _DEFAULT_TIMEOUT


def _url(url: str, fields: Fields) -> str:
    fields.text("api_base_url", url, 500)
    if url:
        text = "must be an http:// or https:// URL with a host, without user, password, query and fragment"
        fields.checked("api_base_url", lambda: urls.is_base(url), text)
    return url


def _config(body: bytes, fields: Fields) -> secrets.JsonObject:
    config = fields.document("config_json", body) if body else None
    fields.problems("config_json", verification.problems(config or {}))
    fields.problems("config_json", webhook_options.problems(config or {}))
    fields.problems("config_json", admission.problems(config or {}))
    fields.problems("config_json", reaching.problems(config or {}))
    # Null is as good as left out, but of a secret, where it takes the stored one away.
    return {key: value for key, value in (config or {}).items() if value is not None or secrets.is_secret(key)}
