"""Identifiers that sort by the time they were made."""

import os
import re
import time

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
"""Ten bits by their value: half as many steps as with single characters."""
_SHIFTS = range(120, -1, -10)
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


def new_ulid() -> str:
    """A new ULID: 26 characters, sortable by its millisecond, the rest random.

    Made here because every delivery needs one: python-ulid takes five times as long.
    """
    number = time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10))
    return "".join([_PAIRS[number >> shift & 0x3FF] for shift in _SHIFTS])


def is_request_id(text: str) -> bool:
    """Whether a caller's request id may stand in logs and metadata: 1 to 128 letters, digits, ``. _ : -``."""
    return _REQUEST_ID.fullmatch(text) is not None
