"""Choices among cached records as messages: what a list, a count or a replay asks for, and what is told of it."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from google.protobuf.timestamp_pb2 import Timestamp

from intertie.ingest.v1 import ingest_pb2
from intertie_chassis.errors import InvalidArgument
from intertie_chassis.paging import decode_token, encode_token
from intertie_ingest import errors
from intertie_ingest.browse_convert import sync_status
from intertie_ingest.configuration import Configuration
from intertie_ingest.field_convert import fill_time, invalid, is_id, moment, number
from intertie_ingest.model import Status
from intertie_ingest.pace import MOST_REPLAYED, Pace
from intertie_ingest.selection import RecordCount, RecordFilter, Replayed, ReplayPlace

_MOST_IDS = 1000
_MOST_COUNTED_IDS = 10_000
_MOST_COUNTS = 1000
_MOST_ROW = 2**63
_MOST_MICROSECOND = 2**33 * 1_000_000
_TIMES: tuple[Literal["changed_after"], Literal["changed_before"]] = ("changed_after", "changed_before")


def of_list(request: ingest_pb2.ListRecordsRequest, configuration: Configuration) -> RecordFilter:
    """What a list asks for. Raises InvalidArgument, SystemNotFound, MappingNotFound."""
    return RecordFilter(status=sync_status(request.sync_status), **_common(request, configuration))


def of_count(request: ingest_pb2.CountRecordsRequest, configuration: Configuration) -> RecordFilter:
    """What is to be counted. Raises InvalidArgument, SystemNotFound, MappingNotFound."""
    return RecordFilter(
        ids=_numbers(request.ids, _MOST_COUNTED_IDS),
        status=sync_status(request.sync_status),
        **_common(request, configuration),
    )


def of_replay(request: ingest_pb2.ReplayRecordsRequest, configuration: Configuration) -> RecordFilter:
    """What is to be replayed. Raises InvalidArgument, also when nothing is named; SystemNotFound, MappingNotFound."""
    named = (request.ids, request.system, request.mapping, request.error_reason, request.external_id)
    if not (any(named) or request.delivery_id or any(request.HasField(name) for name in _TIMES)):
        raise invalid(
            "ids", "or system, mapping, error_reason, external_id, delivery_id or a time must say which records"
        )
    return RecordFilter(
        ids=_numbers(request.ids, _MOST_IDS),
        status=Status.PENDING if request.waiting else Status.ERROR,
        is_waiting=request.waiting,
        **_common(request, configuration),
    )


def pace(request: ingest_pb2.ReplayRecordsRequest) -> Pace:
    """How many records the call takes, and how fast they go. Raises InvalidArgument."""
    rate = request.records_per_second
    if not math.isfinite(rate) or rate < 0:
        raise invalid("records_per_second", "must be a number, 0 (all at once) or more")
    return Pace(rate, number(request.max_records, "max_records", MOST_REPLAYED, MOST_REPLAYED))


def replay_place(request: ingest_pb2.ReplayRecordsRequest) -> ReplayPlace | None:
    """Where the call goes on. Raises InvalidArgument."""
    match decode_token(request.page_token, request):
        case None:
            return None
        case [int(began), int(last_id), int(last_at)] if _is_place(began, last_id, last_at):
            return ReplayPlace(_moment_of(began), last_id, _moment_of(last_at) if last_at else None)
    raise InvalidArgument(
        "page_token does not belong to this request; start again without one",
        reason="INVALID_PAGE_TOKEN",
        violations=[("page_token", "must come from an answer to the same request")],
    )


def selector(request: ingest_pb2.ReplayRecordsRequest) -> dict[str, object]:
    """What was asked for, for the log: what narrowed the choice, and the rate."""
    fields: dict[str, object] = {
        "ids": list(request.ids),
        "system": request.system,
        "mapping": request.mapping,
        "error_reason": request.error_reason,
        "waiting": request.waiting,
    }
    more: dict[str, object] = {
        "external_id": request.external_id,
        "delivery_id": request.delivery_id,
        "records_per_second": request.records_per_second,
        "max_records": request.max_records,
        "continued": bool(request.page_token),
    }
    times = {name: getattr(request, name).ToJsonString() for name in _TIMES if request.HasField(name)}
    return fields | {name: value for name, value in more.items() if value} | times


def replay_response(replayed: Replayed, request: ingest_pb2.ReplayRecordsRequest) -> ingest_pb2.ReplayRecordsResponse:
    """What a call of a replay came to."""
    response = ingest_pb2.ReplayRecordsResponse(replayed=len(replayed.ids), ids=replayed.ids)
    if replayed.last_available_at is not None:
        fill_time(response.last_available_at, replayed.last_available_at)
    if replayed.place is not None:
        position = (
            _microseconds_of(replayed.place.began_at),
            replayed.place.last_id,
            0 if replayed.place.last_at is None else _microseconds_of(replayed.place.last_at),
        )
        response.next_page_token = encode_token(position, request)
    return response


def dry_run_response(found: Sequence[RecordCount], configuration: Configuration) -> ingest_pb2.ReplayRecordsResponse:
    """What a replay would come to."""
    total = sum(one.count for one in found)
    return ingest_pb2.ReplayRecordsResponse(replayed=total, counts=_counts(found, configuration))


def count_response(found: Sequence[RecordCount], configuration: Configuration) -> ingest_pb2.CountRecordsResponse:
    """How the counted records stand."""
    by_status = dict.fromkeys(Status, 0)
    for one in found:
        by_status[one.status] += one.count
    return ingest_pb2.CountRecordsResponse(
        total=sum(by_status.values()),
        pending=by_status[Status.PENDING],
        synced=by_status[Status.SYNCED],
        set_aside=by_status[Status.ERROR],
        outdated=by_status[Status.OUTDATED],
        counts=_counts(found, configuration),
    )


def system_id(configuration: Configuration, name: str) -> int | None:
    """The number of a system by its name; None for no name. Raises SystemNotFound."""
    if not name:
        return None
    system = configuration.by_name.get(name)
    if system is None:
        raise errors.SystemNotFound("there is no external system of this name", metadata={"system": name})
    return system.id


def mapping_ids(configuration: Configuration, system: str, name: str) -> tuple[int, ...] | None:
    """The numbers of the mappings of a name, of one system or of all; None for no name. Raises MappingNotFound."""
    if not name:
        return None
    systems = [configuration.by_name[system]] if system else list(configuration.by_id.values())
    found = tuple(mapping.id for one in systems for mapping in one.mappings if mapping.name == name)
    if not found:
        raise errors.MappingNotFound("there is no mapping of this name", metadata={"mapping": name})
    return found


def _common(request: Any, configuration: Configuration) -> dict[str, Any]:
    """What a list, a count and a replay narrow by alike."""
    if not is_id(request.delivery_id):
        raise invalid("delivery_id", "is not an id of a delivery")
    return {
        "system_id": system_id(configuration, request.system),
        "mapping_ids": mapping_ids(configuration, request.system, request.mapping),
        "external_id": request.external_id or None,
        "error_reason": request.error_reason or None,
        "delivery_id": request.delivery_id or None,
        **{name: _time(request, name) for name in _TIMES},
    }


def _time(request: Any, field: str) -> datetime | None:
    timestamp: Timestamp = getattr(request, field)
    return moment(timestamp, field) if request.HasField(field) else None


def _numbers(ids: Sequence[int], most: int) -> tuple[int, ...] | None:
    if len(ids) > most:
        raise invalid("ids", f"must be at most {most}")
    return tuple(ids) or None


def _counts(found: Sequence[RecordCount], configuration: Configuration) -> list[ingest_pb2.RecordCount]:
    return [_count(one, configuration) for one in found[:_MOST_COUNTS]]


def _count(found: RecordCount, configuration: Configuration) -> ingest_pb2.RecordCount:
    system, mapping = configuration.by_id.get(found.system_id), configuration.mappings.get(found.mapping_id)
    message = ingest_pb2.RecordCount(
        system_id=found.system_id,
        system=system.name if system else "",
        mapping_id=found.mapping_id,
        mapping=mapping.name if mapping else "",
        sync_status=found.status.value,
        error_reason=found.error_reason,
        count=found.count,
    )
    for field in ("first_changed_at", "last_changed_at"):
        value = getattr(found, field)
        if value is not None:
            fill_time(getattr(message, field), value)
    return message


def _is_place(began: int, last_id: int, last_at: int) -> bool:
    return all(0 <= at < _MOST_MICROSECOND for at in (began, last_at)) and 0 <= last_id < _MOST_ROW


def _microseconds_of(value: datetime) -> int:
    return int(value.replace(tzinfo=UTC).timestamp()) * 1_000_000 + value.microsecond


def _moment_of(microseconds: int) -> datetime:
    seconds, rest = divmod(microseconds, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None, microsecond=rest)
