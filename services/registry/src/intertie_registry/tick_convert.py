"""Ticks and reports between the contract and the stores."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from intertie.registry.v1 import feed_pb2
from intertie_registry.fields import Fields
from intertie_registry.moment_convert import timestamp
from intertie_registry.ticks import Tick

_MOST_TICKS = 1_000
_STATES = ("connected", "disconnected", "error")
_LONGEST_ERROR = 2_000


@dataclass(frozen=True, slots=True)
class SyncReport:
    """A mapping has synced."""

    mapping_id: int
    finished_at: datetime
    is_scheduled: bool


@dataclass(frozen=True, slots=True)
class TrialReport:
    """A connection was tried."""

    connection_id: int
    status: str
    error: str
    tested_at: datetime


def taken_ticks(request: feed_pb2.ClaimTicksRequest) -> list[Tick]:
    """The ticks that have been taken up. Raises InvalidArgument that names every field at fault."""
    fields = Fields("")
    if len(request.taken) > _MOST_TICKS:
        fields.refuse("taken", f"must be at most {_MOST_TICKS}")
    taken = [
        Tick(
            _number(f"taken[{index}].mapping_id", tick.mapping_id, fields),
            tick.system_id,
            _moment(f"taken[{index}].due_at", tick.due_at, tick.HasField("due_at"), fields),
            passed_over=tick.passed_over if tick.HasField("passed_over") else None,
        )
        for index, tick in enumerate(request.taken[:_MOST_TICKS])
    ]
    fields.require_none()
    return taken


def most_ticks(request: feed_pb2.ClaimTicksRequest) -> int:
    """How many ticks to give at most."""
    return max(0, min(request.max_ticks, _MOST_TICKS))


def ticks_response(ticks: Iterable[Tick]) -> feed_pb2.ClaimTicksResponse:
    """The ticks that are due."""
    return feed_pb2.ClaimTicksResponse(
        ticks=[
            feed_pb2.Tick(
                mapping_id=tick.mapping_id,
                system_id=tick.system_id,
                due_at=timestamp(tick.due_at),
                missed=tick.missed,
            )
            for tick in ticks
        ]
    )


def sync_report(request: feed_pb2.ReportSyncRequest) -> SyncReport:
    """What was reported. Raises InvalidArgument that names every field at fault."""
    fields = Fields("")
    report = SyncReport(
        _number("mapping_id", request.mapping_id, fields),
        _moment("finished_at", request.finished_at, request.HasField("finished_at"), fields),
        request.is_scheduled,
    )
    fields.require_none()
    return report


def trial_report(request: feed_pb2.ReportConnectionTestRequest) -> TrialReport:
    """What was reported; an error text is cut to 2,000 characters. Raises InvalidArgument."""
    fields = Fields("")
    report = TrialReport(
        _number("connection_id", request.connection_id, fields),
        fields.word("connection_status", request.connection_status, _STATES),
        request.connection_error.replace("\0", "")[:_LONGEST_ERROR],
        _moment("tested_at", request.tested_at, request.HasField("tested_at"), fields),
    )
    fields.require_none()
    return report


def _number(field: str, number: int, fields: Fields) -> int:
    if not number:
        fields.refuse(field, "must be given")
    return number


def _moment(field: str, moment: Timestamp, is_given: bool, fields: Fields) -> datetime:
    """The time of a message, to the second; the columns hold times from 1970 to January 2038."""
    if not is_given:
        fields.refuse(field, "must be given")
    elif 0 < moment.seconds < 2**31 and 0 <= moment.nanos < 10**9:
        return moment.ToDatetime().replace(microsecond=0)
    else:
        fields.refuse(field, "must be a time between 1970 and 2038")
    return datetime(1970, 1, 1)
