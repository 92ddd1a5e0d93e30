"""`intertie sync`: runs that fetch the records of a mapping from its source, and how far they have come."""

from typing import Annotated

import typer

from intertie.ingest.v1 import sync_pb2
from intertie_cli import cells
from intertie_cli.options import Limit, Yes, confirm
from intertie_cli.output import Column
from intertie_cli.pages import collect
from intertie_cli.problems import UsageError
from intertie_cli.session import Session
from intertie_cli.sync_watch import HAS_ENDED, watch
from intertie_cli.verbs import group, verb

app = group("sync", "Runs that fetch the records of a mapping from its source.")

System = Annotated[str, typer.Argument(help="The name of the system.")]
Mapping = Annotated[str, typer.Argument(help="The name of the mapping.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]
OfSystem = Annotated[str, typer.Option("--system", help="Of the system of this name.")]
OfMapping = Annotated[str, typer.Option("--mapping", help="Of the mapping of this name.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not watch it until it has ended.")]

RUN_COLUMNS: list[Column] = [
    ("run", lambda run: run.run_id),
    ("system", lambda run: run.system or f"#{run.system_id}"),
    ("mapping", lambda run: run.mapping or f"#{run.mapping_id}"),
    ("mode", lambda run: run.mode),
    ("by", lambda run: run.requested_by or run.trigger),
    ("state", lambda run: run.state),
    ("read", lambda run: str(run.read)),
    ("new", lambda run: cells.number(run.new)),
    ("changed", lambda run: cells.number(run.changed)),
    ("unchanged", lambda run: cells.number(run.unchanged)),
    ("outdated", lambda run: cells.number(run.outdated)),
    ("skipped", lambda run: cells.number(run.skipped)),
    ("failed", lambda run: cells.number(run.failed)),
    ("pending", lambda run: cells.number(run.pending)),
    ("missed ticks", lambda run: cells.number(run.missed_ticks)),
    ("asked for", lambda run: cells.moment(run.created_at)),
    ("ended", lambda run: cells.moment(run.finished_at)),
    ("why", lambda run: cells.short(run.error_message)),
]
FAILURE_COLUMNS: list[Column] = [
    ("position", lambda failure: str(failure.position)),
    ("external id", lambda failure: failure.external_id),
    ("reason", lambda failure: failure.reason),
    ("field", lambda failure: failure.field),
    ("why", lambda failure: cells.short(failure.message)),
]


@verb(app, "run")
async def run_sync(
    session: Session,
    system: System,
    mapping: Mapping,
    full: Annotated[
        bool, typer.Option("--full", help="Read everything, and mark what the source no longer has as outdated.")
    ] = False,
    backfill: Annotated[
        bool, typer.Option("--backfill", help="Read a range of the cursor field only; the cursor stays where it is.")
    ] = False,
    range_from: Annotated[str, typer.Option("--from", help="With --backfill: the first value to read.")] = "",
    range_to: Annotated[str, typer.Option("--to", help="With --backfill: the value to stop before.")] = "",
    no_wait: NoWait = False,
) -> int:
    """Run a sync and watch it until its records are in the target; exit code 1 when it fails.

    Ctrl-C ends the watching, not the run. While the mapping has a run already, that one is watched.
    """
    if full and backfill:
        raise UsageError("--full reads everything, --backfill a range: take one of them")
    if (range_from or range_to) and not backfill:
        raise UsageError("--from and --to are the range of --backfill")
    request = sync_pb2.RunSyncRequest(
        system=system,
        mapping=mapping,
        mode="full" if full else "backfill" if backfill else "",
        range_from=range_from,
        range_to=range_to,
        no_wait=True,
    )
    started = (await session.sync.RunSync(request)).run
    return await _shown(session, started, no_wait)


@verb(app, "runs")
async def list_runs(
    session: Session,
    system: OfSystem = "",
    mapping: OfMapping = "",
    state: Annotated[
        str, typer.Option("--state", help="queued, running, settling, succeeded, failed or cancelled.")
    ] = "",
    limit: Limit = 50,
) -> None:
    """List runs, the newest first."""
    request = sync_pb2.ListRunsRequest(system=system, mapping=mapping, state=state)
    runs = await collect(session.sync.ListRuns, request, "runs", limit)
    session.printer.items(runs, RUN_COLUMNS, none="There are no such runs.")


@verb(app, "show")
async def show_run(session: Session, run: Run) -> None:
    """Show a run as it stands."""
    session.printer.item(await session.sync.GetRun(sync_pb2.GetRunRequest(run_id=run)))


@verb(app, "failures")
async def list_failures(session: Session, run: Run, limit: Limit = 50) -> None:
    """List the records of a run that failed, in the order in which they were read."""
    request = sync_pb2.ListRunFailuresRequest(run_id=run)
    failures = await collect(session.sync.ListRunFailures, request, "failures", limit)
    session.printer.items(failures, FAILURE_COLUMNS, none="No record of this run failed.")


@verb(app, "cancel")
async def cancel_run(session: Session, run: Run) -> None:
    """Cancel a run: it stops behind the page that it is at. What it stored stays."""
    session.printer.item(await session.sync.CancelRun(sync_pb2.CancelRunRequest(run_id=run)))


@verb(app, "resume")
async def resume_run(session: Session, run: Run, no_wait: NoWait = False) -> int:
    """Go on with a run that was cancelled or failed, behind the last page that it stored, and watch it."""
    return await _shown(session, await session.sync.ResumeRun(sync_pb2.ResumeRunRequest(run_id=run)), no_wait)


@verb(app, "cursor")
async def show_cursor(session: Session, system: System, mapping: Mapping) -> None:
    """Show how far a mapping has been synced."""
    session.printer.item(await session.sync.GetCursor(sync_pb2.GetCursorRequest(system=system, mapping=mapping)))


@verb(app, "reset")
async def reset_cursor(session: Session, system: System, mapping: Mapping, yes: Yes = False) -> None:
    """Forget how far a mapping has been synced: its next run reads everything. Cached records stay."""
    confirm(f"Forget how far {system}/{mapping} has been synced?", yes)
    await session.sync.ResetCursor(sync_pb2.ResetCursorRequest(system=system, mapping=mapping))
    session.printer.note(f"the next sync of {system}/{mapping} reads everything")


async def _shown(session: Session, run: sync_pb2.SyncRun, no_wait: bool) -> int:
    """Watches a run unless it is not to be waited for, and prints it; the exit code."""
    if not no_wait:
        run = await watch(session, run)
    session.printer.item(run)
    if run.failed:
        session.printer.note(f"{run.failed} records failed; see: intertie sync failures {run.run_id}")
    return 1 if run.state in HAS_ENDED and run.state != "succeeded" else 0
