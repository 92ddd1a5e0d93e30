"""Audit entries of what ingest does, as the message that its outbox holds: `intertie.audit.v1.AppendEntriesRequest`.

An entry names its delivery and the digest; the payload stays with the delivery.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import orjson

from intertie.audit.v1 import audit_pb2
from intertie_chassis.clock import utc_now
from intertie_chassis.denials import Denial
from intertie_chassis.ids import new_ulid
from intertie_ingest.errors import DeliveryKeyReused
from intertie_ingest.folding import Fold
from intertie_ingest.greetings import Greeted
from intertie_ingest.lease_model import Leased
from intertie_ingest.model import Accepted, RecordReason, Route
from intertie_ingest.selection import ranges
from intertie_ingest.shown_model import Rejection

_MOST_IDS = 20
_MOST_RANGES = 1000
"""Ranges of record numbers in one entry: at most 40 kB."""


def entries_of_group(folded: Fold) -> bytes | None:
    """An entry for each delivery that was accepted; None when there is none."""
    request = audit_pb2.AppendEntriesRequest()
    accepted = [outcome for outcome in folded.outcomes if not isinstance(outcome, DeliveryKeyReused)]
    if not accepted:
        return None
    now = _nanoseconds(utc_now())
    for outcome in accepted:
        entry_id = _add_accepted(request, outcome, now)
        if outcome.delivery.traceparent:
            request.traced.add(entry_id=entry_id, traceparent=outcome.delivery.traceparent)
    return request.SerializeToString()


def entries_of_drained(folded: Fold, lost: Mapping[str, str]) -> bytes | None:
    """The entries of a group that the spool kept, and one more for each delivery that had to give up its key, by id."""
    request = audit_pb2.AppendEntriesRequest.FromString(entries_of_group(folded) or b"")
    for outcome in folded.outcomes:
        if not isinstance(outcome, Accepted) or outcome.delivery.delivery_id not in lost:
            continue
        delivery = outcome.delivery
        entry = request.entries.add(
            entry_id=new_ulid(),
            system_id=delivery.system_id,
            system=delivery.system,
            query_type=delivery.route.value,
            query_string=_path(delivery.route, delivery.system),
            request_payload=orjson.dumps(
                {"delivery_key": lost[delivery.delivery_id], "digest": delivery.digest.hex(), "spooled": True}
            ),
            response_payload=orjson.dumps({"reason": DeliveryKeyReused.reason}),
            status="error",
            error_message="its delivery key was used before with other bytes, which nobody could know when it was "
            "accepted; it is stored without the key",
            module_name=delivery.module,
            actor=delivery.actor,
            delivery_id=outcome.delivery_id,
            request_id=delivery.request_id,
        )
        entry.created_at.FromNanoseconds(_nanoseconds(utc_now()))
    return request.SerializeToString() if request.entries else None


def entries_of_rejections(rejections: Sequence[Rejection]) -> bytes:
    """An entry for each of these, with the number of refusals that it adds to those that were told before."""
    request = audit_pb2.AppendEntriesRequest()
    for rejection in rejections:
        payload = {
            "count": rejection.count,
            "minute": f"{rejection.minute:%Y-%m-%dT%H:%MZ}",
            "source": rejection.source,
            "last_digest": rejection.digest.hex(),
        }
        entry = request.entries.add(
            entry_id=new_ulid(),
            system=rejection.system,
            query_type=rejection.route.value,
            query_string=_path(rejection.route, rejection.system),
            request_payload=orjson.dumps(payload),
            response_payload=orjson.dumps({"reason": rejection.reason}),
            status="error",
            error_message=rejection.message,
            actor=f"source:{rejection.source}" if rejection.source else "",
        )
        entry.created_at.FromNanoseconds(_nanoseconds(utc_now()))
    return request.SerializeToString()


def entries_of_greetings(greeted: Sequence[Greeted]) -> bytes:
    """An entry for the handshakes of each system, minute and source."""
    request = audit_pb2.AppendEntriesRequest()
    for one in greeted:
        payload = {
            "handshakes": one.count,
            "minute": f"{one.minute:%Y-%m-%dT%H:%MZ}",
            "source": one.source,
            "verified_by": one.verified_by,
        }
        entry = request.entries.add(
            entry_id=new_ulid(),
            system_id=one.system_id,
            system=one.system,
            query_type=Route.WEBHOOK.value,
            query_string=_path(Route.WEBHOOK, one.system),
            request_payload=orjson.dumps(payload),
            response_payload=orjson.dumps({"handshake": True}),
            response_status=one.status,
            status="success",
            actor=f"system:{one.system}"[:255],
        )
        entry.created_at.FromNanoseconds(_nanoseconds(utc_now()))
    return request.SerializeToString()


def entries_of_replay(
    ids: Sequence[int], selector: dict[str, object], actor: str, request_id: str, system_id: int = 0
) -> bytes:
    """The entry of a replay, with the numbers of all its records; several when one would be large.

    `system_id` is that of the system that the selector names; 0 when it names none.

    Each has the selector and, in `replayed`, how many records the replay had in all.
    """
    request = audit_pb2.AppendEntriesRequest()
    numbers, now = ranges(ids), _nanoseconds(utc_now())
    starts = range(0, max(1, len(numbers)), _MOST_RANGES)
    for part, start in enumerate(starts, 1):
        answer: dict[str, object] = {"replayed": len(ids), "ids": numbers[start : start + _MOST_RANGES]}
        if len(starts) > 1:
            answer |= {"part": part, "parts": len(starts)}
        entry = request.entries.add(
            entry_id=new_ulid(),
            system_id=system_id,
            system=str(selector.get("system") or ""),
            query_type="replay",
            query_string="replay records",
            request_payload=orjson.dumps(selector),
            response_payload=orjson.dumps(answer),
            status="success",
            actor=actor,
            request_id=request_id,
        )
        entry.created_at.FromNanoseconds(now)
    return request.SerializeToString()


def entry_of_crash(record: Leased, system: str, mapping: str) -> bytes:
    """The entry of a record that is set aside because its mappers died; in mapper's words, which could not say it."""
    request = audit_pb2.AppendEntriesRequest()
    reason = RecordReason.CRASHED
    entry = request.entries.add(
        entry_id=new_ulid(),
        system_id=record.system_id,
        system=system,
        query_type="mapping",
        query_string=mapping or f"mapping {record.mapping_id}",
        request_payload=orjson.dumps(
            {
                "external_id": record.external_id,
                "revision": record.revision,
                "delivery_id": record.delivery_id,
                "digest": record.digest.hex(),
            }
        ),
        response_payload=orjson.dumps({"action": "refused", "reason": reason.value, "attempts": record.attempts - 1}),
        status="error",
        error_message=reason.sentence,
        actor="service:ingest",
        delivery_id=record.delivery_id,
    )
    entry.created_at.FromNanoseconds(_nanoseconds(utc_now()))
    if record.traceparent:
        request.traced.add(entry_id=entry.entry_id, traceparent=record.traceparent)
    return request.SerializeToString()


