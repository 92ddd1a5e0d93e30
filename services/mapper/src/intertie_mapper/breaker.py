"""A circuit breaker: after failures in a row nothing is sent for a while, then a little, then everything again."""

import enum
from collections.abc import Hashable, Iterable, Sequence


class State(enum.Enum):
    """What a breaker lets through."""

    CLOSED = "closed"
    """Everything."""
    OPEN = "open"
    """Nothing, until its pause is over."""
    HALF_OPEN = "half_open"
    """One trial at a time."""


class Admission(enum.Enum):
    """The answer to who wants through."""

    ALL = "all"
    TRIAL = "trial"
    """A little, whose end must be told: by `succeeded`, `failed` or `gave_up`."""
    NONE = "none"


class Breaker:
    """The state machine; times are seconds of one clock, which the caller reads.

    Closed, it opens once so many different ones have failed with no success in between: one that fails again and again
    is at fault itself. Open, it pauses; then it is half-open, and a trial decides. Each trial that fails makes the next
    pause longer. A success closes it whenever it comes.
    """

    def __init__(self, *, failures: int, pauses: Sequence[float], trial_seconds: float = 60.0) -> None:
        """Args:
        failures: how many different ones must fail.
        pauses: seconds of the first pause, the second, …; the last is used for all that follow.
        trial_seconds: after which a trial whose end nobody told is forgotten.
        """
        self._most = failures
        self._pauses = tuple(pauses)
        self._trial_seconds = trial_seconds
        self._failed: set[Hashable] = set()
        self._openings = 0
        self._open_until: float | None = None
        self._trial_until: float | None = None

    def state(self, now: float) -> State:
        """Which state it is in."""
        if self._open_until is None:
            return State.CLOSED
        return State.OPEN if now < self._open_until else State.HALF_OPEN

    def wait(self, now: float) -> float:
        """Seconds until a trial may be; 0 when it is not open."""
        return 0.0 if self._open_until is None else max(0.0, self._open_until - now)

    def admit(self, now: float) -> Admission:
        """How much may pass. A trial is taken with it."""
        state = self.state(now)
        if state is State.CLOSED:
            return Admission.ALL
        if state is State.OPEN or (self._trial_until is not None and now < self._trial_until):
            return Admission.NONE
        self._trial_until = now + self._trial_seconds
        return Admission.TRIAL

    def succeeded(self) -> bool:
        """Something got through; gives whether that closed it."""
        was_open = self._open_until is not None
        self._failed.clear()
        self._openings, self._open_until, self._trial_until = 0, None, None
        return was_open

    def failed(self, now: float, by: Iterable[Hashable]) -> bool:
        """These failed; gives whether that opened it.

        What fails while it is open had begun before, and says nothing new.
        """
        state = self.state(now)
        self._failed.update(by)
        if state is State.OPEN or (state is State.CLOSED and len(self._failed) < self._most):
            return False
        self._failed.clear()
        self._open_until = now + self._pauses[min(self._openings, len(self._pauses) - 1)]
        self._openings += 1
        self._trial_until = None
        return True

    def gave_up(self) -> None:
        """The trial ended without showing anything: the next one may try."""
        self._trial_until = None
