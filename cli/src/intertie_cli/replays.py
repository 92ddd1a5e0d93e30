"""`intertie records replay`: what was set aside goes to mapper again, as much and as fast as one says."""

import asyncio
import sys
import time
from typing import Annotated, Any

import typer

from intertie.ingest.v1 import ingest_pb2
from intertie_chassis.errors import Unimplemented
from intertie_cli import cells, options
from intertie_cli.documents import json_of
from intertie_cli.options import MOST_ROW, System, confirm
from intertie_cli.output import Column
from intertie_cli.problems import UsageError
from intertie_cli.records import Delivery, ExternalId, Mapping, Reason, Since, Until
from intertie_cli.replay_watch import LOOK_SECONDS, Show, Watch, display, patiently, told
from intertie_cli.session import Session
from intertie_cli.verbs import verb

_SLICE_SECONDS = 10
"""What is handed over at a rate goes in slices: so much of it goes on after Ctrl-C."""
_MOST_A_CALL = 10_000

COUNT_COLUMNS: list[Column] = [
    ("system", lambda count: count.system or f"#{count.system_id}"),
    ("mapping", lambda count: count.mapping or f"#{count.mapping_id}"),
    ("reason", lambda count: count.error_reason),
    ("records", lambda count: str(count.count)),
    ("oldest", lambda count: cells.moment(count.first_changed_at)),
    ("newest", lambda count: cells.moment(count.last_changed_at)),
]


async def replay_records(
    session: Session,
    ids: Annotated[list[int] | None, typer.Argument(min=1, max=MOST_ROW, help="Numbers of records.")] = None,
    system: System = "",
    mapping: Mapping = "",
    external_id: ExternalId = "",
    reason: Reason = "",
    delivery: Delivery = "",
    since: Since = "",
    until: Until = "",
    waiting: Annotated[bool, typer.Option("--waiting", help="Those that wait, not those that were set aside.")] = False,
    rate: Annotated[float, typer.Option("--rate", min=0, help="How many a second; 0: all at once.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which and how many there are.")] = False,
    follow: Annotated[
        bool | None,
        typer.Option("--follow/--no-follow", help="Watch until none of them waits; else only at a terminal."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> int:
    """Hand records that were set aside, or that wait, to mapper: those named, or all that the options choose.

    Watched to the end, exit code 1 when some were set aside again. Ctrl-C ends it: what was handed over goes on.
    """
    if not (ids or system or mapping or external_id or reason or delivery or since or until):
        raise UsageError(
            "name records by number, or choose them by --system, --mapping, --external-id, --reason, --delivery, "
            "--since or --until"
        )
    request = ingest_pb2.ReplayRecordsRequest(
        ids=ids or (),
        system=system,
        mapping=mapping,
        external_id=external_id,
        error_reason=reason,
        delivery_id=delivery,
        changed_after=options.moment(since, "--since"),
        changed_before=options.moment(until, "--until"),
        waiting=waiting,
    )
    if external_id or delivery or since or until or rate:
        await _require_choice(session)
    if dry_run:
        await _preview(session, request)
        return 0
    total = len(set(ids)) if ids else await _count(session, request)
    if not ids:
        confirm(f"Hand {total} records to mapper?", yes)
    if rate:
        request.records_per_second = rate
        request.max_records = min(max(1, round(rate * _SLICE_SECONDS)), _MOST_A_CALL)
    is_followed = sys.stderr.isatty() if follow is None else follow
    watch = Watch(session, total)
    await _hand_over(session, request, watch, is_followed=is_followed)
    return _say(session, watch, is_followed=is_followed, named=len(set(ids or ())))


def add_to(app: typer.Typer) -> None:
    """Adds the verb to the group of records."""
    verb(app, "replay")(replay_records)


async def _require_choice(session: Session) -> None:
    """Raises UsageError when ingest is of a version that would not heed all options, and replay more than was meant."""
    try:
        await session.ingest.CountRecords(ingest_pb2.CountRecordsRequest(ids=[MOST_ROW]))
    except Unimplemented:
        raise UsageError(
            "this ingest is older than the command: it knows no --external-id, --delivery, --since, --until and --rate"
        ) from None


async def _count(session: Session, request: ingest_pb2.ReplayRecordsRequest) -> int:
    asked = ingest_pb2.ReplayRecordsRequest()
    asked.CopyFrom(request)
    asked.dry_run = True
    return int((await session.ingest.ReplayRecords(asked)).replayed)


async def _preview(session: Session, request: ingest_pb2.ReplayRecordsRequest) -> None:
    request.dry_run = True
    answer = await session.ingest.ReplayRecords(request)
    if session.printer.is_json:
        session.printer.item(answer)
        return
    if answer.counts:
        session.printer.items(answer.counts, COUNT_COLUMNS, none="")
    session.printer.line(f"{answer.replayed} records would be handed to mapper")


async def _hand_over(
    session: Session, request: ingest_pb2.ReplayRecordsRequest, watch: Watch, *, is_followed: bool
) -> None:
    """Hands the records over, call by call, and watches them if that is wanted."""
    rate, began = request.records_per_second, time.monotonic()
    try:
        with display(session.printer, watch.total) as show:
            answer = await session.ingest.ReplayRecords(request)
            watch.add(answer)
            while answer.next_page_token:
                request.page_token = answer.next_page_token
                show(watch.standing)
                if rate:
                    await _until(began + watch.handed / rate, watch, show, is_followed=is_followed)
                answer = await patiently(session, lambda: session.ingest.ReplayRecords(request))
                watch.add(answer)
            if is_followed and watch.is_known:
                while await watch.look():
                    show(watch.standing)
                    await asyncio.sleep(LOOK_SECONDS)
                show(watch.standing)
    except asyncio.CancelledError:
        session.printer.note(
            f"{watch.handed} records were handed to mapper, which goes on with them; `intertie records list` shows "
            "how they stand, and the same command hands over what is still set aside"
        )
        raise


async def _until(moment: float, watch: Watch, show: Show, *, is_followed: bool) -> None:
    """Waits for the time of the next slice, and looks at the ones before meanwhile."""
    while (remaining := moment - time.monotonic()) > 0:
        if is_followed:
            await watch.look()
        show(watch.standing)
        await asyncio.sleep(min(LOOK_SECONDS, remaining))


def _say(session: Session, watch: Watch, *, is_followed: bool, named: int) -> int:
    """Says what came of it; gives the exit code."""
    standing, printer = watch.standing, session.printer
    is_watched = is_followed and watch.is_known
    if printer.is_json:
        answer = ingest_pb2.ReplayRecordsResponse(replayed=watch.handed, ids=watch.ids)
        document: dict[str, Any] = {name: json_of(answer)[name] for name in ("replayed", "ids")}
        printer.json(document | (standing.counts if is_watched else {}))
    elif is_watched and watch.handed:
        printer.line(f"{watch.handed} records were handed to mapper: {told(standing)}")
    else:
        printer.line(f"{watch.handed} records are handed to mapper")
    if watch.handed < named:
        printer.note(f"{named - watch.handed} of those named are not set aside; `intertie records get` shows each")
    if standing.held:
        printer.note(f"{standing.held} of them wait until their mapping is active")
    return 1 if is_watched and standing.set_aside else 0