def entries_of_denials(denials: Sequence[Denial]) -> bytes:
    """An entry for each place that calls were refused at."""
    request = audit_pb2.AppendEntriesRequest()
    for denial in denials:
        request.entries.add(**denial.fields).created_at.FromDatetime(denial.first_at)
    return request.SerializeToString()


def _add_accepted(request: audit_pb2.AppendEntriesRequest, outcome: Accepted, now: int) -> str:
    """Adds the entry; gives its id."""
    delivery = outcome.delivery
    payload: dict[str, object] = {
        "delivery_id": outcome.delivery_id,
        "digest": delivery.digest.hex(),
        "size": len(delivery.body),
        "external_ids": outcome.external_ids[:_MOST_IDS],
        "verified_by": delivery.verified_by,
    }
    if delivery.is_array:
        payload["record_count"] = len(outcome.external_ids)
    response: dict[str, object] = {"duplicate": outcome.is_duplicate}
    if outcome.state is not None:
        response["state"] = outcome.state.value
    entry = request.entries.add(
        # Of a delivery that is new there is one such entry, so its id may serve; a repetition needs one of its own.
        entry_id=new_ulid() if outcome.is_duplicate else outcome.delivery_id,
        system_id=delivery.system_id,
        system=delivery.system,
        query_type=delivery.route.value,
        query_string=_path(delivery.route, delivery.system),
        request_payload=orjson.dumps(payload),
        response_payload=orjson.dumps(response),
        response_status=202 if delivery.response is None else delivery.response.status,
        status="success",
        module_name=delivery.module,
        actor=delivery.actor,
        delivery_id=outcome.delivery_id,
        request_id=delivery.request_id,
    )
    entry.created_at.FromNanoseconds(now)
    return entry.entry_id


def _path(route: Route, system: str) -> str:
    return "/push" if route is Route.PUSH else f"/webhook/{system}"


def _nanoseconds(moment: datetime) -> int:
    return int(moment.replace(tzinfo=UTC).timestamp() * 1_000_000) * 1000
