"""Formats of dates, in PHP's letters (`Y-m-d H:i:s`) or strftime's directives (`%Y-%m-%d %H:%M:%S`), to write and to
read.

Done here and not by `strftime`, whose names follow the locale of the process and whose years below 1000 that of the C
library.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from intertie_mapping.moments import MONTHS, Moment, MomentError, month_number, shown

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _offset(when: datetime, colon: str) -> str:
    minutes = int((when.utcoffset() or timedelta()).total_seconds()) // 60
    sign, minutes = ("-", -minutes) if minutes < 0 else ("+", minutes)
    return f"{sign}{minutes // 60:02}{colon}{minutes % 60:02}"


def _ordinal(day: int) -> str:
    return "th" if 11 <= day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


#: PHP's letters, and what each writes of an aware datetime.
_PHP: dict[str, Callable[[datetime], str]] = {
    "d": lambda when: f"{when.day:02}",
    "D": lambda when: _DAYS[when.weekday()][:3],
    "j": lambda when: str(when.day),
    "l": lambda when: _DAYS[when.weekday()],
    "N": lambda when: str(when.isoweekday()),
    "S": lambda when: _ordinal(when.day),
    "w": lambda when: str(when.isoweekday() % 7),
    "z": lambda when: str(when.timetuple().tm_yday - 1),
    "W": lambda when: f"{when.isocalendar().week:02}",
    "F": lambda when: MONTHS[when.month - 1].title(),
    "m": lambda when: f"{when.month:02}",
    "M": lambda when: MONTHS[when.month - 1][:3].title(),
    "n": lambda when: str(when.month),
    "t": lambda when: str(calendar.monthrange(when.year, when.month)[1]),
    "L": lambda when: str(int(calendar.isleap(when.year))),
    "o": lambda when: f"{when.isocalendar().year:04}",
    "Y": lambda when: f"{when.year:04}",
    "y": lambda when: f"{when.year % 100:02}",
    "a": lambda when: "am" if when.hour < 12 else "pm",
    "A": lambda when: "AM" if when.hour < 12 else "PM",
    "g": lambda when: str((when.hour + 11) % 12 + 1),
    "G": lambda when: str(when.hour),
    "h": lambda when: f"{(when.hour + 11) % 12 + 1:02}",
    "H": lambda when: f"{when.hour:02}",
    "i": lambda when: f"{when.minute:02}",
    "s": lambda when: f"{when.second:02}",
    "u": lambda when: f"{when.microsecond:06}",
    "v": lambda when: f"{when.microsecond // 1000:03}",
    "e": lambda when: str(when.tzinfo),
    "O": lambda when: _offset(when, ""),
    "P": lambda when: _offset(when, ":"),
    "T": lambda when: when.tzname() or "",
    "c": lambda when: f"{when:%Y-%m-%dT%H:%M:%S}".rjust(19, "0") + _offset(when, ":"),
    "U": lambda when: str((when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)),
}

#: strftime's directives as PHP's letters.
_DIRECTIVES = {
    "Y": "Y", "m": "m", "d": "d", "H": "H", "M": "i", "S": "s", "f": "u", "y": "y", "j": "z", "a": "D", "A": "l",
    "b": "M", "B": "F", "I": "h", "p": "A", "z": "O", "Z": "T", "u": "N", "w": "w", "e": "j",
}  # fmt: skip

#: What the letters that can be read look like.
_READABLE = {
    "d": r"(?P<day>\d{1,2})", "j": r"(?P<day>\d{1,2})", "m": r"(?P<month>\d{1,2})", "n": r"(?P<month>\d{1,2})",
    "M": r"(?P<month_name>[A-Za-z]{3,9})", "F": r"(?P<month_name>[A-Za-z]{3,9})",
    "Y": r"(?P<year>\d{4})", "y": r"(?P<short_year>\d{2})",
    "H": r"(?P<hour>\d{1,2})", "G": r"(?P<hour>\d{1,2})", "h": r"(?P<hour>\d{1,2})", "g": r"(?P<hour>\d{1,2})",
    "i": r"(?P<minute>\d{2})", "s": r"(?P<second>\d{2})", "u": r"(?P<fraction>\d{1,6})", "v": r"(?P<fraction>\d{1,3})",
    "a": r"(?P<half>[AaPp][Mm])", "A": r"(?P<half>[AaPp][Mm])", "D": r"[A-Za-z]{3}", "l": r"[A-Za-z]{6,9}",
    "O": r"(?P<zone>[Zz]|[+-]\d{2}:?\d{2})", "P": r"(?P<zone>[Zz]|[+-]\d{2}:?\d{2})",
}  # fmt: skip


def compile_format(text: str) -> Callable[[datetime], str]:
    """What writes an aware datetime in the format. Raises ValueError for one that has an unknown directive."""
    parts = [_PHP[part] if is_letter else part for is_letter, part in _parts(text)]

    def write(when: datetime) -> str:
        return "".join(part if isinstance(part, str) else part(when) for part in parts)

    return write


def compile_reader(text: str) -> Callable[[str], Moment]:
    """What reads a text in the format, raising MomentError. Raises ValueError for a format that cannot be read back."""
    pattern = ""
    for is_letter, part in _parts(text):
        if is_letter and part not in _READABLE:
            raise ValueError(f"the letter {part!r} can be written but not read")
        pattern += _READABLE[part] if is_letter else re.escape(part)
    try:
        compiled = re.compile(pattern, re.ASCII)
    except re.error:
        raise ValueError("the format has a part of the date twice") from None
    names = compiled.groupindex
    if not ({"year", "short_year"} & names.keys() and {"month", "month_name"} & names.keys() and "day" in names):
        raise ValueError("the format must have a year, a month and a day")

    def read(value: str) -> Moment:
        match = compiled.fullmatch(value.strip())
        if match is None:
            raise MomentError(f"{shown(value)} is not written as {text!r}")
        return _moment(value, match.groupdict())

    return read


def _moment(value: str, found: dict[str, str]) -> Moment:
    # two digits as in PHP: 70 is 1970, 69 is 2069
    year = int(found["year"]) if "year" in found else 1970 + (int(found["short_year"]) - 70) % 100
    month = int(found["month"]) if "month" in found else month_number(found["month_name"])
    hour = int(found.get("hour", "0"))
    if half := found.get("half"):
        hour = hour % 12 + (12 if half.lower() == "pm" else 0)
    fraction = found.get("fraction", "")
    zone = found.get("zone")
    try:
        when = datetime(
            year, month, int(found["day"]), hour, int(found.get("minute", "0")), int(found.get("second", "0")),
            int(fraction.ljust(6, "0")),
        )  # fmt: skip
        if zone and zone[0] in "+-":
            digits = zone.replace(":", "")
            offset = timedelta(hours=int(digits[1:3]), minutes=int(digits[3:]))
            when = when + offset if zone[0] == "-" else when - offset
    except (ValueError, OverflowError):
        raise MomentError(f"{shown(value)} does not exist in the calendar") from None
    return Moment(when, has_zone=zone is not None, fraction=fraction.rstrip("0"), has_time="hour" in found)


def _parts(text: str) -> list[tuple[bool, str]]:
    """The parts of a format: (True, one of PHP's letters) or (False, literal text)."""
    if not text or len(text) > 100:
        raise ValueError("a format has 1 to 100 characters")
    if "%" not in text:
        return [(len(part) == 1 and part in _PHP, part[-1]) for part in re.findall(r"\\.|[^\\]", text, re.DOTALL)]
    parts: list[tuple[bool, str]] = []
    for directive, literal in re.findall(r"%(.?)|([^%])", text, re.DOTALL):
        if literal or directive == "%":
            parts.append((False, literal or "%"))
        elif directive in _DIRECTIVES:
            parts.append((True, _DIRECTIVES[directive]))
        else:
            raise ValueError(f"there is no directive %{directive}")
    return parts
