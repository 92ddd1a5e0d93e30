"""What ingest speaks of: deliveries, the records in them, the states that the cache holds, and how they end.

Classes of which each delivery makes some are not frozen, though nothing changes them: a frozen one takes ten times as
long to make.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from intertie_ingest.answers import Answer, Template

#: the columns of a row's place in the cache: system, mapping, external id
Key = tuple[int, int, str]


class Route(StrEnum):
    """By which door a delivery came in."""

    WEBHOOK = "webhook"
    PUSH = "push"


class Status(StrEnum):
    """The `sync_status` of a cached record; the names are the existing column's."""

    #: waits for mapper, or is with it under a lease
    PENDING = "pending"
    #: its row is in the target table
    SYNCED = "synced"
    #: set aside, with a reason; replayable
    ERROR = "error"
    #: mapper found a newer version in the target
    OUTDATED = "outdated"


class Ending(StrEnum):
    """How a delivery, or one record of it, stands."""

    PENDING = "pending"
    SYNCED = "synced"
    SET_ASIDE = "set_aside"
    SUPERSEDED = "superseded"
    UNROUTED = "unrouted"


#: how a state of a record ends, or stands, by its row's status
ENDING_OF_STATUS = {
    Status.PENDING: Ending.PENDING,
    Status.SYNCED: Ending.SYNCED,
    Status.ERROR: Ending.SET_ASIDE,
    Status.OUTDATED: Ending.SUPERSEDED,
}


class RecordReason(StrEnum):
    """Reasons of ours, beside mapping's and mapper's, that a record may carry."""

    #: what it means and what to do, in one sentence or two; `docs/errors.md` can be made of these
    sentence: str

    def __new__(cls, value: str, sentence: str) -> "RecordReason":
        """A member whose value is the reason's name."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member

    INVALID_MAPPING = (
        "invalid_mapping",
        "The stored configuration of the mapping cannot be used; mend it, then replay the record.",
    )
    CRASHED = (
        "crashed",
        "It was being mapped when its mapper died or hung, three times when it was alone; look at it, then replay it.",
    )
    MAPPING_INACTIVE = (
        "mapping_inactive",
        "It waits, since its mapping or system is gone or switched off; switched on again, it is handed out by itself.",
    )
    RECORD_REMOVED = ("record_removed", "Another application has removed the record from the cache.")
    MISSING_EXTERNAL_ID = (
        "missing_external_id",
        "A sync found no external id in the record, so it could not be known again; name the field that has it in "
        'external_id_field, or say "external_id": "content".',
    )
    UNSTORABLE = (
        "unstorable",
        "The database refuses a value of the record that a sync read: its id, its version or its text.",
    )
    RECORD_TOO_LARGE = ("record_too_large", "A sync found the record to be larger than 7 MiB, too large to be stored.")


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a record is set aside."""

    reason: str
    field: str
    message: str


@dataclass(slots=True)
class RawDelivery:
    """A delivery as the gateway took it off the wire."""

    route: Route
    #: the system that the path names; empty for a push
    system: str
    body: bytes
    #: values by name in lower case, each occurrence by itself; secrets are among them
    headers: dict[str, list[bytes]] = field(repr=False)
    #: address of the peer without its port
    peer: str
    received_at: datetime
    request_id: str
    #: the sampled trace that it belongs to, as a header says it; empty when there is none
    traceparent: str = ""


@dataclass(slots=True)
class RoutedRecord:
    """One record of a delivery, for one mapping."""

    mapping_id: int
    external_id: str
    #: the record's bytes as received, as text
    data: str
    #: SHA-256 of those bytes
    digest: bytes
    #: key whose plain comparison is the order of versions; None: order of arrival
    version_key: str | None
    #: whether it goes to mapper at once
    is_released: bool
    #: why it is set aside from the start
    fault: Fault | None = None


@dataclass(slots=True)
class Delivery:
    """A delivery that is verified, parsed and routed: ready to be committed."""

    delivery_id: str
    route: Route
    system_id: int
    system: str
    #: name of the mapping that a push names; empty for a webhook
    mapping: str
    delivery_key: str | None
    #: SHA-256 of the body
    digest: bytes
    body: bytes
    content_type: str
    source: str
    request_id: str
    received_at: datetime
    actor: str
    #: the module that pushed; empty for others
    module: str
    is_array: bool
    #: one for each record of the body
    external_ids: tuple[str, ...]
    records: tuple[RoutedRecord, ...]
    #: the member of config_json whose secret matched; `token`; `none` where nothing was asked for
    verified_by: str = ""
    #: what a replay shares with it; None: a replay is known by the key, or not at all
    replay_mark: bytes | None = None
    #: what the sender is answered; None: as usual
    response: Template | None = None
    #: the sampled trace that it belongs to; empty when there is none
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Greeting:
    """A handshake: verified, answered, not stored."""

    system_id: int
    system: str
    verified_by: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class KnownDelivery:
    """A committed delivery, as far as a later one with its key must know."""

    delivery_id: str
    digest: bytes
    is_array: bool
    external_ids: tuple[str, ...]
    is_unrouted: bool


@dataclass(slots=True)
class CachedState:
    """The state of a record that the cache holds now."""

    #: number of the row; 0 for one that this group makes
    id: int
    revision: int
    version_key: str | None
    digest: bytes | None
    delivery_id: str | None
    status: Status
    error_reason: str | None = None
    error_field: str | None = None
    sync_error: str | None = None
    #: how often it was handed to mapper
    attempts: int = 0
    #: CRC-32 of the data that the row has now, where it was asked for: another application may have written it
    fingerprint: int | None = None


@dataclass(frozen=True, slots=True)
class RecordEnding:
    """How a state of a record ended that is no longer the cache's."""

    delivery_id: str
    mapping_id: int
    external_id: str
    #: 0 when an older version came late and never was the cache's state
    revision: int
    ending: Ending
    superseded_by: str | None = None
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a record of a delivery went in the cache."""

    mapping_id: int
    external_id: str
    revision: int


@dataclass(slots=True)
class Accepted:
    """What became of a delivery that is committed, or was before."""

    delivery: Delivery
    #: the first one's when this is a duplicate
    delivery_id: str
    is_duplicate: bool
    is_array: bool
    external_ids: tuple[str, ...]
    #: how it stands right after the commit; None of a duplicate, which stands as the first one does
    state: Ending | None
