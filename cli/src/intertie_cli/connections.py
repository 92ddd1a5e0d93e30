"""`intertie connections`: how systems are reached, and how what they send is verified."""

import json
from typing import Annotated, Any

import typer
from google.protobuf.field_mask_pb2 import FieldMask

from intertie.registry.v1 import registry_pb2
from intertie_cli import cells, options
from intertie_cli.options import SECRET_HELP, Limit, System, Yes, confirm
from intertie_cli.output import Column
from intertie_cli.pages import collect
from intertie_cli.problems import UsageError
from intertie_cli.session import Session
from intertie_cli.verbs import group, verb

app = group("connections", "How systems are reached, and how what they send is verified.")

Id = Annotated[int, typer.Argument(min=1, max=options.MOST_ID, help="The connection's number.")]
Text = str | None
Type = Annotated[Text, typer.Option("--type", help="database, api, rest, soap or graphql.")]
BaseUrl = Annotated[Text, typer.Option("--api-base-url", help="URL that API endpoints are joined to.")]
AuthType = Annotated[Text, typer.Option("--api-auth-type", help="bearer, basic, oauth2, apikey or none.")]
AuthToken = Annotated[Text, typer.Option("--api-auth-token", help=f"Credential for the API: {SECRET_HELP}")]
ApiTimeout = Annotated[
    int | None, typer.Option("--api-timeout", min=1, max=options.MOST_ID, help="Seconds that an API may take.")
]
DbHost = Annotated[Text, typer.Option("--db-host", help="Host of the database.")]
DbPort = Annotated[int | None, typer.Option("--db-port", min=1, max=65535, help="Port of the database.")]
DbName = Annotated[Text, typer.Option("--db-name", help="Name of the database.")]
DbUser = Annotated[Text, typer.Option("--db-username", help="User of the database.")]
DbPassword = Annotated[Text, typer.Option("--db-password", help=f"Password of the database: {SECRET_HELP}")]
DbDriver = Annotated[Text, typer.Option("--db-driver", help="mysql, postgresql, sqlite, mssql or oracle.")]
WebhookSecret = Annotated[Text, typer.Option("--webhook-secret", help=f"What senders prove they know: {SECRET_HELP}")]
WebhookAuth = Annotated[
    Text,
    typer.Option(
        "--webhook-auth",
        help="secret (default), standard-webhooks, github, stripe, shopify, slack, hmac or none.",
    ),
]
PushAuth = Annotated[
    Text, typer.Option("--push-auth", help="secret (default), or none: honoured for loopback peers only.")
]
Config = Annotated[
    Text, typer.Option("--config", help="Further keys of config_json: a JSON object, @FILE, or - for standard input.")
]
Active = Annotated[bool | None, typer.Option("--active/--inactive", help="Whether the connection is used.")]

COLUMNS: list[Column] = [
    ("id", lambda connection: str(connection.id)),
    ("system", lambda connection: connection.system),
    ("type", lambda connection: connection.connection_type),
    ("active", lambda connection: cells.yes(connection.is_active)),
    ("reaches", lambda connection: connection.api_base_url or _database(connection)),
    ("config", lambda connection: cells.short(connection.config_json)),
    ("secrets set", lambda connection: ", ".join(connection.secrets_set)),
    ("state", lambda connection: connection.connection_status.replace("_", " ")),
    ("tested", lambda connection: cells.moment(connection.last_connection_test)),
]


@verb(app, "list")
async def list_connections(session: Session, system: System = "", limit: Limit = 50) -> None:
    """List connections, without their secrets."""
    request = registry_pb2.ListConnectionsRequest(system=system)
    connections = await collect(session.registry.ListConnections, request, "connections", limit)
    session.printer.items(connections, COLUMNS, none="There are no connections.")


@verb(app, "get")
async def get_connection(session: Session, id: Id) -> None:
    """Show a connection, without its secrets."""
    session.printer.item(await session.registry.GetConnection(registry_pb2.GetConnectionRequest(id=id)))


