"""Between the contract's messages and the model; here requests are checked."""

from collections.abc import Iterable
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from intertie.ingest.v1 import ingest_pb2, queue_pb2
from intertie_chassis.clock import utc_now
from intertie_chassis.errors import IntertieError, InvalidArgument, to_status
from intertie_chassis.paging import decode_token, encode_token
from intertie_ingest.configuration import Configuration
from intertie_ingest.delivery import checked_key
from intertie_ingest.model import (
    Accepted,
    Ending,
    Lease,
    Outcome,
    RawDelivery,
    RecordState,
    Rejection,
    Route,
    Settlement,
    Status,
    StoredDelivery,
    StoredRecord,
)

_MOST_LEASED = 1000
_MOST_SECONDS = 600
_MOST_RETRY_SECONDS = 7 * 86_400
_MOST_WAIT = 30_000
_MOST_ROW = 2**63
_MOST_SECOND = 2**33
_ID_LENGTH = 26

_ROUTES = {ingest_pb2.ROUTE_WEBHOOK: Route.WEBHOOK, ingest_pb2.ROUTE_PUSH: Route.PUSH}
_ROUTE_NUMBERS = {route: number for number, route in _ROUTES.items()}
_STATES = {
    Ending.PENDING: ingest_pb2.DELIVERY_STATE_PENDING,
    Ending.SYNCED: ingest_pb2.DELIVERY_STATE_SYNCED,
    Ending.SET_ASIDE: ingest_pb2.DELIVERY_STATE_SET_ASIDE,
    Ending.SUPERSEDED: ingest_pb2.DELIVERY_STATE_SUPERSEDED,
    Ending.UNROUTED: ingest_pb2.DELIVERY_STATE_UNROUTED,
}
_STATE_NAMES: dict[int, Ending] = {number: state for state, number in _STATES.items()}
_OUTCOMES = {
    queue_pb2.Settlement.OUTCOME_SYNCED: Outcome.SYNCED,
    queue_pb2.Settlement.OUTCOME_RETRY: Outcome.RETRY,
    queue_pb2.Settlement.OUTCOME_SET_ASIDE: Outcome.SET_ASIDE,
    queue_pb2.Settlement.OUTCOME_SUPERSEDED: Outcome.SUPERSEDED,
}


def raw_deliveries(request: ingest_pb2.AcceptDeliveriesRequest) -> list[RawDelivery]:
    """The deliveries of a request. Raises InvalidArgument when one does not say its route."""
    return [_raw_delivery(delivery) for delivery in request.deliveries]


def _raw_delivery(delivery: ingest_pb2.RawDelivery) -> RawDelivery:
    route = _ROUTES.get(delivery.route)
    if route is None:
        raise invalid("deliveries.route", "must be ROUTE_WEBHOOK or ROUTE_PUSH")
    headers: dict[str, list[bytes]] = {}
    for header in delivery.headers:
        name = header.name
        if name in headers:
            headers[name].append(header.value)
        else:
            headers[name] = [header.value]
    received_at = moment(delivery.received_at) if delivery.HasField("received_at") else utc_now()
    return RawDelivery(route, delivery.system, delivery.body, headers, delivery.peer, received_at, delivery.request_id)


def pushed_delivery(request: ingest_pb2.PushRequest, peer: str, request_id: str) -> RawDelivery:
    """A push over gRPC as a delivery."""
    headers = {"content-type": [b"application/json"]}
    return RawDelivery(Route.PUSH, "", request.data, headers, peer, utc_now(), request_id)


def idempotency_key(request: ingest_pb2.PushRequest) -> str | None:
    """The key of a push. Raises InvalidArgument."""
    return checked_key(request.idempotency_key, "idempotency_key")


def accept_response(
    results: Iterable[Accepted | IntertieError],
) -> ingest_pb2.AcceptDeliveriesResponse:
    """The answer, a result a delivery."""
    response = ingest_pb2.AcceptDeliveriesResponse()
    for result in results:
        if isinstance(result, IntertieError):
            response.results.add().error.CopyFrom(to_status(result))
        else:
            _fill_acceptance(response.results.add().acceptance, result)
    return response


def push_response(accepted: Accepted) -> ingest_pb2.PushResponse:
    """The answer of a push."""
    response = ingest_pb2.PushResponse()
    _fill_acceptance(response.acceptance, accepted)
    return response


def _fill_acceptance(message: ingest_pb2.Acceptance, accepted: Accepted) -> None:
    message.delivery_id = accepted.delivery_id
    message.duplicate = accepted.is_duplicate
    message.system = accepted.delivery.system
    message.mapping = accepted.delivery.mapping
    message.external_ids.extend(accepted.external_ids)
    message.is_array = accepted.is_array
    message.record_count = len(accepted.external_ids)


