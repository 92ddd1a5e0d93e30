"""Cursor values: typed, comparable, and kept as text that means the same in every process and time zone."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import total_ordering
from typing import Any, Literal

Kind = Literal["datetime", "date", "integer", "decimal", "text"]


class CursorMismatch(ValueError):
    """Values of two types that have no order between them."""


@total_ordering
@dataclass(frozen=True, slots=True)
class CursorValue:
    """A value of a cursor field. A datetime is in UTC and knows it; a time without a zone counts as UTC."""

    kind: Kind
    value: Any

    @classmethod
    def of(cls, raw: Any) -> "CursorValue | None":
        """The cursor value of what a driver or a JSON document gives; None for None and what cannot be ordered.

        A text that is an ISO 8601 time is a datetime, whatever its zone or separator; any other text stays one.
        """
        match raw:
            case None | bool():
                return None
            case datetime():
                return cls("datetime", _utc(raw))
            case date():
                return cls("date", raw)
            case int():
                return cls("integer", raw)
            case Decimal():
                return cls("decimal", raw) if raw.is_finite() else None
            case float():
                return cls.of(Decimal(repr(raw)))
            case str():
                return _of_text(raw)
        return None

    @classmethod
    def parse(cls, kind: str, text: str) -> "CursorValue":
        """The value that `text` of this kind stands for. Raises ValueError for any other text or kind."""
        match kind:
            case "datetime":
                return cls("datetime", _utc(datetime.fromisoformat(text)))
            case "date":
                return cls("date", date.fromisoformat(text))
            case "integer":
                return cls("integer", int(text))
            case "decimal":
                try:
                    return cls("decimal", Decimal(text))
                except InvalidOperation:
                    raise ValueError(f"{text[:100]!r} is no number") from None
            case "text":
                return cls("text", text)
        raise ValueError(f"{kind!r} is no kind of cursor value")

    @property
    def text(self) -> str:
        """What `parse` reads: ISO 8601 for times, in UTC."""
        if isinstance(self.value, datetime):
            return self.value.isoformat().replace("+00:00", "Z")
        return self.value.isoformat() if isinstance(self.value, date) else str(self.value)

    def minus(self, seconds: int) -> "CursorValue":
        """The value so much earlier: seconds for times, as many units for numbers; a text has no earlier one."""
        match self.kind:
            case "datetime":
                return CursorValue("datetime", _earlier(self.value, seconds))
            case "date":
                days = -(-seconds // 86_400)
                return CursorValue("date", self.value - timedelta(days=min(days, (self.value - date.min).days)))
            case "integer" | "decimal":
                return CursorValue(self.kind, self.value - seconds)
        return self

    def __lt__(self, other: "CursorValue") -> bool:
        """Raises CursorMismatch for values without an order between them."""
        mine, theirs = _comparable(self), _comparable(other)
        if type(mine) is not type(theirs):
            raise CursorMismatch(f"a cursor of type {self.kind} cannot be compared with one of type {other.kind}")
        return bool(mine < theirs)


def largest(one: CursorValue | None, other: CursorValue | None) -> CursorValue | None:
    """The larger of the two; the one that is there. Raises CursorMismatch."""
    if one is None or other is None:
        return one or other
    return max(one, other)


def _of_text(text: str) -> CursorValue:
    try:
        if len(text) == 10:
            return CursorValue("date", date.fromisoformat(text))
        # Ten characters of a date, then a time: "2025", "20250101" and other numbers in quotes are no times.
        if len(text) > 10 and text[4] == text[7] == "-" and text[10] in "T t":
            return CursorValue("datetime", _utc(datetime.fromisoformat(text.replace(" ", "T", 1))))
    except (ValueError, OverflowError):
        pass
    return CursorValue("text", text)


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _earlier(moment: datetime, seconds: int) -> datetime:
    try:
        return moment - timedelta(seconds=seconds)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def _comparable(one: CursorValue) -> Any:
    if one.kind == "date":
        return datetime(one.value.year, one.value.month, one.value.day, tzinfo=UTC)
    return Decimal(one.value) if one.kind in ("integer", "decimal") else one.value
