"""`intertie deliveries` and `intertie rejections`: what came in, and what was refused."""

from typing import Annotated

import typer

from intertie.ingest.v1 import ingest_pb2
from intertie_cli import cells, options
from intertie_cli.documents import body_of, json_of
from intertie_cli.options import Limit, System
from intertie_cli.output import Column
from intertie_cli.pages import collect
from intertie_cli.problems import UsageError
from intertie_cli.session import Session
from intertie_cli.verbs import group, verb

app = group("deliveries", "What external systems delivered, and how each delivery ended.")
rejections_app = group("rejections", "What was refused, counted by system, reason, source and minute.")

_STATES = {
    cells.word(ingest_pb2.DeliveryState, value).replace(" ", "-"): value
    for value in ingest_pb2.DeliveryState.values()
    if value
}

COLUMNS: list[Column] = [
    ("delivery", lambda delivery: delivery.delivery_id),
    ("system", lambda delivery: delivery.system or f"#{delivery.system_id}"),
    ("by", lambda delivery: cells.word(ingest_pb2.Route, delivery.route)),
    ("state", lambda delivery: cells.word(ingest_pb2.DeliveryState, delivery.state)),
    ("records", lambda delivery: ", ".join(dict.fromkeys(record.external_id for record in delivery.records[:5]))),
    ("key", lambda delivery: delivery.delivery_key),
    ("size", lambda delivery: str(delivery.size)),
    ("from", lambda delivery: delivery.source),
    ("received", lambda delivery: cells.moment(delivery.received_at)),
]
REJECTION_COLUMNS: list[Column] = [
    ("minute", lambda rejection: cells.moment(rejection.minute)),
    ("system", lambda rejection: rejection.system),
    ("by", lambda rejection: cells.word(ingest_pb2.Route, rejection.route)),
    ("reason", lambda rejection: rejection.reason),
    ("count", lambda rejection: str(rejection.count)),
    ("from", lambda rejection: rejection.source),
    ("last message", lambda rejection: cells.short(rejection.message)),
]


@verb(app, "list")
async def list_deliveries(
    session: Session,
    system: System = "",
    state: Annotated[str, typer.Option("--state", help=", ".join(_STATES) + ".")] = "",
    since: Annotated[str, typer.Option("--since", help="Received at or after: a time, or an age such as 2h.")] = "",
    until: Annotated[str, typer.Option("--until", help="Received before: a time, or an age.")] = "",
    limit: Limit = 50,
) -> None:
    """List deliveries, the newest first."""
    if state and state not in _STATES:
        raise UsageError(f"--state must be one of {', '.join(_STATES)}")
    request = ingest_pb2.ListDeliveriesRequest(
        system=system,
        state=_STATES.get(state, ingest_pb2.DELIVERY_STATE_UNSPECIFIED),
        received_after=options.moment(since, "--since"),
        received_before=options.moment(until, "--until"),
    )
    deliveries = await collect(session.ingest.ListDeliveries, request, "deliveries", limit)
    session.printer.items(deliveries, COLUMNS, none="There are no such deliveries.")


@verb(app, "get")
async def get_delivery(
    session: Session, delivery: Annotated[str, typer.Argument(help="The delivery's id, from the 202 or the list.")]
) -> None:
    """Show a delivery with its body and how each of its records ended."""
    found = await session.ingest.GetDelivery(ingest_pb2.GetDeliveryRequest(delivery_id=delivery))
    document = {**json_of(found), "body": body_of(found.body) if found.body else None}
    if session.printer.is_json:
        session.printer.json(document)
    else:
        session.printer.fields(document)


@verb(rejections_app, "list")
async def list_rejections(
    session: Session,
    system: System = "",
    reason: Annotated[str, typer.Option("--reason", help="With this reason, such as UNAUTHENTICATED.")] = "",
    limit: Limit = 50,
) -> None:
    """List what was refused, the newest first."""
    request = ingest_pb2.ListRejectionsRequest(system=system, reason=reason)
    rejections = await collect(session.ingest.ListRejections, request, "rejections", limit)
    session.printer.items(rejections, REJECTION_COLUMNS, none="Nothing was refused.")