def most_records(request: queue_pb2.LeaseRecordsRequest) -> int:
    """How many records to lease. Raises InvalidArgument."""
    return _number(request.max_records, "max_records", 200, _MOST_LEASED)


def lease_seconds(request: queue_pb2.LeaseRecordsRequest | queue_pb2.ExtendLeasesRequest) -> int:
    """How long a lease lasts. Raises InvalidArgument."""
    return _number(request.lease_seconds, "lease_seconds", 60, _MOST_SECONDS)


def wait_seconds(request: queue_pb2.LeaseRecordsRequest) -> float:
    """How long to wait for records. Raises InvalidArgument."""
    return _number(request.wait_milliseconds, "wait_milliseconds", 0, _MOST_WAIT) / 1000


def lease_token(request: queue_pb2.SettleRecordsRequest) -> str:
    """The lease that is settled. Raises InvalidArgument."""
    if not request.lease_token or not is_id(request.lease_token):
        raise invalid("lease_token", "must be the token of a lease")
    return request.lease_token


def lease_tokens(request: queue_pb2.ExtendLeasesRequest) -> list[str]:
    """The leases to extend. Raises InvalidArgument."""
    if not request.lease_tokens or len(request.lease_tokens) > _MOST_LEASED:
        raise invalid("lease_tokens", "must name 1 to 1000 leases")
    if not all(map(is_id, request.lease_tokens)):
        raise invalid("lease_tokens", "must be tokens of leases")
    return list(request.lease_tokens)


def lease_response(lease: Lease | None) -> queue_pb2.LeaseRecordsResponse:
    """The answer of a lease."""
    response = queue_pb2.LeaseRecordsResponse()
    if lease is None:
        return response
    response.lease_token = lease.token
    _fill_time(response.expires_at, lease.expires_at)
    for record in lease.records:
        response.records.add(
            id=record.id,
            system_id=record.system_id,
            mapping_id=record.mapping_id,
            external_id=record.external_id,
            revision=record.revision,
            data=record.data,
            version_key=record.version_key,
            delivery_id=record.delivery_id,
            digest=record.digest,
            attempts=record.attempts,
        )
    return response


def settlements(request: queue_pb2.SettleRecordsRequest) -> list[Settlement]:
    """What became of the records. Raises InvalidArgument."""
    if not request.settlements or len(request.settlements) > _MOST_LEASED:
        raise invalid("settlements", "must hold 1 to 1000 of them")
    return [_settlement(settlement) for settlement in request.settlements]


def _settlement(settlement: queue_pb2.Settlement) -> Settlement:
    outcome = _OUTCOMES.get(settlement.outcome)
    if outcome is None:
        raise invalid("settlements.outcome", "must be one of the outcomes")
    return Settlement(
        settlement.id,
        settlement.revision,
        outcome,
        settlement.local_key.decode() or None,
        settlement.local_id or None,
        _number(settlement.retry_seconds, "settlements.retry_seconds", 0, _MOST_RETRY_SECONDS),
        settlement.reason,
        settlement.field,
        settlement.message,
    )


def delivery(stored: StoredDelivery, configuration: Configuration, *, with_body: bool) -> ingest_pb2.Delivery:
    """A delivery as it is shown."""
    system = configuration.by_id.get(stored.system_id)
    message = ingest_pb2.Delivery(
        delivery_id=stored.delivery_id,
        system_id=stored.system_id,
        system=system.name if system else "",
        route=_ROUTE_NUMBERS[stored.route],
        delivery_key=stored.delivery_key or "",
        digest=stored.digest.hex(),
        size=stored.size,
        content_type=stored.content_type,
        source=stored.source,
        state=_STATES[stored.state],
        records=[_delivery_record(record, configuration) for record in stored.records],
        body=(stored.body or b"") if with_body else b"",
    )
    _fill_time(message.received_at, stored.received_at)
    return message


def _delivery_record(record: RecordState, configuration: Configuration) -> ingest_pb2.DeliveryRecord:
    place, fault = record.reference, record.fault
    mapping = configuration.mappings.get(place.mapping_id)
    return ingest_pb2.DeliveryRecord(
        mapping_id=place.mapping_id,
        mapping=mapping.name if mapping else "",
        external_id=place.external_id,
        revision=place.revision,
        state=_STATES[record.ending],
        reason=fault.reason if fault else "",
        field=fault.field if fault else "",
        message=fault.message if fault else "",
        superseded_by=record.superseded_by or "",
    )


