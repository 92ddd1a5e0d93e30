"""What a lease hands to mapper, and what mapper says became of it.

Of each record there is one of both, so they are not frozen, though nothing changes them: frozen ones take ten times as
long to make.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(slots=True)
class Leased:
    """A record under a lease."""

    id: int
    system_id: int
    mapping_id: int
    external_id: str
    revision: int
    data: bytes
    version_key: str
    delivery_id: str
    digest: bytes
    attempts: int
    #: the sampled trace of the delivery that brought it; empty when there is none
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Lease:
    """Records that one worker holds until `expires_at` (the database's clock)."""

    token: str
    records: tuple[Leased, ...]
    expires_at: datetime
    #: for so many seconds, at least, from when it was given
    seconds: int = 60
    #: whether the queue surely had nothing else when it was claimed
    is_last: bool = False


class Outcome(StrEnum):
    """What mapper says of a leased record."""

    SYNCED = "synced"
    RETRY = "retry"
    SET_ASIDE = "set_aside"
    SUPERSEDED = "superseded"


@dataclass(slots=True)
class Settlement:
    """What became of one leased record."""

    id: int
    revision: int
    outcome: Outcome
    local_key: str | None = None
    local_id: int | None = None
    retry_seconds: int = 0
    reason: str = ""
    field: str = ""
    message: str = ""
    #: of a retry: the lease was no attempt
    is_untried: bool = False
