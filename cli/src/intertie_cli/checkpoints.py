"""`intertie checkpoints`: how the exchange of each target row with each system stands."""

from typing import Annotated

import typer

from intertie.mapper.v1 import mapper_pb2
from intertie_cli import cells
from intertie_cli.options import MOST_ROW, Limit, System
from intertie_cli.output import Column
from intertie_cli.pages import collect
from intertie_cli.session import Session
from intertie_cli.verbs import group, verb

app = group("checkpoints", "How the exchange of each target row with each system stands.")

COLUMNS: list[Column] = [
    ("id", lambda checkpoint: cells.number(checkpoint.id)),
    ("table", lambda checkpoint: checkpoint.target_table),
    ("row", lambda checkpoint: cells.number(checkpoint.target_id)),
    ("external id", lambda checkpoint: checkpoint.external_id),
    ("system", lambda checkpoint: checkpoint.system),
    ("status", lambda checkpoint: checkpoint.integration_status),
    ("attempts", lambda checkpoint: cells.number(checkpoint.sync_attempts)),
    ("last sync", lambda checkpoint: cells.moment(checkpoint.last_sync_at)),
    ("why", lambda checkpoint: cells.short(checkpoint.error_message)),
]


@verb(app, "list")
async def list_checkpoints(
    session: Session,
    table: Annotated[str, typer.Option("--table", help="Of this target table, with or without its prefix.")] = "",
    system: System = "",
    status: Annotated[str, typer.Option("--status", help="pending, sent, acknowledged, confirmed or failed.")] = "",
    row: Annotated[int, typer.Option("--row", min=0, max=MOST_ROW, help="Of the target row of this number.")] = 0,
    limit: Limit = 50,
) -> None:
    """List checkpoints, the newest change first; also records that failed before they had a row."""
    request = mapper_pb2.ListCheckpointsRequest(
        target_table=table, system=system, integration_status=status, target_id=row
    )
    checkpoints = await collect(session.mapper.ListCheckpoints, request, "checkpoints", limit)
    session.printer.items(checkpoints, COLUMNS, none="There are no such checkpoints.")


@verb(app, "get")
async def get_checkpoint(
    session: Session,
    table: Annotated[str, typer.Argument(help="The target table, with or without its prefix.")],
    row: Annotated[int, typer.Argument(min=1, max=MOST_ROW, help="The number of the target row.")],
    system: Annotated[str, typer.Argument(help="The name of the system.")],
) -> None:
    """Show a checkpoint with what was sent and received."""
    request = mapper_pb2.GetCheckpointRequest(target_table=table, target_id=row, system=system)
    session.printer.item(await session.mapper.GetCheckpoint(request))
