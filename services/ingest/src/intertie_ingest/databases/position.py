"""Places in a table between two pages: the last row's key, each value with its type, so that it is the same again."""

import base64
import datetime as dt
import ipaddress
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import orjson

from intertie_ingest.errors import NoSource

Phase = Literal["all", "unset", "main"]

_TYPES: dict[str, tuple[tuple[type, ...], Callable[[Any], str], Callable[[str], Any]]] = {
    "boolean": ((bool,), str, lambda text: text == "True"),
    "integer": ((int,), str, int),
    "decimal": ((Decimal,), str, Decimal),
    "float": ((float,), repr, float),
    "text": ((str,), str, str),
    "bytes": (
        (bytes, bytearray),
        lambda value: base64.b64encode(value).decode(),
        lambda text: base64.b64decode(text, validate=True),
    ),
    "datetime": ((dt.datetime,), dt.datetime.isoformat, dt.datetime.fromisoformat),
    "date": ((dt.date,), dt.date.isoformat, dt.date.fromisoformat),
    "time": ((dt.time,), dt.time.isoformat, dt.time.fromisoformat),
    "duration": (
        (dt.timedelta,),
        lambda value: str(value // dt.timedelta(microseconds=1)),
        lambda text: dt.timedelta(microseconds=int(text)),
    ),
    "uuid": ((uuid.UUID,), str, uuid.UUID),
    # PostgreSQL takes the text back.
    "address": (
        (
            ipaddress.IPv4Address,
            ipaddress.IPv6Address,
            ipaddress.IPv4Network,
            ipaddress.IPv6Network,
        ),
        str,
        str,
    ),
}


@dataclass(frozen=True, slots=True)
class Position:
    """How far a table has been read."""

    #: `all` by key; or first the rows without a cursor (`unset`), then the others (`main`)
    phase: Phase
    #: the values that the order is by, of the last row read; None before the first row of the phase
    after: tuple[Any, ...] | None
    #: the largest cursor when the run began, as the driver gives it
    upper: Any

    def dump(self) -> bytes:
        """As JSON. Raises NoSource for a value of a type that rows cannot be found again by."""
        after = None if self.after is None else [_dump(value) for value in self.after]
        return orjson.dumps({"phase": self.phase, "after": after, "upper": _dump(self.upper)})

    @classmethod
    def load(cls, text: bytes) -> "Position":
        """What `dump` made. Raises NoSource for anything else."""
        try:
            fields = orjson.loads(text)
            after = fields["after"]
            return cls(
                fields["phase"],
                None if after is None else tuple(_load(value) for value in after),
                _load(fields["upper"]),
            )
        except (ValueError, ArithmeticError, LookupError, TypeError):
            raise NoSource("the run's position is not one in a table; start a new run") from None


def _dump(value: Any) -> list[str] | None:
    if value is None:
        return None
    for name, (types, dump, _) in _TYPES.items():
        if isinstance(value, types):
            return [name, dump(value)]
    raise NoSource("rows cannot be ordered by a column of this type; name another in key_fields or cursor_field")


def _load(value: list[str] | None) -> Any:
    return None if value is None else _TYPES[value[0]][2](value[1])