@verb(app, "create")
async def create_connection(
    session: Session,
    system: Annotated[str, typer.Argument(help="The name of the system.")],
    type: Type = "api",
    webhook_secret: WebhookSecret = None,
    webhook_auth: WebhookAuth = None,
    push_auth: PushAuth = None,
    config: Config = None,
    api_base_url: BaseUrl = None,
    api_auth_type: AuthType = None,
    api_auth_token: AuthToken = None,
    api_timeout: ApiTimeout = None,
    db_host: DbHost = None,
    db_port: DbPort = None,
    db_name: DbName = None,
    db_username: DbUser = None,
    db_password: DbPassword = None,
    db_driver: DbDriver = None,
    active: Active = None,
) -> None:
    """Create a connection of a system."""
    fields = _fields(locals())
    keys = _config_keys(webhook_secret, webhook_auth, push_auth, config)
    if keys:
        fields["config_json"] = options.merged(b"", keys)
    connection = registry_pb2.Connection(system=system, **fields)
    request = registry_pb2.CreateConnectionRequest(connection=connection)
    session.printer.item(await session.registry.CreateConnection(request))


@verb(app, "update")
async def update_connection(
    session: Session,
    id: Id,
    type: Type = None,
    webhook_secret: WebhookSecret = None,
    webhook_auth: WebhookAuth = None,
    push_auth: PushAuth = None,
    config: Config = None,
    api_base_url: BaseUrl = None,
    api_auth_type: AuthType = None,
    api_auth_token: AuthToken = None,
    api_timeout: ApiTimeout = None,
    db_host: DbHost = None,
    db_port: DbPort = None,
    db_name: DbName = None,
    db_username: DbUser = None,
    db_password: DbPassword = None,
    db_driver: DbDriver = None,
    active: Active = None,
) -> None:
    """Change what is named; the rest stays, in config_json too. A key set to null in --config is removed."""
    fields = _fields(locals())
    keys = _config_keys(webhook_secret, webhook_auth, push_auth, config)
    if keys:
        current = await session.registry.GetConnection(registry_pb2.GetConnectionRequest(id=id))
        fields["config_json"] = options.merged(current.config_json, keys)
    if not fields:
        raise UsageError("nothing to change was named; see `intertie connections update --help`")
    request = registry_pb2.UpdateConnectionRequest(
        connection=registry_pb2.Connection(id=id, **fields), update_mask=FieldMask(paths=list(fields))
    )
    session.printer.item(await session.registry.UpdateConnection(request))


@verb(app, "delete")
async def delete_connection(session: Session, id: Id, yes: Yes = False) -> None:
    """Delete a connection with its secrets."""
    confirm(f"Delete the connection {id} with its secrets?", yes)
    await session.registry.DeleteConnection(registry_pb2.DeleteConnectionRequest(id=id))
    session.printer.note(f"deleted the connection {id}")


_PLAIN = {
    "type": "connection_type",
    "active": "is_active",
    **{
        name: name
        for name in (
            "api_base_url",
            "api_auth_type",
            "api_timeout",
            "db_host",
            "db_port",
            "db_name",
            "db_username",
            "db_driver",
        )
    },
}
_SECRET = ("api_auth_token", "db_password")


def _fields(given: dict[str, Any]) -> dict[str, Any]:
    """The message's fields that options name, secrets read from where they are."""
    fields = {field: given[option] for option, field in _PLAIN.items() if given[option] is not None}
    for name in _SECRET:
        if given[name] is not None:
            fields[name] = options.secret(given[name], f"--{name.replace('_', '-')}")
    return fields


def _config_keys(secret: Text, webhook_auth: Text, push_auth: Text, config: Text) -> dict[str, Any]:
    """The keys of config_json that options name; those with an option of their own win over --config."""
    keys: dict[str, Any] = json.loads(options.document(config)) if config is not None else {}
    if secret is not None:
        keys["webhook_secret"] = options.secret(secret, "--webhook-secret")
    if webhook_auth is not None:
        keys["webhook_auth"] = webhook_auth
    if push_auth is not None:
        keys["push_auth"] = push_auth
    return keys


def _database(connection: registry_pb2.Connection) -> str:
    if connection.db_driver == "sqlite" and connection.connection_type == "database":
        return f"sqlite:{connection.db_name}"
    if not connection.db_host:
        return ""
    port = f":{connection.db_port}" if connection.db_port else ""
    return f"{connection.db_driver}://{connection.db_host}{port}/{connection.db_name}"
