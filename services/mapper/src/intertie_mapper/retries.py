"""When a record that could not be applied for no fault of its own is tried again."""

import random
from collections.abc import Callable

DELAYS = (5, 30, 120, 600, 1800, 7200, 18_000, 36_000)
"""Seconds after the first attempt, the second, …; the last is used for all that follow."""

_JITTER = 0.2


def retry_seconds(attempts: int, jitter: Callable[[float, float], float] = random.uniform) -> int:
    """Seconds until the next attempt after so many, spread by a fifth either way so that no crowd comes back."""
    delay = DELAYS[min(max(attempts, 1), len(DELAYS)) - 1]
    return max(1, round(delay * jitter(1 - _JITTER, 1 + _JITTER)))


def is_exhausted(attempts: int) -> bool:
    """Whether a record that fails for a reason other than an absent database has had its tries."""
    return attempts > len(DELAYS)
