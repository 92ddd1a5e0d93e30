"""Single fields between the contract and the model: ids, numbers, times, and what is said of one that does not fit."""

from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from intertie_chassis.errors import InvalidArgument

_EPOCH = datetime(1970, 1, 1)
_ID_LENGTH = 26


def is_id(text: str) -> bool:
    """Whether the text may be an id of ours, which columns of ASCII hold."""
    return text.isascii() and len(text) <= _ID_LENGTH


def moment(timestamp: Timestamp, field: str = "received_at") -> datetime:
    """A time of the model. Raises InvalidArgument for one that no calendar has."""
    # The message may hold any number; only those of the years 1 to 9999 are times.
    if not -62_135_596_800 <= timestamp.seconds <= 253_402_300_799 or not 0 <= timestamp.nanos < 1_000_000_000:
        raise invalid(field, "is not a time")
    return _EPOCH + timedelta(seconds=timestamp.seconds, microseconds=timestamp.nanos // 1000)


def invalid(field: str, what: str) -> InvalidArgument:
    """The refusal of one field."""
    return InvalidArgument(f"{field} {what}", violations=[(field, what)])


def number(value: int, field: str, default: int, most: int) -> int:
    """A number of a request: the default for 0, at most `most`. Raises InvalidArgument below 0."""
    if value < 0:
        raise invalid(field, "must not be negative")
    return min(value, most) if value else default


def fill_time(message: Timestamp, value: datetime) -> None:
    """Puts a time of the model into a message."""
    message.FromDatetime(value.replace(tzinfo=UTC))
