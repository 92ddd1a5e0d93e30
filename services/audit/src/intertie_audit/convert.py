"""Between the contract's messages and the model; every request is checked here."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from intertie.audit.v1 import audit_pb2
from intertie_audit.errors import InvalidEntries
from intertie_audit.model import (
    ENTRY_ID,
    FIRST_MOMENT,
    LAST_MOMENT,
    QUERY_TYPE,
    STATUSES,
    Entry,
    EntryFilter,
    NewEntry,
    SystemFilter,
    bounded_payload,
    clip,
    clip_bytes,
    omitted,
    payload_fault,
)
from intertie_chassis import paging
from intertie_chassis.clock import utc_now
from intertie_chassis.errors import InvalidArgument
from intertie_chassis.traces import TRACER, sampled

DEFAULT_LIMIT = 50
MOST_LIMIT = 1000
_EPOCH = datetime(1970, 1, 1)
_SECOND = timedelta(seconds=1)
_FIRST_SECOND, _LAST_SECOND = (FIRST_MOMENT - _EPOCH) // _SECOND, (LAST_MOMENT - _EPOCH) // _SECOND
_MOST_FAULTS = 20
_MOST_SHOWN_PAYLOAD = 4_000_000
_MOST_RESPONSE_CHARACTERS = 4_000_000


def new_entries(request: audit_pb2.AppendEntriesRequest) -> list[NewEntry]:
    """The entries to append. Raises InvalidEntries that names what is wrong by index and field."""
    faults: list[tuple[str, str]] = []
    for index, message in enumerate(request.entries):
        if found := _faults(message):
            faults += [(f"entries[{index}].{field}", text) for field, text in found]
            if len(faults) >= _MOST_FAULTS:
                break
    if faults:
        raise InvalidEntries(violations=faults)
    now = utc_now()
    return [_new_entry(message, now) for message in request.entries]


def traced(request: audit_pb2.AppendEntriesRequest) -> dict[str, str]:
    """The contexts of the entries that belong to a trace, by the entry's id; what is no context is left out."""
    found: dict[str, str] = {}
    if TRACER.is_on:
        for one in request.traced[: len(request.entries)]:
            if traceparent := sampled(one.traceparent):
                found[one.entry_id[:26]] = traceparent
    return found


def list_limit(request: audit_pb2.ListEntriesRequest) -> int:
    """How many entries to give. Raises InvalidArgument when negative; more than the most is the most."""
    _not_negative("limit", request.limit)
    return min(request.limit, MOST_LIMIT) if request.limit else DEFAULT_LIMIT


def list_position(request: audit_pb2.ListEntriesRequest) -> tuple[int, int | None]:
    """How many entries to skip, and below which number to start.

    A page token knows where its page begins, so `offset` counts on the first page only. Raises InvalidArgument.
    """
    _not_negative("offset", request.offset)
    position = paging.decode_token(request.page_token, _same_list(request))
    if position is None:
        return request.offset, None
    match position:
        case [int(before_id)]:
            return 0, before_id
        case _:
            raise InvalidArgument("page_token is not valid; start again without one", reason="INVALID_PAGE_TOKEN")


def list_filter(request: audit_pb2.ListEntriesRequest, system: SystemFilter | None) -> EntryFilter:
    """The filter of a list. Raises InvalidArgument for a status that does not exist."""
    if request.status and request.status not in STATUSES:
        raise InvalidArgument(f"status must be {_words()}, or left out", violations=[("status", f"must be {_words()}")])
    return EntryFilter(
        system=system,
        module=request.module or None,
        status=request.status or None,
        query_type=request.query_type or None,
        delivery_id=request.delivery_id or None,
        created_after=_bound(request.created_after) if request.HasField("created_after") else None,
        created_before=_bound(request.created_before) if request.HasField("created_before") else None,
    )


def list_response(
    request: audit_pb2.ListEntriesRequest, entries: Sequence[Entry], has_more: bool, names: Mapping[int, str]
) -> audit_pb2.ListEntriesResponse:
    """The page, with the token of the next one when there is more."""
    token = paging.encode_token([entries[-1].id], _same_list(request)) if has_more else ""
    return audit_pb2.ListEntriesResponse(logs=[entry_message(entry, names) for entry in entries], next_page_token=token)


def entry_number(request: audit_pb2.GetEntryRequest) -> int:
    """The number of the entry asked for. Raises InvalidArgument."""
    if request.id < 1:
        raise InvalidArgument("id must be the number of an entry", violations=[("id", "must be positive")])
    return request.id


def tail_start(request: audit_pb2.TailEntriesRequest) -> tuple[int, int | None]:
    """How many entries come first, and after which number they start when that is said. Raises InvalidArgument."""
    _not_negative("last", request.last)
    _not_negative("after_id", request.after_id)
    return min(request.last, MOST_LIMIT), request.after_id or None


