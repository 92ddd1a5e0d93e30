"""How much one query may ask for, and how many may run at once."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from intertie_chassis import calls
from intertie_ingest.errors import ConnectionUnusable, Overloaded
from intertie_ingest.external import ExternalConnection

_LONGEST_OPTION = 300
_MARGIN_SECONDS = 1.5
_LEAST_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Limits:
    """The installation's limits."""

    query_rows: int
    query_bytes: int
    stream_rows: int
    stream_bytes: int
    #: of a connection that does not say
    statement_seconds: float
    #: the most that a connection may say
    longest_statement_seconds: float
    stream_seconds: float

    def seconds(self, connection: ExternalConnection, *, is_stream: bool) -> float:
        """How long a statement may run: as the connection says, and so that its caller still gets the answer.

        A stream may take longer. Raises ConnectionUnusable when what the connection says is no such time.
        """
        said = connection.options.get("statement_seconds", self.statement_seconds)
        if isinstance(said, bool) or not isinstance(said, int | float) or not 0 < said <= _LONGEST_OPTION:
            raise ConnectionUnusable(f"statement_seconds must be a number above 0, at most {_LONGEST_OPTION}")
        return within_deadline(self.stream_seconds if is_stream else min(said, self.longest_statement_seconds))


def within_deadline(seconds: float) -> float:
    """So many seconds, or fewer when the call that is being answered must end before."""
    remaining = calls.time_remaining()
    if remaining is None:
        return seconds
    # So that the database's own time limit comes first: it tells what happened, and nothing has to be cut.
    return min(seconds, max(_LEAST_SECONDS, remaining - _MARGIN_SECONDS))


class Slots:
    """The queries that run: so many of each module, and of all together."""

    def __init__(self, each: int, all_together: int) -> None:
        self._each = each
        self._all = all_together
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, module: str) -> Iterator[None]:
        """Counts a query in for as long as it runs. Raises Overloaded when there are too many."""
        if self._taken[module] >= self._each:
            raise Overloaded(f"the module has {self._each} queries running already; try again", retry_after=1)
        if self._taken.total() >= self._all:
            raise Overloaded("as many queries are running as the limits allow; try again", retry_after=1)
        self._taken[module] += 1
        try:
            yield
        finally:
            self._taken[module] -= 1
            if not self._taken[module]:
                del self._taken[module]
