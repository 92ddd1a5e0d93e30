"""Between the contracts' messages and mapper's own values; requests are checked here."""

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import orjson
from google.protobuf.timestamp_pb2 import Timestamp

from intertie.ingest.v1 import ingest_pb2, queue_pb2
from intertie.mapper.v1 import mapper_pb2
from intertie.registry.v1 import feed_pb2
from intertie_chassis.errors import InvalidArgument
from intertie_mapper.checkpoint_store import STATES, Checkpoint
from intertie_mapper.columns import TargetTable
from intertie_mapper.configuration import MappingEntry, SystemEntry
from intertie_mapper.model import Action, Ending, Lease, LeasedRecord, Outcome
from intertie_mapper.preview import Preview
from intertie_mapping.documents import parse
from intertie_mapping.errors import DocumentError

_OUTCOMES = {
    Outcome.SYNCED: queue_pb2.Settlement.OUTCOME_SYNCED,
    Outcome.RETRY: queue_pb2.Settlement.OUTCOME_RETRY,
    Outcome.SET_ASIDE: queue_pb2.Settlement.OUTCOME_SET_ASIDE,
    Outcome.SUPERSEDED: queue_pb2.Settlement.OUTCOME_SUPERSEDED,
}
_PREVIEWED = {
    Action.INSERT: mapper_pb2.RecordPreview.ACTION_INSERT,
    Action.UPDATE: mapper_pb2.RecordPreview.ACTION_CHANGE,
    Action.UNCHANGED: mapper_pb2.RecordPreview.ACTION_UNCHANGED,
    Action.APPLIED: mapper_pb2.RecordPreview.ACTION_UNCHANGED,
    Action.SUPERSEDED: mapper_pb2.RecordPreview.ACTION_UNCHANGED,
    Action.REFUSED: mapper_pb2.RecordPreview.ACTION_REFUSED,
    Action.NONE: mapper_pb2.RecordPreview.ACTION_FILTERED,
}
_MOST_PREVIEWED = 200


def lease(answer: queue_pb2.LeaseRecordsResponse) -> Lease | None:
    """The leased records; None when there are none."""
    if not answer.records:
        return None
    return Lease(
        answer.lease_token,
        tuple(
            LeasedRecord(
                record.id,
                record.system_id,
                record.mapping_id,
                record.external_id,
                record.revision,
                record.data,
                record.version_key,
                record.delivery_id,
                record.digest,
                record.attempts,
                record.traceparent,
            )
            for record in answer.records
        ),
        answer.lease_seconds,
    )


def settlements(token: str, endings: Iterable[Ending]) -> queue_pb2.SettleRecordsRequest:
    """What ingest is told."""
    request = queue_pb2.SettleRecordsRequest(lease_token=token)
    for ending in endings:
        request.settlements.add(
            id=ending.record.id,
            revision=ending.record.revision,
            outcome=_OUTCOMES[ending.outcome],
            local_key=ending.key_json.encode(),
            local_id=ending.local_id,
            retry_seconds=ending.retry_seconds,
            reason=ending.reason,
            field=ending.field[:255],
            message=ending.message[:2000],
            untried=ending.is_untried,
        )
    return request


def systems(messages: Iterable[feed_pb2.SystemConfiguration]) -> list[SystemEntry]:
    """Systems with their mappings and who may write."""
    return [
        SystemEntry(
            system.id,
            system.name,
            system.is_active,
            tuple(
                MappingEntry(
                    mapping.id,
                    mapping.name,
                    system.id,
                    system.name,
                    mapping.target_table,
                    mapping.mapping_config,
                    mapping.is_active and system.is_active,
                )
                for mapping in system.mappings
            ),
            {
                grant.module_name: grant.expires_at.ToNanoseconds() / 1e9 if grant.HasField("expires_at") else math.inf
                for grant in system.grants
                if grant.is_active and grant.access_type in ("write", "read_write")
            },
        )
        for system in messages
    ]


