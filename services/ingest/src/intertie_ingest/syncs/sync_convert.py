"""SyncService's messages and the model: runs, failures and cursors; requests are checked here."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from intertie.ingest.v1 import sync_pb2
from intertie_chassis.errors import InvalidArgument
from intertie_chassis.paging import decode_token
from intertie_ingest import errors
from intertie_ingest.field_convert import fill_time, invalid, is_id
from intertie_ingest.pull.configuration import PullConfiguration, PullMapping
from intertie_ingest.syncs.model import Mode, NewRun, Run, RunFailure, RunState, StoredCursor, Trigger
from intertie_ingest.syncs.ranges import backfill
from intertie_ingest.syncs.sources import default_mode

_MODES = {"incremental": Mode.INCREMENTAL, "full": Mode.FULL, "backfill": Mode.BACKFILL}
_MOST_BOUND_CHARACTERS = 255


def new_run(
    request: sync_pb2.RunSyncRequest, mapping: PullMapping, cursor: StoredCursor | None, requested_by: str
) -> NewRun:
    """The run that is asked for. Raises InvalidArgument, and NoSource for a mode of a mapping that reads nothing."""
    mode = _mode(request, mapping)
    if mode is Mode.BACKFILL:
        _check_range(request, cursor)
    elif request.range_from or request.range_to:
        raise invalid("mode", "must be backfill where a range is given")
    return NewRun(
        mapping.system_id,
        mapping.id,
        mode,
        Trigger.MANUAL,
        requested_by,
        range_from=request.range_from,
        range_to=request.range_to,
    )


def _mode(request: sync_pb2.RunSyncRequest, mapping: PullMapping) -> Mode:
    if not request.mode:
        return default_mode(mapping)
    mode = _MODES.get(request.mode)
    if mode is None:
        raise invalid("mode", f"must be one of {', '.join(_MODES)}")
    if not mapping.source_table:
        raise errors.NoSource("the mapping has no source_table, so there is nothing to read; leave mode out")
    synchronisation = mapping.synchronisation
    # What is wrong with a configuration that cannot be read the run itself will say.
    if mode is not Mode.FULL and synchronisation is not None and synchronisation.cursor_field is None:
        raise invalid("mode", f"is {mode.value}, for which the mapping needs a cursor_field in its sync part")
    return mode


def _check_range(request: sync_pb2.RunSyncRequest, cursor: StoredCursor | None) -> None:
    for field, text in (("range_from", request.range_from), ("range_to", request.range_to)):
        if len(text) > _MOST_BOUND_CHARACTERS:
            raise invalid(field, f"must have at most {_MOST_BOUND_CHARACTERS} characters")
    if not request.range_from and not request.range_to:
        raise invalid("range_from", "or range_to must be given for a backfill")
    backfill(request.range_from, request.range_to, None if cursor is None else cursor.value.kind)


def sync_response(run: Run, system: str, mapping: str, configuration: PullConfiguration) -> sync_pb2.RunSyncResponse:
    """The answer: the run, as far as it has come."""
    return sync_pb2.RunSyncResponse(
        system=system,
        mapping=mapping,
        sync_result=sync_pb2.SyncResult(
            synced=max(0, run.read - run.failed - run.skipped - run.pending), errors=run.failed, total=run.read
        ),
        run_id=run.run_id,
        state=run.state.value if run.state.has_ended else RunState.RUNNING.value,
        run=run_message(run, configuration),
    )


def run_message(run: Run, configuration: PullConfiguration) -> sync_pb2.SyncRun:
    """A run, with the names that its system and mapping have now."""
    system, mapping = configuration.by_id.get(run.system_id), configuration.mappings.get(run.mapping_id)
    message = sync_pb2.SyncRun(
        run_id=run.run_id,
        system_id=run.system_id,
        system="" if system is None else system.name,
        mapping_id=run.mapping_id,
        mapping="" if mapping is None else mapping.name,
        trigger=run.trigger.value,
        requested_by=run.requested_by,
        mode=run.mode.value,
        state=run.state.value,
        missed_ticks=run.missed_ticks,
        pages=run.pages,
        read=run.read,
        new=run.new,
        changed=run.changed,
        unchanged=run.unchanged,
        outdated=run.outdated,
        skipped=run.skipped,
        failed=run.failed,
        pending=run.pending,
        error_reason=run.error_reason,
        error_message=run.error_message,
        range_from=run.range_from,
        range_to=run.range_to,
    )
    _fill(message.tick_at, run.tick_at)
    _fill(message.created_at, run.created_at)
    _fill(message.started_at, run.started_at)
    _fill(message.finished_at, run.finished_at)
    return message


def failure_message(failure: RunFailure) -> sync_pb2.RunFailure:
    """A record that failed."""
    return sync_pb2.RunFailure(
        id=failure.id,
        external_id=failure.external_id,
        position=failure.position,
        reason=failure.fault.reason,
        field=failure.fault.field,
        message=failure.fault.message,
    )


def cursor_message(mapping: PullMapping, cursor: StoredCursor | None) -> sync_pb2.SyncCursor:
    """How far a mapping has been synced; without a value when nothing is kept."""
    if cursor is None:
        synchronisation = mapping.synchronisation
        field = "" if synchronisation is None else synchronisation.cursor_field or ""
        return sync_pb2.SyncCursor(system=mapping.system, mapping=mapping.name, cursor_field=field)
    message = sync_pb2.SyncCursor(
        system=mapping.system,
        mapping=mapping.name,
        cursor_field=cursor.cursor_field,
        value=cursor.value.text,
        type=cursor.value.kind,
        run_id=cursor.run_id,
    )
    _fill(message.updated_at, cursor.updated_at)
    return message


def run_id(request: sync_pb2.GetRunRequest | sync_pb2.CancelRunRequest | sync_pb2.ResumeRunRequest) -> str:
    """The run that is asked for. Raises RunNotFound for what cannot be the id of one."""
    return checked_run_id(request.run_id)


def checked_run_id(text: str) -> str:
    """The id. Raises RunNotFound for what cannot be one."""
    if not text or not is_id(text):
        raise errors.RunNotFound(metadata={"run_id": text[:64]})
    return text


def state(request: sync_pb2.ListRunsRequest) -> RunState | None:
    """The state to list; None for all. Raises InvalidArgument."""
    if not request.state:
        return None
    if request.state not in tuple(RunState):
        raise invalid("state", f"must be one of {', '.join(RunState)}")
    return RunState(request.state)


def run_position(request: sync_pb2.ListRunsRequest) -> str | None:
    """The id behind which a page of runs begins. Raises InvalidArgument."""
    match decode_token(request.page_token, request):
        case None:
            return None
        case [str(last)]:
            return last
    raise _foreign_token()


def failure_position(request: sync_pb2.ListRunFailuresRequest) -> int:
    """The number behind which a page of failures begins. Raises InvalidArgument."""
    match decode_token(request.page_token, request):
        case None:
            return 0
        case [int(last)]:
            return last
    raise _foreign_token()


def _foreign_token() -> InvalidArgument:
    return InvalidArgument("page_token does not belong to this request", reason="INVALID_PAGE_TOKEN")


def _fill(message: Timestamp, moment: datetime | None) -> None:
    if moment is not None:
        fill_time(message, moment)
