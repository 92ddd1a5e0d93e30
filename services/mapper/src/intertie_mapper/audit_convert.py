"""Mapper's audit entries: one for each record that was applied, superseded or set aside, serialised as one batch.

An entry's id is made from the lease, the record and its revision, so that writing the same ending again, after a
commit of which nobody knows whether it held, gives the same entry. A record that is only to be tried again has none:
while the target is away there is no place to write it, and its last attempt says how many there were.
"""

import hashlib
from collections.abc import Callable, Sequence

import orjson
from google.protobuf.timestamp_pb2 import Timestamp

from intertie.audit.v1 import audit_pb2
from intertie_chassis.denials import Denial
from intertie_chassis.ids import new_ulid
from intertie_mapper.configuration import Configuration
from intertie_mapper.model import Ending, Outcome

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _CROCKFORD for second in _CROCKFORD]
"""What ten bits are in a ULID."""
_ACTOR = "service:mapper"


def encoder(configuration: Configuration) -> Callable[[str, int], Callable[[Sequence[Ending]], bytes]]:
    """What makes the encoder of a lease, from its token and the milliseconds when work on it began."""

    def of_lease(token: str, milliseconds: int) -> Callable[[Sequence[Ending]], bytes]:
        return lambda endings: _batch(configuration, token, milliseconds, endings)

    return of_lease


def checkpoint_entry(
    system_id: int, system: str, table: str, row_id: int, status: str, actor: str, module: str, when_ms: int
) -> bytes:
    """The batch of one entry for a state that a module recorded."""
    request = audit_pb2.AppendEntriesRequest()
    entry = request.entries.add(
        entry_id=new_ulid(),
        system_id=system_id,
        system=system,
        query_type="checkpoint",
        query_string=f"{table} {row_id}",
        request_payload=orjson.dumps({"target_table": table, "target_id": row_id, "integration_status": status}),
        status="success",
        module_name=module,
        actor=actor,
    )
    entry.created_at.FromMilliseconds(when_ms)
    return request.SerializeToString()


def denial_entries(denials: Sequence[Denial]) -> bytes:
    """The batch of an entry for each place that calls were refused at."""
    request = audit_pb2.AppendEntriesRequest()
    for denial in denials:
        request.entries.add(**denial.fields).created_at.FromDatetime(denial.first_at)
    return request.SerializeToString()


def entry_id(token: str, milliseconds: int, record_id: int, revision: int) -> str:
    """A ULID whose random part is a digest."""
    return _time_part(milliseconds) + _digest_part(token, record_id, revision)


def _time_part(milliseconds: int) -> str:
    return "".join([_PAIRS[milliseconds >> shift & 1023] for shift in (40, 30, 20, 10, 0)])


def _digest_part(token: str, record_id: int, revision: int) -> str:
    digest = hashlib.sha256(f"{token}\0{record_id}\0{revision}".encode()).digest()
    number = int.from_bytes(digest[:10], "big")
    return "".join([_PAIRS[number >> shift & 1023] for shift in (70, 60, 50, 40, 30, 20, 10, 0)])


def _batch(configuration: Configuration, token: str, milliseconds: int, endings: Sequence[Ending]) -> bytes:
    request = audit_pb2.AppendEntriesRequest()
    add, time_part = request.entries.add, _time_part(milliseconds)
    common: dict[tuple[int, int], dict[str, object]] = {}
    for ending in endings:
        record = ending.record
        origin = record.system_id, record.mapping_id
        if origin not in common:
            common[origin] = _common(configuration, *origin, milliseconds)
        refused = ending.outcome is Outcome.SET_ASIDE
        add(
            **common[origin],
            entry_id=time_part + _digest_part(token, record.id, record.revision),
            request_payload=orjson.dumps(
                {
                    "external_id": record.external_id,
                    "revision": record.revision,
                    "delivery_id": record.delivery_id,
                    "digest": record.digest.hex(),
                }
            ),
            response_payload=_response(ending, refused),
            status="error" if refused else "success",
            error_message=ending.message if refused else "",
            delivery_id=record.delivery_id,
        )
        if record.traceparent:
            request.traced.add(entry_id=request.entries[-1].entry_id, traceparent=record.traceparent)
    return request.SerializeToString()


def _common(configuration: Configuration, system_id: int, mapping_id: int, milliseconds: int) -> dict[str, object]:
    """What the entries of a mapping have in common."""
    mapping = configuration.mapping(mapping_id)
    created_at = Timestamp()
    created_at.FromMilliseconds(milliseconds)
    return {
        "system_id": system_id,
        "system": mapping.system if mapping else "",
        "query_type": "mapping",
        "query_string": mapping.name if mapping else f"mapping {mapping_id}",
        "actor": _ACTOR,
        "created_at": created_at,
    }


def _response(ending: Ending, refused: bool) -> bytes:
    response = {"action": ending.action, "target_table": ending.target_table}
    if refused:
        response |= {"reason": ending.reason, "field": ending.field, "attempts": str(ending.record.attempts)}
    return _with_key(orjson.dumps(response), ending.key_json)


def _with_key(response: bytes, key_json: str) -> bytes:
    """The key is JSON already."""
    return response[:-1] + b',"target_key":' + key_json.encode() + b"}" if key_json else response