def tail_responses(entries: Sequence[Entry], names: Mapping[int, str]) -> Iterator[audit_pb2.TailEntriesResponse]:
    """The entries in as many responses as their size needs."""
    response, size = audit_pb2.TailEntriesResponse(), 0
    for entry in entries:
        if size and size + entry.size > _MOST_RESPONSE_CHARACTERS:
            yield response
            response, size = audit_pb2.TailEntriesResponse(), 0
        response.entries.append(entry_message(entry, names))
        size += entry.size
    yield response


def are_unnamed(entries: Sequence[Entry]) -> bool:
    """Whether an entry has the number of its system only, so that registry must be asked for the name."""
    return any(entry.system_name is None and entry.system_id is not None for entry in entries)


def entry_message(entry: Entry, names: Mapping[int, str]) -> audit_pb2.Entry:
    """The entry; `names` gives the system's name where the entry has none."""
    return audit_pb2.Entry(
        id=entry.id,
        entry_id=entry.entry_id or "",
        system_id=entry.system_id or 0,
        system=entry.system_name or names.get(entry.system_id or 0, ""),
        query_type=entry.query_type,
        query_string=entry.query_string or "",
        request_payload=_shown(entry.request_payload),
        response_payload=_shown(entry.response_payload),
        response_status=entry.response_status or 0,
        execution_time_ms=entry.execution_time_ms or 0,
        status=entry.status,
        error_message=entry.error_message or "",
        requested_by=entry.requested_by or 0,
        module_name=entry.module_name or "",
        actor=entry.actor or "",
        created_at=_timestamp(entry.created_at),
        delivery_id=entry.delivery_id or "",
        request_id=entry.request_id or "",
    )


def _faults(message: audit_pb2.Entry) -> list[tuple[str, str]]:
    """What is wrong with an entry; too long is not wrong, see the model."""
    found: list[tuple[str, str]] = []
    if not ENTRY_ID.fullmatch(message.entry_id):
        found.append(("entry_id", "must be a ULID in upper case"))
    if not QUERY_TYPE.fullmatch(message.query_type):
        found.append(("query_type", "must be 1 to 32 lower-case letters, digits and underscores"))
    if message.status not in STATUSES:
        found.append(("status", f"must be {_words()}"))
    for field, raw in (("request_payload", message.request_payload), ("response_payload", message.response_payload)):
        fault = payload_fault(raw) if raw else None
        if fault is not None:
            found.append((field, fault))
    if message.HasField("created_at") and not _in_range(message.created_at):
        found.append(("created_at", f"must lie between {FIRST_MOMENT} and {LAST_MOMENT} UTC"))
    return found


def _new_entry(message: audit_pb2.Entry, now: datetime) -> NewEntry:
    return {
        "entry_id": message.entry_id,
        "system_id": message.system_id or None,
        "system_name": clip(message.system, 100),
        "query_type": message.query_type,
        "query_string": clip_bytes(message.query_string),
        "request_payload": bounded_payload(message.request_payload),
        "response_payload": bounded_payload(message.response_payload),
        "response_status": message.response_status or None,
        "execution_time_ms": message.execution_time_ms or None,
        "status": message.status,
        "error_message": clip_bytes(message.error_message),
        "requested_by": message.requested_by or None,
        "module_name": clip(message.module_name, 100),
        "actor": clip(message.actor, 255),
        "created_at": _moment(message.created_at) if message.HasField("created_at") else now,
        "delivery_id": clip(message.delivery_id, 64),
        "request_id": clip(message.request_id, 128),
    }


def _shown(payload: str | None) -> bytes:
    raw = (payload or "").encode()
    # A row of PHP's may hold an answer that no message could carry.
    return omitted(raw).encode() if len(raw) > _MOST_SHOWN_PAYLOAD else raw


def _moment(timestamp: Timestamp) -> datetime:
    return _EPOCH + timedelta(seconds=timestamp.seconds, microseconds=timestamp.nanos // 1000)


def _timestamp(moment: datetime) -> Timestamp:
    since = moment - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)


def _in_range(timestamp: Timestamp) -> bool:
    return _FIRST_SECOND <= timestamp.seconds < _LAST_SECOND and 0 <= timestamp.nanos < 1_000_000_000


def _bound(timestamp: Timestamp) -> datetime:
    """A bound of time, moved into the range that the column has."""
    if not _FIRST_SECOND <= timestamp.seconds < _LAST_SECOND:
        return FIRST_MOMENT if timestamp.seconds < _FIRST_SECOND else LAST_MOMENT
    return _moment(timestamp)


def _not_negative(field: str, value: int) -> None:
    if value < 0:
        raise InvalidArgument(f"{field} must not be negative", violations=[(field, "must be 0 or positive")])


def _same_list(request: audit_pb2.ListEntriesRequest) -> audit_pb2.ListEntriesRequest:
    """The request without what may differ between the pages of one list."""
    same = audit_pb2.ListEntriesRequest()
    same.CopyFrom(request)
    same.ClearField("limit")
    same.ClearField("offset")
    return same


def _words() -> str:
    return ", ".join(STATUSES[:-1]) + " or " + STATUSES[-1]
