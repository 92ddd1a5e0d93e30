"""How values stand in a table: times, words of enums, documents, all short and readable."""

from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

_MOST = 80


def moment(timestamp: Timestamp) -> str:
    """`2025-01-20 12:00:00` in UTC; empty when there is none."""
    if not timestamp.seconds:
        return ""
    return datetime.fromtimestamp(timestamp.seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def second(at: float) -> str:
    """`2025-01-20 12:00:00` in UTC, of seconds since 1970; empty for 0, which means none."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S") if at else ""


def word(enum: Any, value: int) -> str:
    """The last words of an enum's name in lower case: `pending` of `DELIVERY_STATE_PENDING`."""
    prefix: str = enum.Name(0).removesuffix("UNSPECIFIED")
    name: str = enum.Name(value)
    return name.removeprefix(prefix).lower().replace("_", " ")


def number(value: int) -> str:
    """The number; empty for 0, which means none."""
    return str(value) if value else ""


def yes(value: bool) -> str:
    """`yes` or `no`."""
    return "yes" if value else "no"


def short(text: str | bytes, most: int = _MOST) -> str:
    """The text on one line, cut with … when it is long."""
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"
