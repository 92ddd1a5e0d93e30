"""What calls answer: values that nothing changes.

Times are aware and in UTC. A JSON document is there as Python objects, and as the bytes that came where somebody may
want every character.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from intertie_client.errors import IntertieError

Row = dict[str, Any]
"""A row by column name; numbers with a fraction are Decimal, dates and bytes texts (docs/external-databases.md)."""

ENDED_STATES = frozenset({"succeeded", "failed", "cancelled"})
"""The states of a run that has ended."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """A record that is stored; it is mapped next."""

    system: str
    mapping: str
    external_id: str
    """The record's id in the external system; one that Intertie made up where the record has none."""
    delivery_id: str
    """Sortable id of the delivery; records that were pushed together share it."""
    duplicate: bool
    """Whether it was stored before, also when by the first attempt of this very call."""


@dataclass(frozen=True, slots=True)
class PushOutcome:
    """What became of one record of many: exactly one of the two is there."""

    pushed: Pushed | None = None
    error: IntertieError | None = None

    @property
    def ok(self) -> bool:
        """Whether the record is stored."""
        return self.pushed is not None


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The answer of an external database. Iterates over its rows."""

    rows: tuple[Row, ...]
    """Empty for a statement that writes."""
    columns: tuple[str, ...]
    """The columns' names in order; empty when there is no row."""
    count: int
    """How many rows there are, or were written."""
    truncated: bool
    """Whether there are more rows than the limits on rows and bytes let through."""
    raw: bytes = field(repr=False)
    """The rows as JSON."""

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """The answer of an external API; always one of success, others are errors."""

    data: Any
    status: int
    """The HTTP status."""
    raw: bytes = field(repr=False)
    """The data as JSON."""


@dataclass(frozen=True, slots=True)
class CachedRecord:
    """The newest state of a record that is in its target table."""

    id: int
    system: str
    mapping: str
    external_id: str
    data: dict[str, Any]
    """The record as it came in."""
    local_id: int | None
    """The number of the target row, when it has one."""
    local_key: dict[str, Any] | None
    """The key of the target row by column."""
    revision: int
    """How many states of the record have been accepted."""
    delivery_id: str
    """The delivery that brought this state; empty when a sync did."""
    last_synced_at: datetime | None
    expires_at: datetime | None
    raw: bytes = field(repr=False)
    """The record as JSON, byte for byte."""


@dataclass(frozen=True, slots=True)
class SyncRun:
    """One reading of a mapping's source, as far as it has come."""

    run_id: str
    system: str
    mapping: str
    mode: str
    """`incremental`, `full`, `backfill` or `release`."""
    state: str
    """`queued`, `running`, `settling`, `succeeded`, `failed` or `cancelled`."""
    read: int
    new: int
    changed: int
    unchanged: int
    outdated: int
    skipped: int
    failed: int
    """Records that could not be taken or were set aside."""
    pending: int
    """Records that waited for their target when it was last looked."""
    error_reason: str
    """Why the run failed, stable; empty unless it did."""
    error_message: str
    created_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state in ENDED_STATES

    @property
    def succeeded(self) -> bool:
        """Whether all was read, and is in the target or counted as failed."""
        return self.state == "succeeded"


@dataclass(frozen=True, slots=True)
class ModuleSystem:
    """A system that the module may use."""

    name: str
    display_name: str
    system_type: str
    """`database`, `api` or `hybrid`."""
    access: str
    """`read`, `write` or `read_write`."""
    connection_status: str
    """`connected`, `disconnected`, `error` or `never_tested`: how the last trial of its first connection ended."""


@dataclass(frozen=True, slots=True)
class Access:
    """Whether the module may use a system in a way. True where it may."""

    allowed: bool
    access: str = ""
    """What the grant allows, when one allows this: `read`, `write` or `read_write`."""
    expires_at: datetime | None = None
    """When the grant ends; None: it does not."""
    query_permissions: Any = None
    """What narrows the grant (docs/grants.md); None: nothing."""

    def __bool__(self) -> bool:
        return self.allowed


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How the exchange of one target row with one system stands."""

    id: int
    target_table: str
    target_id: int
    system: str
    status: str
    """`pending`, `sent`, `acknowledged`, `confirmed` or `failed`."""
    attempts: int
    """How often it was exchanged."""
    sent_data: Any
    received_data: Any
    error_message: str
    last_sync_at: datetime | None
    updated_at: datetime | None
