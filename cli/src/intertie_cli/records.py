"""`intertie records` and `intertie cache`: the newest state of each record, and what became of it."""

from typing import Annotated

import typer

from intertie.ingest.v1 import ingest_pb2
from intertie_cli import cells, options
from intertie_cli.options import MOST_ROW, Limit, System
from intertie_cli.output import Column
from intertie_cli.pages import collect
from intertie_cli.problems import UsageError
from intertie_cli.session import Session
from intertie_cli.verbs import group, verb

app = group("records", "The newest accepted state of each record, and what became of it.")
cache_app = group("cache", "What modules read: records that are synced and have not expired.")

Mapping = Annotated[str, typer.Option("--mapping", help="Of the mapping of this name.")]
ExternalId = Annotated[str, typer.Option("--external-id", help="With this id in the external system.")]
Reason = Annotated[str, typer.Option("--reason", help="Set aside for this reason, such as bad_datetime.")]
Delivery = Annotated[str, typer.Option("--delivery", help="Brought by the delivery of this id.")]
Since = Annotated[
    str, typer.Option("--since", help="Changed (set aside) at or after: a time, or an age such as 2h or 3d.")
]
Until = Annotated[str, typer.Option("--until", help="Changed (set aside) before: a time, or an age.")]

COLUMNS: list[Column] = [
    ("id", lambda record: str(record.id)),
    ("system", lambda record: record.system or f"#{record.system_id}"),
    ("mapping", lambda record: record.mapping or f"#{record.mapping_id}"),
    ("external id", lambda record: record.external_id),
    ("status", lambda record: record.sync_status),
    ("row", lambda record: cells.short(record.local_key) or cells.number(record.local_id)),
    ("revision", lambda record: str(record.revision)),
    ("attempts", lambda record: cells.number(record.attempts)),
    ("reason", lambda record: record.error_reason),
    ("field", lambda record: record.error_field),
    ("why", lambda record: cells.short(record.sync_error)),
    ("changed", lambda record: cells.moment(record.updated_at)),
]
CACHE_COLUMNS: list[Column] = [
    ("id", lambda record: str(record.id)),
    ("mapping", lambda record: record.mapping or f"#{record.mapping_id}"),
    ("external id", lambda record: record.external_id),
    ("data", lambda record: cells.short(record.data_json)),
    ("synced", lambda record: cells.moment(record.last_synced_at)),
    ("expires", lambda record: cells.moment(record.expires_at)),
]


@verb(app, "list")
async def list_records(
    session: Session,
    system: System = "",
    mapping: Mapping = "",
    external_id: ExternalId = "",
    status: Annotated[str, typer.Option("--status", help="pending, synced, error (set aside) or outdated.")] = "",
    reason: Reason = "",
    delivery: Delivery = "",
    since: Since = "",
    until: Until = "",
    limit: Limit = 50,
) -> None:
    """List cached records in any state, the newest change first."""
    request = ingest_pb2.ListRecordsRequest(
        system=system,
        mapping=mapping,
        external_id=external_id,
        sync_status=status,
        error_reason=reason,
        delivery_id=delivery,
        changed_after=options.moment(since, "--since"),
        changed_before=options.moment(until, "--until"),
    )
    records = await collect(session.ingest.ListRecords, request, "records", limit)
    session.printer.items(records, COLUMNS, none="There are no such records.")


@verb(app, "get")
async def get_record(
    session: Session, id: Annotated[int, typer.Argument(min=1, max=MOST_ROW, help="The record's number.")]
) -> None:
    """Show a cached record with its data."""
    session.printer.item(await session.ingest.GetRecord(ingest_pb2.GetRecordRequest(id=id)))


@verb(cache_app, "list")
async def list_cache(
    session: Session,
    named: Annotated[str, typer.Argument(metavar="SYSTEM", help="The name of the system.")] = "",
    system: System = "",
    mapping: Mapping = "",
    external_id: ExternalId = "",
    limit: Limit = 50,
) -> None:
    """List what the cache of a system holds for modules; the system may also be given by --system, as elsewhere."""
    name = named or system
    if not name or (named and system):
        raise UsageError("name one system: intertie cache list SYSTEM")
    request = ingest_pb2.ReadCacheRequest(system=name, mapping=mapping, external_id=external_id)
    records = await collect(session.ingest.ReadCache, request, "data", limit)
    session.printer.items(records, CACHE_COLUMNS, none=f"The cache holds nothing of {name} that is synced.")
