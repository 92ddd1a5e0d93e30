"""The audit's entry of a run that has ended, as the message that the outbox holds."""

from datetime import UTC, datetime

import orjson

from intertie.audit.v1 import audit_pb2
from intertie_chassis.clock import utc_now
from intertie_chassis.ids import new_ulid
from intertie_ingest.pull.configuration import PullConfiguration
from intertie_ingest.syncs.model import Run, RunState, Trigger

_MOST_MILLISECONDS = 2**32 - 1


def entry_of_run(run: Run, configuration: PullConfiguration) -> bytes:
    """The entry of a run that ends now as it is given; one that was cancelled is none that failed."""
    system, mapping = configuration.by_id.get(run.system_id), configuration.mappings.get(run.mapping_id)
    now, request = utc_now(), audit_pb2.AppendEntriesRequest()
    ended = run.finished_at or now
    asked: dict[str, object] = {"run_id": run.run_id, "mode": run.mode.value, "trigger": run.trigger.value}
    if run.range_from or run.range_to:
        asked["range"] = [run.range_from, run.range_to]
    if run.missed_ticks:
        asked["missed_ticks"] = run.missed_ticks
    entry = request.entries.add(
        entry_id=new_ulid(),
        system_id=run.system_id,
        system="" if system is None else system.name,
        query_type="sync",
        query_string=f"mapping {run.mapping_id}" if mapping is None else mapping.name,
        request_payload=orjson.dumps(asked),
        response_payload=orjson.dumps(_counts(run)),
        execution_time_ms=_milliseconds(run.started_at or ended, ended),
        status="error" if run.state is RunState.FAILED else "success",
        error_message=run.error_message,
        actor=run.requested_by or ("schedule" if run.trigger is Trigger.SCHEDULE else ""),
    )
    entry.created_at.FromDatetime(now.replace(tzinfo=UTC))
    return request.SerializeToString()


def _counts(run: Run) -> dict[str, object]:
    counts: dict[str, object] = {
        "state": run.state.value,
        "pages": run.pages,
        "read": run.read,
        "new": run.new,
        "changed": run.changed,
        "unchanged": run.unchanged,
        "outdated": run.outdated,
        "skipped": run.skipped,
        "failed": run.failed,
        "pending": run.pending,
    }
    if run.error_reason:
        counts["reason"] = run.error_reason
    return counts


def _milliseconds(start: datetime, end: datetime) -> int:
    # The start is by the database's clock: another one's second must not make it negative.
    return min(max(0, int((end - start).total_seconds() * 1000)), _MOST_MILLISECONDS)
