"""What people look at, as messages: deliveries, records, refusals, and the positions that page tokens hold."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from intertie.ingest.v1 import ingest_pb2
from intertie_chassis.errors import InvalidArgument
from intertie_chassis.paging import decode_token, encode_token
from intertie_ingest.configuration import Configuration
from intertie_ingest.field_convert import fill_time, invalid, is_id
from intertie_ingest.model import Ending, Route, Status
from intertie_ingest.shown_model import CachePosition, RecordState, Rejection, StoredDelivery, StoredRecord

_MOST_ROW = 2**63
_ANSWER_BYTES = 1024 * 1024
_MOST_SECOND = 2**33
_ROUTE_NUMBERS = {Route.WEBHOOK: ingest_pb2.ROUTE_WEBHOOK, Route.PUSH: ingest_pb2.ROUTE_PUSH}
_STATES = {
    Ending.PENDING: ingest_pb2.DELIVERY_STATE_PENDING,
    Ending.SYNCED: ingest_pb2.DELIVERY_STATE_SYNCED,
    Ending.SET_ASIDE: ingest_pb2.DELIVERY_STATE_SET_ASIDE,
    Ending.SUPERSEDED: ingest_pb2.DELIVERY_STATE_SUPERSEDED,
    Ending.UNROUTED: ingest_pb2.DELIVERY_STATE_UNROUTED,
}
_STATE_NAMES: dict[int, Ending] = {number: state for state, number in _STATES.items()}


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
        is_body_expired=stored.is_body_expired,
    )
    fill_time(message.received_at, stored.received_at)
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
            fill_time(getattr(message, field), value)
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
    fill_time(message.minute, stored.minute)
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


def record_position(request: ingest_pb2.ListRecordsRequest) -> tuple[datetime, int] | None:
    """The change after which a page begins. Raises InvalidArgument."""
    match decode_token(request.page_token, request):
        case None:
            return None
        case [int(second), int(number)] if 0 <= number < _MOST_ROW and 0 <= second < _MOST_SECOND:
            return datetime.fromtimestamp(second, UTC).replace(tzinfo=None), number
    raise _foreign_token()


def record_token(last: StoredRecord, request: ingest_pb2.ListRecordsRequest) -> str:
    """The token of the page after this record."""
    changed_at = 0 if last.updated_at is None else int(last.updated_at.replace(tzinfo=UTC).timestamp())
    return encode_token([changed_at, last.id], request)


def cached_records(
    batch: Sequence[StoredRecord], configuration: Configuration
) -> Iterator[ingest_pb2.ListCachedRecordsResponse]:
    """The records as answers of a stream, each of about 1 MiB or of one record."""
    answer, held = ingest_pb2.ListCachedRecordsResponse(), 0
    for stored in batch:
        if answer.records and held + len(stored.data_json) > _ANSWER_BYTES:
            yield answer
            answer, held = ingest_pb2.ListCachedRecordsResponse(), 0
        answer.records.append(record(stored, configuration))
        held += len(stored.data_json)
    yield answer


def cache_position(request: ingest_pb2.ReadCacheRequest) -> CachePosition | None:
    """The record after which a page begins. Raises InvalidArgument."""
    match decode_token(request.page_token, request):
        case None:
            return None
        case [str(external_id), int(mapping_id)] if 0 <= mapping_id < _MOST_ROW:
            return CachePosition(external_id, mapping_id)
    raise _foreign_token()


def cache_token(last: CachePosition | None, request: ingest_pb2.ReadCacheRequest) -> str:
    """The token of the page after this record; empty when there is none."""
    return "" if last is None else encode_token([last.external_id, last.mapping_id], request)


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
