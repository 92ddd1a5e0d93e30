"""`intertie query`: asks external databases and APIs, as a module would."""

import json
import sys
from typing import Annotated, Any

import typer

from intertie.ingest.v1 import query_pb2
from intertie_cli import cells, options
from intertie_cli.documents import json_of
from intertie_cli.problems import UsageError
from intertie_cli.session import Session
from intertie_cli.verbs import group, verb

app = group("query", "Asks external databases and APIs, as a module would.")

System = Annotated[str, typer.Argument(help="The name of the system.")]
Module = Annotated[
    str, typer.Option("--module", help="As which module; whose grant then counts. A module's token names its own.")
]
ConnectionId = Annotated[
    int,
    typer.Option(
        "--connection", min=0, max=options.MOST_ID, help="Number of the connection. Default: the first that fits."
    ),
]

_DATABASE_SECONDS = 60.0
_API_SECONDS = 120.0


@verb(app, "database")
async def query_database(
    session: Session,
    system: System,
    sql: Annotated[str, typer.Argument(help="One statement, with :name for each parameter; - reads standard input.")],
    param: Annotated[
        list[str] | None,
        typer.Option("--param", help="NAME=VALUE: a number, true, false, null or a quoted text as in JSON, else text."),
    ] = None,
    module: Module = "",
    connection: ConnectionId = 0,
    max_rows: Annotated[int, typer.Option("--max-rows", min=0, max=options.MOST_ID, help="How many at most.")] = 0,
) -> None:
    """Run one statement in an external database."""
    request = query_pb2.QueryDatabaseRequest(
        system=system,
        query=sys.stdin.read() if sql == "-" else sql,
        params=json.dumps(parameters(param or ()), ensure_ascii=False).encode() if param else b"",
        module=module,
        connection_id=connection,
        max_rows=max_rows,
    )
    answer = await session.query.QueryDatabase(request, timeout=_DATABASE_SECONDS)
    if session.printer.is_json:
        session.printer.json(json_of(answer))
        return
    rows = json.loads(answer.results or b"[]")
    if rows:
        _table(session, rows)
    else:
        session.printer.note(f"no rows to show; count: {answer.count}")
    if answer.truncated:
        session.printer.note("there are more rows than the limits let through")


@verb(app, "api")
async def query_api(
    session: Session,
    system: System,
    endpoint: Annotated[str, typer.Argument(help="Path below the connection's base URL; for SOAP the action.")],
    method: Annotated[str, typer.Option("--method", "-X", help="GET, HEAD, POST, PUT, PATCH or DELETE.")] = "GET",
    data: Annotated[
        str | None,
        typer.Option("--data", help="What is sent: JSON, @FILE, or - for standard input; for GET query parameters."),
    ] = None,
    module: Module = "",
    connection: ConnectionId = 0,
) -> None:
    """Call an endpoint of an external API."""
    request = query_pb2.QueryApiRequest(
        system=system,
        endpoint=endpoint,
        method=method,
        data=b"" if data is None else options.json_value(data, "--data"),
        module=module,
        connection_id=connection,
    )
    answer = await session.query.QueryApi(request, timeout=_API_SECONDS)
    if session.printer.is_json:
        session.printer.json(json_of(answer))
        return
    found = json.loads(answer.data or b"null")
    if isinstance(found, list) and found and all(isinstance(each, dict) for each in found):
        _table(session, found)
    else:
        session.printer.json(found)


def parameters(given: list[str] | tuple[str, ...]) -> dict[str, Any]:
    """The parameters that `NAME=VALUE` texts name. Raises UsageError."""
    found: dict[str, Any] = {}
    for each in given:
        name, equals, text = each.partition("=")
        if not equals or not name:
            raise UsageError(f"--param: {each}: write NAME=VALUE")
        if name in found:
            raise UsageError(f"--param: {name} is named twice")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        # What is no value of a column was meant as it is written.
        found[name] = text if isinstance(value, (dict, list)) else value
    return found


def _table(session: Session, rows: list[dict[str, Any]]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    session.printer.rows(names, ([_cell(row.get(name)) for name in names] for row in rows))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return cells.short(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
