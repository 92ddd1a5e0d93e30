"""`intertie audit`: what happened, and what happens."""

import asyncio
from typing import Annotated

import typer

from intertie.audit.v1 import audit_pb2
from intertie_chassis.errors import Unavailable
from intertie_cli import cells, options
from intertie_cli.documents import json_of
from intertie_cli.options import Limit, System
from intertie_cli.output import Column
from intertie_cli.pages import collect
from intertie_cli.session import Session
from intertie_cli.verbs import group, verb

app = group("audit", "What happened: deliveries, mapping applications, queries and configuration changes.")

COLUMNS: list[Column] = [
    ("id", lambda entry: str(entry.id)),
    ("when", lambda entry: cells.moment(entry.created_at)),
    ("type", lambda entry: entry.query_type),
    ("status", lambda entry: entry.status),
    ("system", lambda entry: entry.system or cells.number(entry.system_id)),
    ("what", lambda entry: cells.short(entry.query_string)),
    ("who", lambda entry: entry.actor or cells.number(entry.requested_by)),
    ("module", lambda entry: entry.module_name),
    ("delivery", lambda entry: entry.delivery_id),
    ("ms", lambda entry: cells.number(entry.execution_time_ms)),
    ("error", lambda entry: cells.short(entry.error_message)),
]


@verb(app, "list")
async def list_entries(
    session: Session,
    system: System = "",
    module: Annotated[str, typer.Option("--module", help="Asked for by this module.")] = "",
    status: Annotated[str, typer.Option("--status", help="success, error or timeout.")] = "",
    type: Annotated[str, typer.Option("--type", help="webhook, mapping, configuration, access, select, …")] = "",
    delivery: Annotated[str, typer.Option("--delivery", help="About the delivery of this id.")] = "",
    since: Annotated[str, typer.Option("--since", help="Happened at or after: a time, or an age such as 2h.")] = "",
    until: Annotated[str, typer.Option("--until", help="Happened before: a time, or an age.")] = "",
    limit: Limit = 50,
) -> None:
    """List entries, the newest first."""
    request = audit_pb2.ListEntriesRequest(
        system=system,
        module=module,
        status=status,
        query_type=type,
        delivery_id=delivery,
        created_after=options.moment(since, "--since"),
        created_before=options.moment(until, "--until"),
    )
    entries = await collect(session.audit.ListEntries, request, "logs", limit, size="limit")
    session.printer.items(entries, COLUMNS, none="There are no such entries.")


@verb(app, "get")
async def get_entry(
    session: Session, id: Annotated[int, typer.Argument(min=1, max=options.MOST_ROW, help="The entry's number.")]
) -> None:
    """Show an entry with its payloads."""
    session.printer.item(await session.audit.GetEntry(audit_pb2.GetEntryRequest(id=id)))


@verb(app, "tail")
async def tail_entries(
    session: Session,
    system: System = "",
    last: Annotated[int, typer.Option("--last", min=0, max=1000, help="Begin with so many that are there.")] = 10,
) -> None:
    """Show entries as they come, until Ctrl-C; goes on by itself after a restart of audit."""
    request = audit_pb2.TailEntriesRequest(system=system, last=last)
    has_begun = is_away = False
    while True:
        try:
            async for response in session.audit.TailEntries(request):
                has_begun, is_away = True, False
                for entry in response.entries:
                    _show(session, entry)
                    request.after_id = max(request.after_id, entry.id)
        except Unavailable:
            if not has_begun:
                raise
            if not is_away:
                session.printer.note("audit went away; this goes on when it is back")
            is_away = True
        await asyncio.sleep(1)


def _show(session: Session, entry: audit_pb2.Entry) -> None:
    if session.printer.is_json:
        session.printer.json_line(json_of(entry))
        return
    parts = (cells.moment(entry.created_at), f"{entry.status:<7}", f"{entry.query_type:<13}", entry.system)
    texts = (
        cells.short(entry.query_string, 120),
        entry.actor,
        entry.delivery_id,
        cells.short(entry.error_message, 120),
    )
    session.printer.line("  ".join([*parts, *(text for text in texts if text)]))
