"""`intertie connections test`: whether connections work, tried from where they are used."""

import asyncio
from typing import Annotated, Any

import typer

from intertie.ingest.v1 import query_pb2
from intertie.registry.v1 import registry_pb2
from intertie_cli import options
from intertie_cli.documents import json_of
from intertie_cli.options import System
from intertie_cli.pages import collect
from intertie_cli.problems import UsageError
from intertie_cli.session import Session
from intertie_cli.verbs import verb

_SECONDS = 60.0
_AT_ONCE = 4
_MOST = 100_000
_HEADINGS = ("id", "system", "type", "status", "ms", "error")


async def try_connections(
    session: Session,
    ids: Annotated[list[int] | None, typer.Argument(min=1, max=options.MOST_ID, help="Numbers of connections.")] = None,
    system: System = "",
    every: Annotated[bool, typer.Option("--all", help="All active connections.")] = False,
) -> int:
    """Try connections: those named, or the active ones of a system or of all. Exit code 1 when one does not work."""
    if (bool(ids), bool(system), every).count(True) != 1:
        raise UsageError("name connections by number, or choose them by --system, or take --all")
    connections = await _chosen(session, ids or [], system)
    turn = asyncio.Semaphore(_AT_ONCE)

    async def trial(number: int) -> query_pb2.TestConnectionResponse:
        async with turn:
            request = query_pb2.TestConnectionRequest(id=number)
            answer: query_pb2.TestConnectionResponse = await session.query.TestConnection(request, timeout=_SECONDS)
            return answer

    trials = await asyncio.gather(*(trial(connection.id) for connection in connections))
    _show(session, connections, trials)
    return 0 if all(each.connection_status == "connected" for each in trials) else 1


async def _chosen(session: Session, ids: list[int], system: str) -> list[registry_pb2.Connection]:
    if ids:
        get = session.registry.GetConnection
        return [await get(registry_pb2.GetConnectionRequest(id=number)) for number in dict.fromkeys(ids)]
    request = registry_pb2.ListConnectionsRequest(system=system)
    found = await collect(session.registry.ListConnections, request, "connections", _MOST)
    return [connection for connection in found if connection.is_active]


def _show(
    session: Session, connections: list[registry_pb2.Connection], trials: list[query_pb2.TestConnectionResponse]
) -> None:
    if session.printer.is_json:
        session.printer.json([json_of(each) for each in trials])
        return
    rows: list[list[Any]] = [
        [
            str(connection.id),
            connection.system,
            connection.connection_type,
            each.connection_status,
            str(each.duration_ms),
            each.connection_error,
        ]
        for connection, each in zip(connections, trials, strict=True)
    ]
    if rows:
        session.printer.rows(_HEADINGS, rows)
    else:
        session.printer.note("There are no active connections.")


def add_to(app: typer.Typer) -> None:
    """Makes it a verb of the noun `connections`."""
    verb(app, "test")(try_connections)
