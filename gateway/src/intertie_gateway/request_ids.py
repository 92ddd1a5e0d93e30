"""Ids of requests that bring none: ULIDs, made for the hot path.

The library's cost as much as reading all headers. Here the time and 60 random bits are made once a millisecond, and the
last 20 bits count: unique in a process by counting, across processes by chance of 1 in 2**60 within a millisecond.
"""

import os
import time

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
"""Ten bits by their value."""
_TEN = 0x3FF


class RequestIds:
    """Gives new ids, in rising order within a millisecond."""

    def __init__(self) -> None:
        self._millisecond = -1
        self._prefix = ""
        self._count = 0

    def new(self) -> str:
        """A new ULID: 26 characters."""
        millisecond = time.time_ns() // 1_000_000
        if millisecond != self._millisecond or self._count > 0xFFFFF:
            self._millisecond = millisecond
            number = millisecond << 60 | int.from_bytes(os.urandom(8), "big") >> 4
            # 108 bits, written as 110 in 22 characters: the first two bits of a ULID's 130 are always zero.
            self._prefix = "".join([_PAIRS[number >> shift & _TEN] for shift in range(100, -1, -10)])
            self._count = 0
        count = self._count
        self._count = count + 1
        return self._prefix + _PAIRS[count >> 10] + _PAIRS[count & _TEN]