def record(stored: StoredRecord, configuration: Configuration) -> ingest_pb2.Record:
    """A cached record as it is shown."""
    system, mapping = configuration.by_id.get(stored.system_id), configuration.mappings.get(stored.mapping_id)
    message = ingest_pb2.Record(
        id=stored.id,
        system_id=stored.system_id,
        system=system.name if system else "",
        mapping_id=stored.mapping_id,
        mapping=mapping.name if mapping else "",
        external_id=stored.external_id,
        local_id=stored.local_id or 0,
        local_key=(stored.local_key or "").encode(),
        data_json=stored.data_json.encode(),
        sync_status=stored.sync_status.value,
        sync_error=stored.sync_error or "",
        error_reason=stored.error_reason or "",
        error_field=stored.error_field or "",
        revision=stored.revision,
        attempts=stored.attempts,
        delivery_id=stored.delivery_id or "",
    )
    for field in ("available_at", "last_synced_at", "expires_at", "created_at", "updated_at"):
        value = getattr(stored, field)
        if value is not None:
            _fill_time(getattr(message, field), value)
    return message


def rejection(stored: Rejection) -> ingest_pb2.Rejection:
    """A row of refusals as it is shown."""
    message = ingest_pb2.Rejection(
        id=stored.id,
        system=stored.system,
        route=_ROUTE_NUMBERS[stored.route],
        reason=stored.reason,
        source=stored.source,
        count=stored.count,
        message=stored.message,
        digest=stored.digest.hex(),
    )
    _fill_time(message.minute, stored.minute)
    return message


def delivery_position(request: ingest_pb2.ListDeliveriesRequest) -> str | None:
    """The delivery after which a page begins. Raises InvalidArgument."""
    match decode_token(request.page_token, request):
        case None:
            return None
        case [str(delivery_id)] if is_id(delivery_id):
            return delivery_id
    raise _foreign_token()


def rejection_position(request: ingest_pb2.ListRejectionsRequest) -> int | None:
    """The row after which a page begins. Raises InvalidArgument."""
    match decode_token(request.page_token, request):
        case None:
            return None
        case [int(number)] if 0 <= number < _MOST_ROW:
            return number
    raise _foreign_token()


def record_position(
    request: ingest_pb2.ListRecordsRequest | ingest_pb2.ReadCacheRequest,
) -> tuple[datetime, int] | None:
    """The change after which a page begins. Raises InvalidArgument."""
    match decode_token(request.page_token, request):
        case None:
            return None
        case [int(second), int(number)] if 0 <= number < _MOST_ROW and 0 <= second < _MOST_SECOND:
            return datetime.fromtimestamp(second, UTC).replace(tzinfo=None), number
    raise _foreign_token()


def record_token(last: StoredRecord, request: ingest_pb2.ListRecordsRequest | ingest_pb2.ReadCacheRequest) -> str:
    """The token of the page after this record."""
    changed_at = 0 if last.updated_at is None else int(last.updated_at.replace(tzinfo=UTC).timestamp())
    return encode_token([changed_at, last.id], request)


def is_id(text: str) -> bool:
    """Whether the text may be an id of ours, which columns of ASCII hold."""
    return text.isascii() and len(text) <= _ID_LENGTH


def _foreign_token() -> InvalidArgument:
    return InvalidArgument(
        "page_token does not belong to this request; start again without one",
        reason="INVALID_PAGE_TOKEN",
        violations=[("page_token", "must come from an answer to the same request")],
    )


def delivery_state(number: int) -> Ending | None:
    """The state to look for; None: any. Raises InvalidArgument."""
    if number == ingest_pb2.DELIVERY_STATE_UNSPECIFIED:
        return None
    state: Ending | None = _STATE_NAMES.get(number)
    if state is None:
        raise invalid("state", "must be one of the states")
    return state


def sync_status(text: str) -> Status | None:
    """The status to look for; None: any. Raises InvalidArgument."""
    if not text:
        return None
    if text not in set(Status):
        raise invalid("sync_status", f"must be one of {', '.join(Status)}")
    return Status(text)


def moment(timestamp: Timestamp) -> datetime:
    """A time of the model. Raises InvalidArgument for one that no calendar has."""
    # The message may hold any number; only those of the years 1 to 9999 are times.
    if not -62_135_596_800 <= timestamp.seconds <= 253_402_300_799 or not 0 <= timestamp.nanos < 1_000_000_000:
        raise invalid("received_at", "is not a time")
    return timestamp.ToDatetime(tzinfo=UTC).replace(tzinfo=None)


def invalid(field: str, what: str) -> InvalidArgument:
    """The refusal of one field."""
    return InvalidArgument(f"{field} {what}", violations=[(field, what)])


def _number(value: int, field: str, default: int, most: int) -> int:
    if value < 0:
        raise invalid(field, "must not be negative")
    return min(value, most) if value else default


def _fill_time(message: Timestamp, value: datetime) -> None:
    message.FromDatetime(value.replace(tzinfo=UTC))
