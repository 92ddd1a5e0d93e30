"""How much waits for mapper, as it is shown."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much is not in its target yet."""

    #: number of records by state: ready, leased, waiting, held, set_aside
    records: dict[str, int]
    #: for how long the record that is ready the longest has been; 0 when none is
    oldest_seconds: float
