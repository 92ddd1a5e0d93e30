"""What mapper's parts hand to each other: leased records, how each ended, and the links between records and rows.

Those of which every record has one are tuples, which are made in a fifth of a dataclass's time.
"""

import enum
from dataclasses import dataclass
from typing import NamedTuple

from intertie_mapper.columns import Key
from intertie_mapper.errors import Refusal


class LeasedRecord(NamedTuple):
    """A record that ingest handed out under a lease."""

    id: int
    system_id: int
    mapping_id: int
    external_id: str
    revision: int
    data: bytes
    version_key: str = ""
    delivery_id: str = ""
    digest: bytes = b""
    attempts: int = 1
    traceparent: str = ""
    """The sampled trace that it belongs to; empty when there is none."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Records under one token."""

    token: str
    records: tuple[LeasedRecord, ...]
    seconds: int = 0
    """For how long from now, at least; 0: as long as was asked for."""


class Link(NamedTuple):
    """Which target row came from which external record."""

    id: int
    external_id: str
    key: Key | None
    """The row's key; None when the row is known to be gone, or the mapping now goes to another table (`moved`)."""
    version_key: str
    revision: int
    record_id: int
    """The cached record's number: a record that left the cache and came again starts over with its revisions."""
    mapping_fingerprint: bytes
    moved: bool = False


class Outcome(enum.Enum):
    """What ingest is told of a record."""

    SYNCED = "synced"
    RETRY = "retry"
    SET_ASIDE = "set_aside"
    SUPERSEDED = "superseded"


class Action(enum.StrEnum):
    """What was done in the target."""

    INSERT = "insert"
    UPDATE = "update"
    UNCHANGED = "unchanged"
    SUPERSEDED = "superseded"
    APPLIED = "applied"
    """This state had been applied before: its lease had ended between commit and settling."""
    REFUSED = "refused"
    NONE = "none"


class Ending(NamedTuple):
    """How one leased record ended."""

    record: LeasedRecord
    outcome: Outcome
    action: Action
    target_table: str = ""
    key_json: str = ""
    local_id: int = 0
    reason: str = ""
    field: str = ""
    message: str = ""
    retry_seconds: int = 0
    is_untried: bool = False
    """Of a retry: nothing was done with the record, so that its lease is no attempt."""


def set_aside(record: LeasedRecord, target_table: str, refusal: Refusal) -> Ending:
    """The ending of a record that is refused."""
    return Ending(
        record,
        Outcome.SET_ASIDE,
        Action.REFUSED,
        target_table,
        reason=refusal.reason,
        field=refusal.field,
        message=refusal.message,
    )
