"""Answers of the contracts as values of ours. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from intertie.ingest.v1 import ingest_pb2, query_pb2, sync_pb2
from intertie.mapper.v1 import mapper_pb2
from intertie.registry.v1 import registry_pb2
from intertie_client import documents
from intertie_client.models import (
    Access,
    ApiAnswer,
    CachedRecord,
    Checkpoint,
    ModuleSystem,
    Pushed,
    QueryResult,
    Row,
    SyncRun,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(message: Message, field: str) -> datetime | None:
    """The time in a field, in UTC; None when it is not set."""
    if not message.HasField(field):
        return None
    value: Timestamp = getattr(message, field)
    return _EPOCH + timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)


def pushed(response: ingest_pb2.PushResponse, place: int = 0) -> Pushed:
    """The record at a place among those that were pushed together."""
    stored = response.acceptance
    return Pushed(stored.system, stored.mapping, stored.external_ids[place], stored.delivery_id, stored.duplicate)


def cached_record(record: ingest_pb2.Record) -> CachedRecord:
    """A record of the cache."""
    return CachedRecord(
        id=record.id,
        system=record.system,
        mapping=record.mapping,
        external_id=record.external_id,
        data=documents.read(record.data_json),
        local_id=record.local_id or None,
        local_key=documents.read(record.local_key),
        revision=record.revision,
        delivery_id=record.delivery_id,
        last_synced_at=moment(record, "last_synced_at"),
        expires_at=moment(record, "expires_at"),
        raw=record.data_json,
    )


def query_result(response: query_pb2.QueryDatabaseResponse) -> QueryResult:
    """The answer of an external database."""
    found = rows(response.results)
    columns = tuple(found[0]) if found else ()
    return QueryResult(tuple(found), columns, response.count, response.truncated, response.results)


def rows(results: bytes) -> list[Row]:
    """The rows in a JSON array."""
    return documents.read(results) or []


def api_answer(response: query_pb2.QueryApiResponse) -> ApiAnswer:
    """The answer of an external API."""
    return ApiAnswer(documents.read(response.data), response.status, response.data)


def sync_run(run: sync_pb2.SyncRun) -> SyncRun:
    """A run."""
    same = ("run_id", "system", "mapping", "mode", "state", "error_reason", "error_message")
    counts = ("read", "new", "changed", "unchanged", "outdated", "skipped", "failed", "pending")
    times = ("created_at", "started_at", "finished_at")
    values: dict[str, Any] = {name: getattr(run, name) for name in (*same, *counts)}
    return SyncRun(**values, **dict[str, Any]((name, moment(run, name)) for name in times))


def checkpoint(message: mapper_pb2.Checkpoint) -> Checkpoint:
    """A checkpoint."""
    return Checkpoint(
        id=message.id,
        target_table=message.target_table,
        target_id=message.target_id,
        system=message.system,
        status=message.integration_status,
        attempts=message.sync_attempts,
        sent_data=documents.read(message.sent_data),
        received_data=documents.read(message.received_data),
        error_message=message.error_message,
        last_sync_at=moment(message, "last_sync_at"),
        updated_at=moment(message, "updated_at"),
    )


def module_system(system: registry_pb2.ModuleSystem) -> ModuleSystem:
    """A system that the module may use."""
    return ModuleSystem(
        system.system_name, system.display_name, system.system_type, system.access_type, system.connection_status
    )


def access(response: registry_pb2.CheckAccessResponse) -> Access:
    """Whether the module may."""
    if not response.HasField("grant"):
        return Access(response.allowed)
    grant = response.grant
    permissions = documents.read(grant.query_permissions)
    return Access(response.allowed, grant.access_type, moment(grant, "expires_at"), permissions)
