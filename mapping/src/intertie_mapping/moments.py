"""Reading dates and times as senders write them.

ISO 8601 in its usual variants, what PHP's strtotime takes, and Unix time.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

from intertie_mapping.values import Value

#: Seconds in one of the unit, by the name that transformations give it.
UNITS = {"seconds": Decimal(1), "milliseconds": Decimal("0.001"), "microseconds": Decimal("0.000001")}

MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)

_EPOCH = datetime(1970, 1, 1)
_CLOCK = (
    r"(?P<hour>\d{1,2})(?::?(?P<minute>\d{2})(?::?(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,18}))?)?)?"
    r"\ ?(?P<half>[AaPp][Mm])?"
)
_ZONE = r"(?:\ ?(?P<zone>[Zz]|UTC|GMT|[+-]\d{2}(?::?\d{2})?))?"
_ISO = re.compile(
    rf"(?P<year>\d{{4}})([-/]?)(?P<month>\d{{2}})\2(?P<day>\d{{2}})(?:(?:[Tt]|\ +){_CLOCK}{_ZONE})?", re.ASCII
)
_SPOKEN = re.compile(
    r"(?:[A-Za-z]{3,9},\ ?)?"
    r"(?:(?P<m1>\d{1,2})/(?P<d1>\d{1,2})/(?P<y1>\d{4})"
    r"|(?P<d2>\d{1,2})([-.])(?P<m2>\d{1,2})\5(?P<y2>\d{4})"
    r"|(?P<d3>\d{1,2})(?:st|nd|rd|th)?[ -](?P<m3>[A-Za-z]{3,9})\.?,?[ -](?P<y3>\d{4})"
    r"|(?P<m4>[A-Za-z]{3,9})\.?\ (?P<d4>\d{1,2})(?:st|nd|rd|th)?,?\ (?P<y4>\d{4}))"
    rf"(?:,?(?:\ at)?\ +{_CLOCK}{_ZONE})?",
    re.ASCII,
)
_CLOCK_ALONE = re.compile(_CLOCK, re.ASCII)
_UNIX = re.compile(r"@?(-?\d{1,18}(?:\.\d{1,9})?)", re.ASCII)


class MomentError(ValueError):
    """The value is no date or time that can be read; the text says why."""


class Moment(NamedTuple):
    """A point in time as it was written."""

    #: without zone; in UTC if a zone was written
    when: datetime
    #: whether a zone was written (or the value counted since 1970, which is UTC's)
    has_zone: bool
    #: the digits of the fraction of a second without trailing zeros, also those beyond microseconds
    fraction: str = ""
    #: whether a time of the day was written
    has_time: bool = True

    def at(self, place: tzinfo, written_at: tzinfo) -> datetime:
        """The wall clock at `place`, naive.

        Without a zone of its own the moment was written at `written_at`. Raises MomentError.
        """
        if not self.has_time or (place is written_at and not self.has_zone) or (place is UTC and self.has_zone):
            return self.when
        try:
            aware = self.when.replace(tzinfo=UTC if self.has_zone else written_at)
            return aware.astimezone(place).replace(tzinfo=None)
        except OverflowError:
            raise MomentError("the time is outside the years 1 to 9999") from None


def zone(name: str) -> tzinfo:
    """The zone of that name in the time zone database, or of an offset such as +08:00. Raises ValueError."""
    if name in ("UTC", "Z"):
        return UTC
    if match := re.fullmatch(r"([+-])(\d{2}):?(\d{2})", name, re.ASCII):
        return timezone(_offset(match[1], int(match[2]), int(match[3])))
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # unknown (a KeyError), a folder of the database, or a path out of it
        raise ValueError(f"no time zone is called {name!r}") from None


def read_moment(value: Value, unit: str = "seconds") -> Moment:
    """The moment that a value denotes; a number counts `unit` since 1970. Raises MomentError."""
    if isinstance(value, str):
        return _read_text(value, unit)
    if isinstance(value, datetime):
        return Moment(value, has_zone=False, fraction=f"{value.microsecond:06}".rstrip("0"))
    if isinstance(value, date):
        return Moment(datetime(value.year, value.month, value.day), has_zone=False, has_time=False)
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return _read_number(value, unit)
    raise MomentError("a date must be a text or a number")


def read_time(text: str) -> time | None:
    """The time of day that `14:30`, `143000`, `2:30 pm` or `2 pm` denotes.

    None when it is not so written. Raises MomentError.
    """
    match = _CLOCK_ALONE.fullmatch(text.strip())
    if match is None or not (match["minute"] or match["half"]):
        return None
    try:
        return time(*_clock(match))
    except ValueError:
        raise MomentError(f"there is no time {shown(text)}") from None


def read_plain(text: str) -> Moment | None:
    """What a text denotes that is written as most are: `2026-11-30`, or `2026-11-30T14:05:06`, also with a space for
    the T or a Z behind.

    The interpreter itself reads these, in a fraction of the time that a pattern takes. None: it is written otherwise,
    or does not exist.
    """
    length = len(text)
    if not (length == 10 or 19 <= length <= 20) or text[4] != "-" or text[7] != "-":
        return None
    try:
        if length == 10:
            return Moment(datetime.fromisoformat(text), has_zone=False, has_time=False)
        if text[10] not in "T " or text[13] != ":" or text[16] != ":" or text[19:] not in ("", "Z"):
            return None
        return Moment(datetime.fromisoformat(text[:19]), has_zone=length == 20)
    except ValueError:
        return None


def looks_like_moment(text: str) -> bool:
    """Whether the text is written as a date with or without a time, be it in the calendar or not.

    Bare digits are not.
    """
    return not text.isdigit() and (_ISO.fullmatch(text) or _SPOKEN.fullmatch(text)) is not None


def month_number(name: str) -> int:
    """1 to 12, from an English name or an abbreviation of at least three letters. Raises MomentError."""
    for number, full in enumerate(MONTHS, start=1):
        if (full.startswith(name.lower()) and len(name) >= 3) or (name.lower() == "sept" and number == 9):
            return number
    raise MomentError(f"no month is called {shown(name)}")


def unix_microseconds(when: datetime) -> int:
    """Microseconds since 1970 of a naive UTC time, exact."""
    return (when - _EPOCH) // timedelta(microseconds=1)


def shown(text: str) -> str:
    """A text as messages show it: quoted, and cut when long."""
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _read_text(text: str, unit: str) -> Moment:
    text = text.strip()
    if plain := read_plain(text):
        return plain
    if text.isdigit() and len(text) == 14:  # 20261130140000, as MySQL and PHP take it
        text = f"{text[:8]} {text[8:]}"
    match = _ISO.fullmatch(text)
    if match:
        year, month, day = match["year"], match["month"], match["day"]
    elif seconds := _UNIX.fullmatch(text):
        return _read_number(Decimal(seconds[1]), "seconds" if text[0] == "@" else unit)
    elif match := _SPOKEN.fullmatch(text):
        year, month, day = (next(filter(None, (match[f"{part}{n}"] for n in "1234"))) for part in "ymd")
    else:
        raise MomentError(f"{shown(text)} is not a date; write it as 2026-11-30 or 2026-11-30T14:00:00+08:00")
    month_of_year = int(month) if month.isdigit() else month_number(month)
    if match["hour"] is None:
        hour = minute = second = microsecond = 0
    zone_text, fraction = match["zone"], (match["fraction"] or "").rstrip("0")
    try:
        if match["hour"] is not None:
            hour, minute, second, microsecond = _clock(match)
        when = datetime(int(year), month_of_year, int(day), hour, minute, second, microsecond)
        if zone_text and zone_text[0] in "+-":
            digits = zone_text[1:].replace(":", "")
            when -= _offset(zone_text[0], int(digits[:2]), int(digits[2:] or 0))
    except (ValueError, OverflowError):
        raise MomentError(f"{shown(text)} does not exist in the calendar") from None
    return Moment(when, has_zone=zone_text is not None, fraction=fraction, has_time=match["hour"] is not None)


def _clock(match: re.Match[str]) -> tuple[int, int, int, int]:
    """Hour, minute, second and microsecond.

    Raises ValueError for some that do not exist; the others do not make a time.
    """
    hour, half = int(match["hour"]), match["half"]
    if half:
        if not 1 <= hour <= 12:
            raise ValueError
        hour = hour % 12 + (12 if half in ("PM", "pm", "Pm", "pM") else 0)
    second = int(match["second"] or 0)
    if second == 60:  # a leap second is read as the one before: no calendar of a database has it
        second = 59
    return hour, int(match["minute"] or 0), second, int((match["fraction"] or "0").ljust(6, "0")[:6])


def _read_number(number: float | Decimal, unit: str) -> Moment:
    try:
        exact = number if isinstance(number, int | Decimal) else Decimal(repr(number))
        when = _EPOCH + timedelta(microseconds=int(exact * UNITS[unit] * 1_000_000))
    except (OverflowError, ArithmeticError, ValueError):
        hint = '; if it counts milliseconds, say so with "unit": "milliseconds"' if unit == "seconds" else ""
        raise MomentError(f"the number is no time between the years 1 and 9999{hint}") from None
    return Moment(when, has_zone=True, fraction=f"{when.microsecond:06}".rstrip("0"))


def _offset(sign: str, hours: int, minutes: int) -> timedelta:
    if hours > 15 or minutes > 59:  # the widest in use are -12:00 and +14:00
        raise ValueError("there is no such offset from UTC")
    offset = timedelta(hours=hours, minutes=minutes)
    return -offset if sign == "-" else offset
