"""Whether and when a call that failed is tried again. Pure: clock and chance are handed in.

Only UNAVAILABLE is tried again, and only what may be done twice. DEADLINE_EXCEEDED has no time left, and
RESOURCE_EXHAUSTED says that there is too much already: what to do then is for the caller to decide.
"""

from dataclasses import dataclass

from intertie_client.errors import IntertieError, Unavailable


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential back-off with full jitter, within the deadline of the call."""

    first: float = 0.1
    """Seconds; the first wait is somewhere between none and this."""
    factor: float = 2.0
    """By which the longest wait grows from one attempt to the next."""
    longest: float = 5.0
    """Seconds beyond which it does not grow."""
    attempts: int | None = None
    """How often a call is tried at most, the first time included; None: as often as its deadline allows."""

    def wait(self, error: IntertieError, attempt: int, remaining: float, chance: float) -> float | None:
        """Seconds to wait before trying again; None: do not.

        A time that the service named is waited for, and the jitter comes on top of it, so that not all come at once.

        Args:
            attempt: how often the call was tried, from 1.
            remaining: seconds until its deadline.
            chance: a random number from 0 up to 1.
        """
        if not isinstance(error, Unavailable) or (self.attempts is not None and attempt >= self.attempts):
            return None
        # Bounded before it is raised: a client that was told to go on for hours must not overflow.
        longest = min(self.longest, self.first * self.factor ** min(attempt - 1, 64))
        seconds = (error.retry_after or 0.0) + longest * chance
        return seconds if seconds < remaining else None


DEFAULT = RetryPolicy()
"""As often as there is time."""

NEVER = RetryPolicy(attempts=1)
"""Tries once."""
