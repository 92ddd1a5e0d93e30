"""How fast replayed records become available: all at once, or one after the other at a rate."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

MOST_REPLAYED = 10_000
"""Records that one call takes: what one transaction changes."""

_LONGEST_SECONDS = 86_400
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Pace:
    """How many records a call hands out, and when each of them becomes available."""

    #: 0: all at once
    per_second: float = 0.0
    #: as many as are asked for
    most: int = MOST_REPLAYED

    @property
    def limit(self) -> int:
        """How many records a call takes: no more than are asked for, than one may, or than a day lets through."""
        most = min(self.most, MOST_REPLAYED)
        # Compared before it is multiplied out: a rate may be as large as a number gets.
        if not self.per_second or self.per_second >= most / _LONGEST_SECONDS:
            return most
        return max(1, math.floor(self.per_second * _LONGEST_SECONDS))

    def moments(self, begin: datetime, count: int) -> list[datetime]:
        """When each of so many records becomes available, the first one at `begin`; in order, to the microsecond.

        Without a rate a microsecond apart, so that they are handed out in their order.
        """
        longest = float(_LONGEST_SECONDS * _MICROSECONDS)
        apart = 1.0 if not self.per_second else min(max(1.0, _MICROSECONDS / self.per_second), longest)
        return [begin + timedelta(microseconds=round(index * apart)) for index in range(count)]
