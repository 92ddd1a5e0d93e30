"""The audit entry of a call, as the message that the outbox holds: `intertie.audit.v1.AppendEntriesRequest`.

It tells what was asked, and of the answer how much it was: results stay with whoever asked for them.
"""

import hashlib
from datetime import UTC
from typing import Any

import orjson

from intertie.audit.v1 import audit_pb2
from intertie_chassis.clock import utc_now
from intertie_chassis.errors import IntertieError
from intertie_chassis.ids import new_ulid
from intertie_ingest.pull.note import Note

_MOST_QUERY_BYTES = 32 * 1024
_MOST_SENT_BYTES = 16 * 1024
_MOST_DEPTH = 20
_MOST_NAME = 100
_MOST_MILLISECONDS = 2**32 - 1

_HTTP_STATUSES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""As the gateway answers them; see docs/errors.md."""


def entry_of_note(note: Note, error: IntertieError | None, milliseconds: int) -> bytes:
    """The entry of a call that has ended, well or with an error."""
    request, answered = audit_pb2.AppendEntriesRequest(), dict(note.answered)
    if error is not None:
        answered["reason"] = error.reason
        if "upstream_status" in error.metadata:
            answered["upstream_status"] = int(error.metadata["upstream_status"])
    entry = request.entries.add(
        entry_id=new_ulid(),
        system_id=note.system_id,
        system=note.system[:_MOST_NAME],
        query_type=note.query_type,
        query_string=_cut(note.query_string, _MOST_QUERY_BYTES),
        request_payload=orjson.dumps({**_sent(note), **note.asked}),
        response_payload=orjson.dumps(answered),
        response_status=_status(error),
        execution_time_ms=min(milliseconds, _MOST_MILLISECONDS),
        status=_outcome(error),
        error_message="" if error is None else error.message,
        module_name=note.module[:_MOST_NAME],
        actor=note.actor,
        request_id=note.request_id,
    )
    entry.created_at.FromDatetime(utc_now().replace(tzinfo=UTC))
    return request.SerializeToString()


def _sent(note: Note) -> dict[str, Any]:
    """What was sent along; of much only its size and digest, of what is no JSON the text."""
    name, content = note.sent
    if not content:
        return {}
    if len(content) > _MOST_SENT_BYTES:
        return {f"{name}_bytes": len(content), f"{name}_sha256": hashlib.sha256(content).hexdigest()}
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        value = None
    if value is None or not _is_shallow(value, _MOST_DEPTH):
        return {f"{name}_text": content.decode(errors="replace")}
    return {name: orjson.Fragment(content)}  # as it was written: no digit of a number is lost


def _is_shallow(value: Any, depth: int) -> bool:
    """Whether it is nested at most so deep: MariaDB refuses JSON that is nested 32 deep."""
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return depth > 0 and all(_is_shallow(one, depth - 1) for one in inner)


def _status(error: IntertieError | None) -> int:
    if error is None:
        return 200
    return 499 if error.reason == "CANCELLED" else _HTTP_STATUSES.get(error.code.name, 500)


def _outcome(error: IntertieError | None) -> str:
    if error is None:
        return "success"
    return "timeout" if error.code.name == "DEADLINE_EXCEEDED" else "error"


def _cut(text: str, most_bytes: int) -> str:
    raw = text.encode()
    return text if len(raw) <= most_bytes else raw[: most_bytes - 3].decode(errors="ignore") + "…"
