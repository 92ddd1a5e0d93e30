"""What syncs speak of: runs and the states they pass, pages as they are stored, failures, cursors. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from intertie_ingest.model import Fault, RoutedRecord
from intertie_ingest.syncs.cursors import CursorValue

#: how often a run may lose its lease without storing a page in between
MOST_CRASHES = 5
#: rows that are kept of a run's failures; those beyond are counted only
MOST_FAILURES = 10_000
CRASHED_REASON = "CRASHED"
CRASHED_MESSAGE = "Its process died or hung five times without storing a page; look at the log, then resume the run."


class RunState(StrEnum):
    """How far a run has come."""

    #: waits for a process to take it
    QUEUED = "queued"
    #: is being read
    RUNNING = "running"
    #: all is read and stored; its records wait for mapper
    SETTLING = "settling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def has_ended(self) -> bool:
        """Whether the run holds its mapping no more."""
        return self in (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)


class Mode(StrEnum):
    """What a run reads."""

    #: from the mapping's cursor on
    INCREMENTAL = "incremental"
    #: everything; what the source no longer has is outdated afterwards
    FULL = "full"
    #: a range of cursor values; moves no cursor
    BACKFILL = "backfill"
    #: nothing: the mapping has no source, its waiting records are released
    RELEASE = "release"


class Trigger(StrEnum):
    """What asked for a run."""

    SCHEDULE = "schedule"
    MANUAL = "manual"


class Signal(StrEnum):
    """What a run's worker is told when it extends its lease."""

    GO_ON = "go_on"
    CANCEL = "cancel"
    #: another worker has the run, or it has ended
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run that is asked for."""

    system_id: int
    mapping_id: int
    mode: Mode
    trigger: Trigger
    requested_by: str = ""
    #: the tick that it answers (naive, UTC); None unless scheduled
    tick_at: datetime | None = None
    missed_ticks: int = 0
    range_from: str = ""
    range_to: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it is stored. Times are naive and UTC, by the database's clock."""

    run_id: str
    system_id: int
    mapping_id: int
    mode: Mode
    trigger: Trigger
    requested_by: str
    state: RunState
    tick_at: datetime | None
    missed_ticks: int
    range_from: str
    range_to: str
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    pages: int = 0
    read: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    outdated: int = 0
    skipped: int = 0
    #: what its pages brought and could not be taken, and what mapper set aside by the time of the last look
    failed: int = 0
    #: its records that waited for mapper at the last look
    pending: int = 0
    error_reason: str = ""
    error_message: str = ""
    #: place in the source behind the last page that was stored
    position: bytes | None = None
    #: the largest cursor value in the pages stored
    seen_cursor: CursorValue | None = None
    is_cancel_requested: bool = False
    #: how often it lost its lease since it last stored a page
    crashes: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """A run, and the token with which its worker writes until another has it."""

    run: Run
    token: str


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs; what is None does not narrow."""

    system_id: int | None = None
    mapping_ids: tuple[int, ...] | None = None
    state: RunState | None = None


@dataclass(frozen=True, slots=True)
class RunFailure:
    """A record of a run that failed."""

    #: number within the run, from 1
    id: int
    #: empty when the record has none
    external_id: str
    #: place in the order of reading, from 1; 0 of a record that mapper set aside later
    position: int
    fault: Fault


@dataclass(frozen=True, slots=True)
class PageRecord:
    """A record of a page that has an identity."""

    #: place in the page, from 1
    position: int
    #: a fault in it sets it aside; `is_released` does not matter, what a run brings is released
    record: RoutedRecord


@dataclass(frozen=True, slots=True)
class PageFailure:
    """A record of a page that cannot be stored: it has no identity, is no record, or the database refuses it."""

    #: place in the page, from 1
    position: int
    fault: Fault
    external_id: str = ""


@dataclass(frozen=True, slots=True)
class StoredPage:
    """A page as it is to be stored, and what the run is to remember with it."""

    records: Sequence[PageRecord]
    #: the place behind the page
    position: bytes | None
    failures: Sequence[PageFailure] = ()
    #: records that the mapping's filter does not want
    skipped: int = 0
    #: the largest cursor value in the page
    seen: CursorValue | None = None
    #: the cursor value that the mapping's next run may begin at once this page is stored; None: not known yet
    cursor: CursorValue | None = None
    #: the field that it is of
    cursor_field: str = ""
    #: how long the records count as fresh; None: until they are read again
    cache_seconds: int | None = None
    #: whether the cache probably knows none of the records: then it is not asked first
    is_probably_new: bool = False

    @property
    def read(self) -> int:
        """Records that the source gave."""
        return len(self.records) + len(self.failures) + self.skipped


@dataclass(frozen=True, slots=True)
class PageOutcome:
    """What storing a page came to."""

    #: the run with the page in it
    run: Run
    new: int
    changed: int
    unchanged: int
    failed: int

    @property
    def released(self) -> int:
        """How many records there are for mapper now."""
        return self.new + self.changed

    @property
    def is_all_new(self) -> bool:
        """Whether the cache knew none of the page's records."""
        return self.new > 0 and not self.changed and not self.unchanged and not self.failed

    @property
    def is_cancel_requested(self) -> bool:
        """Whether the run is to stop behind this page, which is stored."""
        return self.run.is_cancel_requested


@dataclass(frozen=True, slots=True)
class Settlement:
    """How the records of a run stand."""

    #: wait for mapper
    pending: int
    #: of the whole run, those that mapper set aside included once nothing is pending
    failed: int
    run: Run | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class StoredCursor:
    """How far a mapping has been synced."""

    mapping_id: int
    cursor_field: str
    value: CursorValue
    #: the run that moved it last
    run_id: str
    updated_at: datetime
