"""Identifiers that sort by the time they were made."""

import re

from ulid import ULID

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


def new_ulid() -> str:
    """A new ULID: 26 characters, sortable by its millisecond."""
    return str(ULID())


def is_request_id(text: str) -> bool:
    """Whether a caller's request id may stand in logs and metadata: 1 to 128 letters, digits, ``. _ : -``."""
    return _REQUEST_ID.fullmatch(text) is not None
