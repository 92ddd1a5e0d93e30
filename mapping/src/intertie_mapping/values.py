"""The values that pass through a mapping, and the mark of one that is not there."""

from __future__ import annotations

import enum
from datetime import date, datetime, time
from decimal import Decimal
from typing import Final, TypeAlias

#: A parsed JSON document. Integers are exact at any size. A number with a point or an exponent is a float when the
#: float's shortest text denotes the number that was written, and a Decimal otherwise: so `Decimal(repr(value))` is
#: always exact.
JsonValue: TypeAlias = "None | bool | int | float | Decimal | str | list[JsonValue] | dict[str, JsonValue]"
JsonObject: TypeAlias = dict[str, JsonValue]

#: What a column may be given: JSON, and what a transformation makes of it. A datetime is naive and in UTC, unless the
#: mapping named a zone for it: then naive and in that zone.
Value: TypeAlias = "JsonValue | datetime | date | time"


class Missing(enum.Enum):
    """The answer of a path that leads nowhere, which is not the same as a null that is there."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING: Final = Missing.MISSING
