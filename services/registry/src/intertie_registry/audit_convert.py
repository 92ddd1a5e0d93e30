"""Audit entries as audit takes them."""

import json
from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp

from intertie.audit.v1 import audit_pb2
from intertie_chassis.denials import Denial
from intertie_registry.audit_entries import AuditEntry


def batch(entries: Iterable[AuditEntry]) -> bytes:
    """A serialised AppendEntriesRequest: what one row of the outbox holds."""
    request = audit_pb2.AppendEntriesRequest(entries=[_entry(entry) for entry in entries])
    return request.SerializeToString(deterministic=True)


def denials_batch(denials: Iterable[Denial]) -> bytes:
    """The same, of an entry for each place that calls were refused at."""
    request = audit_pb2.AppendEntriesRequest()
    for denial in denials:
        request.entries.add(**denial.fields).created_at.FromDatetime(denial.first_at)
    return request.SerializeToString(deterministic=True)


def request(payload: bytes) -> audit_pb2.AppendEntriesRequest:
    """The request in a row of the outbox."""
    return audit_pb2.AppendEntriesRequest.FromString(payload)


def _entry(entry: AuditEntry) -> audit_pb2.Entry:
    created_at = Timestamp()
    created_at.FromDatetime(entry.created_at)
    document: dict[str, object] = {"name": entry.title}
    if entry.query_type == "configuration":
        document["changed"] = list(entry.changed)
    return audit_pb2.Entry(
        entry_id=entry.entry_id,
        system_id=entry.system_id,
        system=entry.system,
        query_type=entry.query_type,
        query_string=entry.query_string,
        request_payload=json.dumps(document, ensure_ascii=False).encode(),
        # The change itself stands; what it brought about is wrong.
        status="error" if entry.warning else "success",
        error_message=entry.warning,
        module_name=entry.module_name,
        actor=entry.actor.subject,
        request_id=entry.actor.request_id,
        created_at=created_at,
    )
