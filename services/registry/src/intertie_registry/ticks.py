"""When mappings are due to sync: arithmetic on their schedules, with the clock handed in.

The ticks of a mapping are a grid: `next_sync_at` and whole periods before and after it. Each mapping keeps the phase
that it once got, so no tick drifts with the time that its run took, and mappings that were made together do not sync
together. All times are UTC without zone, to the second.

A stored time that lies further ahead than a period and a quarter cannot be of this grid: SQL has made a weekly mapping
an hourly one, a clock was set back, or somebody wrote a time of his own. Waiting for it could take for ever, so the
mapping is due at once, and keeps the phase. Whoever wants to stop a mapping for long deactivates it.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

PERIODS = {"hourly": timedelta(hours=1), "daily": timedelta(days=1), "weekly": timedelta(days=7)}
#: stands in for the time of the last change where SQL left none: a tick needs a moment that stays the same
NO_TIME = datetime(2000, 1, 1)

_MOST_SPREAD = timedelta(minutes=5)
_SECOND = timedelta(seconds=1)
# 2^32 divided by the golden ratio: multiples of it, modulo 2^32, lie evenly for any run of numbers.
_GOLDEN = 2_654_435_769


@dataclass(frozen=True, slots=True)
class Schedule:
    """What of a mapping says when it syncs."""

    mapping_id: int
    system_id: int
    #: one of PERIODS, or a word that no clock starts
    frequency: str
    #: as stored; None: it has had no tick yet
    next_at: datetime | None
    #: when the mapping was last changed, or made
    changed_at: datetime | None

    @property
    def period(self) -> timedelta | None:
        """The time between two ticks; None when only somebody's call starts a sync."""
        return PERIODS.get(self.frequency)


@dataclass(frozen=True, slots=True)
class Tick:
    """A moment at which a mapping is to sync."""

    mapping_id: int
    system_id: int
    due_at: datetime
    #: ticks of the grid after this one that have passed too
    missed: int = 0
    #: of a tick that is taken up: how many of those its run stands for; None: all
    passed_over: int | None = None

    def last_missed(self, period: timedelta) -> datetime:
        """The last of the ticks that have passed; the tick itself when none was missed."""
        return self.due_at + self.missed * period


def due(schedule: Schedule, now: datetime) -> Tick | None:
    """The tick that a mapping owes, if it owes one. The same until it is taken up."""
    period, now = schedule.period, _whole(now)
    if period is None:
        return None
    if schedule.next_at is None:
        # Before the first tick there is no grid yet, so none was missed, however long ago the mapping was made.
        return Tick(schedule.mapping_id, schedule.system_id, _whole(schedule.changed_at or NO_TIME))
    next_at = _whole(schedule.next_at)
    if is_astray(next_at, period, now):
        return Tick(schedule.mapping_id, schedule.system_id, next_at - -(-(next_at - now) // period) * period)
    if next_at > now:
        return None
    return Tick(schedule.mapping_id, schedule.system_id, next_at, missed=(now - next_at) // period)


def taken(schedule: Schedule, due_at: datetime, now: datetime, passed_over: int | None = None) -> Tick | None:
    """The tick that the mapping owes, if it is the one of `due_at`; None when that one is not due any more.

    Of those after it no more count as missed than its run stands for: a run that is older than they are does not.
    """
    owed = due(schedule, now)
    if owed is None:
        return None
    if owed.due_at == due_at:
        return owed if passed_over is None else replace(owed, missed=min(owed.missed, passed_over))
    # Of a time gone astray the tick at hand is the latest of the grid: while its run was made, another may have passed.
    period, next_at = schedule.period, schedule.next_at
    if period is None or next_at is None or not is_astray(next_at, period, now):
        return None
    on_grid = not (_whole(next_at) - due_at) % period
    return owed if on_grid and timedelta(0) <= owed.due_at - due_at <= period else None


def following(schedule: Schedule, tick: Tick, now: datetime) -> datetime:
    """The next tick once `tick` is taken up: the one behind those that were missed with it, and the first in the future
    where there was no grid before, put off by the mapping's spread.

    Raises ValueError for a mapping without a period, which owes no ticks.
    """
    period, now = schedule.period, _whole(now)
    if period is None:
        raise ValueError(f"{schedule.frequency!r} has no ticks")
    if schedule.next_at is not None and not is_astray(_whole(schedule.next_at), period, now):
        return tick.last_missed(period) + period
    base = min(tick.due_at, now)
    at = base + ((now - base) // period + 1) * period
    return at if schedule.next_at is not None else at + spread(schedule.mapping_id, period)


def passed(schedule: Schedule, now: datetime) -> Tick | None:
    """The tick that is due and those after it, where the mapping has a grid; None before its first tick."""
    if schedule.period is None or schedule.next_at is None or is_astray(_whole(schedule.next_at), schedule.period, now):
        return None
    return due(schedule, now)


def after_call(schedule: Schedule, finished_at: datetime, now: datetime) -> datetime | None:
    """The next tick after a sync that somebody asked for: a whole period away. None without a period."""
    period = schedule.period
    if period is None:
        return None
    # Not beyond our own clock: the caller's may be ahead. What was told late must not look like ticks missed.
    now = _whole(now)
    at = min(_whole(finished_at), now) + period + spread(schedule.mapping_id, period)
    return at + max(0, (now - at) // period) * period


def after_change(before: Schedule, after: Schedule, now: datetime, *, is_resumed: bool = False) -> datetime | None:
    """`next_sync_at` of a mapping whose frequency was changed, or that was made active again (`is_resumed`).

    None, which is due at once, when there was no schedule before, or the next tick is too far away for the new one. A
    tick that is due stays so, but those that passed under the old schedule, or while the mapping rested, were no ticks
    of this one: they do not count as missed.
    """
    next_at, period, now = after.next_at, after.period, _whole(now)
    if period is None or before.period is None or next_at is None or is_astray(next_at, period, now):
        return None
    if next_at <= now and (is_resumed or before.frequency != after.frequency):
        return _whole(next_at) + (now - _whole(next_at)) // period * period
    return next_at


def spread(mapping_id: int, period: timedelta) -> timedelta:
    """How long the first tick of a mapping is put off: the same each time, up to 5 % of the period and five minutes."""
    most = min(period / 20, _MOST_SPREAD) // _SECOND
    return timedelta(seconds=(mapping_id * _GOLDEN % 2**32) * (most + 1) >> 32)


def is_astray(next_at: datetime, period: timedelta, now: datetime) -> bool:
    """Whether the time is too far ahead to be the next tick."""
    return next_at - now > period * 5 / 4


def _whole(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)
