"""What modules ask, as they ask it: nothing in it is checked yet."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class DatabaseQuestion:
    """A statement for an external database."""

    system: str
    query: str
    #: should be a JSON object; empty: none
    params: bytes = field(default=b"", repr=False)
    module: str = ""
    #: 0: the system's first one
    connection_id: int = 0
    #: 0: as many as are allowed
    max_rows: int = 0
    is_stream: bool = False


@dataclass(frozen=True, slots=True)
class ApiQuestion:
    """A call of an external API."""

    system: str
    endpoint: str
    #: empty: GET
    method: str = ""
    #: should be JSON; empty: none
    data: bytes = field(default=b"", repr=False)
    module: str = ""
    #: 0: the system's first one
    connection_id: int = 0


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of trying a connection."""

    connection_id: int
    #: `connected`, `disconnected` or `error`
    status: str
    #: why it does not work
    error: str
    milliseconds: int
    #: naive, UTC
    tried_at: datetime
