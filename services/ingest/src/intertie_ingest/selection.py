"""Which cached records: what a choice narrows by, what is told of one, and where a replay of it goes on."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from intertie_ingest.model import Status

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """Which cached records; what is None does not narrow."""

    ids: tuple[int, ...] | None = None
    system_id: int | None = None
    mapping_ids: tuple[int, ...] | None = None
    external_id: str | None = None
    status: Status | None = None
    error_reason: str | None = None
    #: the one that brought their state
    delivery_id: str | None = None
    #: changed at or after; naive, UTC
    changed_after: datetime | None = None
    #: changed before
    changed_before: datetime | None = None
    #: only those that no time has been set for
    is_waiting: bool = False

    @property
    def in_whole_seconds(self) -> "RecordFilter":
        """The same choice, its times in whole seconds: changes are known to the second, so both ends round up."""
        return replace(
            self, changed_after=_rounded_up(self.changed_after), changed_before=_rounded_up(self.changed_before)
        )


@dataclass(frozen=True, slots=True)
class RecordCount:
    """Cached records of one mapping that stand alike."""

    system_id: int
    mapping_id: int
    status: Status
    error_reason: str
    count: int
    first_changed_at: datetime | None
    last_changed_at: datetime | None


@dataclass(frozen=True, slots=True)
class ReplayPlace:
    """Where a replay of more records than one call takes goes on."""

    #: when its first call was; what was set aside later is left out, or a record that fails again would never end it
    began_at: datetime
    #: the highest number so far: those that wait are taken in this order, each once
    last_id: int
    #: when the last one so far was set aside: they are taken in this order, and what was passed over is not read again
    last_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Replayed:
    """What one call of a replay came to."""

    #: in the order in which they become available
    ids: tuple[int, ...] = ()
    last_available_at: datetime | None = None
    #: where the next call goes on; None when nothing is left
    place: ReplayPlace | None = None


def ranges(ids: Iterable[int]) -> list[str]:
    """The numbers in order, those that follow each other as one: `7-9`, `12`."""
    found: list[list[int]] = []
    for number in sorted(set(ids)):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return [str(first) if first == last else f"{first}-{last}" for first, last in found]


def _rounded_up(moment: datetime | None) -> datetime | None:
    if moment is None or not moment.microsecond:
        return moment
    whole = moment.replace(microsecond=0)
    return whole if whole > datetime.max - _SECOND else whole + _SECOND