def problems(found: Sequence[tuple[str, str]]) -> list[mapper_pb2.MappingProblem]:
    """Problems of a mapping."""
    return [mapper_pb2.MappingProblem(field=path, message=text) for path, text in found]


def preview(found: Preview) -> mapper_pb2.RecordPreview:
    """The preview of one record."""
    message = mapper_pb2.RecordPreview(
        external_id=found.external_id,
        action=_PREVIEWED[found.action],
        target_key=found.key_json.encode(),
        reason=found.reason,
        field=found.field,
        message=found.message,
    )
    for change in found.changes:
        message.columns.add(
            column=change.column, old_value=orjson.dumps(change.old), new_value=orjson.dumps(change.new)
        )
    return message


def schema(table: TargetTable) -> mapper_pb2.TargetSchema:
    """The description of a table."""
    message = mapper_pb2.TargetSchema(
        table=table.name,
        primary_key=table.primary_key,
        checkpoint_table=table.checkpoint.name if table.checkpoint else "",
    )
    for column in table.columns:
        message.columns.add(
            name=column.name,
            type=column.type,
            nullable=column.nullable,
            has_default=column.has_default or column.computed,
            allowed_values=column.words,
        )
    return message


def checkpoint(target_table: str, found: Checkpoint) -> mapper_pb2.Checkpoint:
    """A row of a checkpoint table."""
    return mapper_pb2.Checkpoint(
        id=found.id,
        target_table=target_table,
        target_id=found.row_id,
        system=found.system,
        integration_status=found.status,
        sent_data=found.sent_data,
        received_data=found.received_data,
        last_sync_at=_timestamp(found.last_sync_at),
        sync_attempts=found.sync_attempts,
        error_message=found.error_message,
        created_at=_timestamp(found.created_at),
        updated_at=_timestamp(found.updated_at),
    )


def failed_record(target_table: str, record: ingest_pb2.Record) -> mapper_pb2.Checkpoint:
    """A record that failed before it had a row, in the shape of a checkpoint."""
    return mapper_pb2.Checkpoint(
        target_table=target_table,
        system=record.system,
        integration_status="failed",
        received_data=record.data_json,
        sync_attempts=record.attempts,
        error_message=record.sync_error,
        created_at=record.created_at,
        updated_at=record.updated_at,
        external_id=record.external_id,
    )


def required(**fields: object) -> None:
    """Raise InvalidArgument that names every field that is empty."""
    violations = [(name, "is required") for name, value in fields.items() if not value]
    if violations:
        names = ", ".join(name for name, _ in violations)
        raise InvalidArgument(f"the request lacks {names}", violations=violations)


def state(text: str, *, optional: bool = False) -> str:
    """A checkpoint's state. Raises InvalidArgument for any other word."""
    if text in STATES or (optional and not text):
        return text
    raise InvalidArgument(
        f"integration_status must be one of {', '.join(STATES)}",
        violations=[("integration_status", "is none of these")],
    )


def document(field: str, data: bytes) -> bytes | None:
    """A JSON object as it came; None when absent. Raises InvalidArgument."""
    if not data:
        return None
    try:
        parse(data)
    except DocumentError as error:
        text = error.message.replace("The body", field)
        raise InvalidArgument(text, reason="INVALID_JSON", violations=[(field, text)]) from None
    return data


def preview_size(request: mapper_pb2.PreviewMappingRequest) -> int:
    """How many cached records to take. Raises InvalidArgument when more records came than are previewed at once."""
    if len(request.records) > _MOST_PREVIEWED:
        raise InvalidArgument(
            f"at most {_MOST_PREVIEWED} records are previewed at once",
            violations=[("records", f"holds {len(request.records)}")],
        )
    if request.cached_records < 0:
        raise InvalidArgument(
            "cached_records must not be negative", violations=[("cached_records", "must be 0 (20) to 200")]
        )
    return min(request.cached_records or 20, _MOST_PREVIEWED)


def _timestamp(when: datetime | None) -> Timestamp | None:
    if when is None:
        return None
    message = Timestamp()
    message.FromDatetime(when.replace(tzinfo=UTC))
    return message
