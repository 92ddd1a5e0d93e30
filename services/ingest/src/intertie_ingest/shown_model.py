"""What ingest shows of what it keeps: deliveries and how their records stand, rows of the cache, refusals."""

from dataclasses import dataclass, field
from datetime import datetime

from intertie_ingest.model import Ending, Fault, Reference, Route, Status


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A row of the cache, as it is shown."""

    id: int
    system_id: int
    mapping_id: int
    external_id: str
    local_id: int | None
    local_key: str | None
    data_json: str
    sync_status: Status
    sync_error: str | None
    error_reason: str | None
    error_field: str | None
    revision: int
    attempts: int
    delivery_id: str | None
    available_at: datetime | None
    last_synced_at: datetime | None
    expires_at: datetime | None
    created_at: datetime | None
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class CachePosition:
    """A record's place in the order in which modules read the cache of a system."""

    external_id: str
    mapping_id: int


@dataclass(frozen=True, slots=True)
class RecordState:
    """One record of a delivery and how it stands."""

    reference: Reference
    ending: Ending
    fault: Fault | None = None
    superseded_by: str | None = None
    #: whether the cache has another state of the record, or none: nothing more will come of this one
    is_over: bool = False
    #: when it was over, where that is known
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredDelivery:
    """A committed delivery, as it is shown."""

    delivery_id: str
    system_id: int
    route: Route
    delivery_key: str | None
    digest: bytes
    size: int
    content_type: str
    source: str
    received_at: datetime
    #: None where it was not asked for, or has expired
    body: bytes | None
    records: tuple[RecordState, ...] = field(default=())
    is_body_expired: bool = False

    @property
    def state(self) -> Ending:
        """How it stands: the least finished of its records' states, set aside before synced."""
        endings = {record.ending for record in self.records}
        return next((ending for ending in _LEAST_FINISHED if ending in endings), Ending.UNROUTED)


_LEAST_FINISHED = (Ending.PENDING, Ending.SET_ASIDE, Ending.SYNCED, Ending.SUPERSEDED)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Deliveries of one system, route, reason and source that were refused in one minute."""

    #: empty when no known system was named
    system: str
    route: Route
    reason: str
    source: str
    minute: datetime
    count: int
    #: what the last one was told
    message: str
    #: SHA-256 of the last one's body
    digest: bytes
    id: int = 0
