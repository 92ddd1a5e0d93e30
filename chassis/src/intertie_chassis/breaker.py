"""Decides whether a store is away, from what became of the work on it. Pure: the clock is handed in.

An error is never enough. A killed connection, a full pool, a deadlock and a caller that gave up look like an outage to
the one that meets them, and to nobody else. So errors and slowness are only reasons to *look*, by a connection of the
look's own, and only a look that gets no answer, while nothing else gets one either, says that the store is away.

A store may also answer and yet commit nothing: its disk hangs, or somebody holds a lock on everything. Then
transactions are refused but for one a second, which finds out when it is over.
"""

import math

_LOOK_SECONDS = 1.0
_TRIAL_SECONDS = 1.0
_LEAST_SECONDS = 1.0
_MOST_TIMEOUTS = 2
_MOST_REFUSALS = 3
_REFUSAL_SECONDS = 10.0
_TIMEOUT_SECONDS = 60.0
"""After which a transaction that ran out of time is forgotten: two that are hours apart are no stall."""


class Breaker:
    """What is known of one store. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self.is_away = False
        """Whether the last look found the store away."""
        self.served = 0
        """How often the store has answered somebody."""
        self._looked_at = -math.inf
        self._timeouts = 0
        self._ran_out_at = -math.inf
        self._tried_at = -math.inf
        self._refusals = 0
        self._refused_at = -math.inf

    def admits(self, now: float, *, writes: bool) -> bool:
        """Whether to let a read, or a transaction, have its try."""
        if self.is_away:
            return False
        if not writes or not self.is_stalled(now):
            return True
        if now - self._tried_at < _TRIAL_SECONDS:
            return False
        self._tried_at = now
        return True

    def is_stalled(self, now: float) -> bool:
        """Whether it commits nothing: transactions ran out of time, the last one lately, with no commit between."""
        return self._timeouts >= _MOST_TIMEOUTS and now - self._ran_out_at <= _TIMEOUT_SECONDS

    def answered(self) -> None:
        """The store answered somebody, if only by refusing a value."""
        self.served += 1

    def ended(self) -> None:
        """A transaction that changed nothing was committed: that proves nothing of those that do, but it is the next
        one's turn to try.
        """
        self.served += 1
        self._tried_at = -math.inf

    def committed(self) -> None:
        """A transaction that changed rows was committed: whatever stood in the way of others is over."""
        self.served += 1
        self._timeouts = self._refusals = 0

    def ran_out(self, seconds: float, now: float) -> None:
        """A transaction did not end within its time; one that had less than a second tells nothing of the store."""
        if seconds < _LEAST_SECONDS:
            return
        self._timeouts = 1 if now - self._ran_out_at > _TIMEOUT_SECONDS else self._timeouts + 1
        self._ran_out_at = now

    def refused(self, now: float) -> None:
        """The store answered that it cannot write: its disk is full or fails, or it has been made read-only."""
        self.served += 1
        self._refusals += 1
        self._refused_at = now

    def is_refusing(self, now: float) -> bool:
        """Whether it refused to write, several times without a commit between, the last time a moment ago.

        A moment only: who is not ready gets no work, and without work would never find out that it is over.
        """
        return self._refusals >= _MOST_REFUSALS and now - self._refused_at < _REFUSAL_SECONDS

    def wants_look(self, now: float) -> bool:
        """Whether there is reason to look now that somebody suspects; at most once a second."""
        if now - self._looked_at < _LOOK_SECONDS:
            return False
        self._looked_at = now
        return True

    def looked(self, answers: bool, served_before: int) -> bool:
        """Takes what a look found that began when so many had been served; gives whether this changed `is_away`."""
        was_away = self.is_away
        if answers:
            self.is_away = False
            if was_away:
                self._timeouts = self._refusals = 0
        elif self.served == served_before:
            self.is_away = True
        return self.is_away != was_away
