"""How a record ends that failed for no fault of its own: with another try, or set aside when these are used up."""

import random
from collections.abc import Callable, Sequence

from intertie_mapper.errors import Refusal, TargetReason
from intertie_mapper.model import Action, Ending, LeasedRecord, Outcome, set_aside
from intertie_mapping.retrying import MOST_SECONDS

Jitter = Callable[[float, float], float]

_JITTER = 0.2


def retry_seconds(attempts: int, delays: Sequence[int], jitter: Jitter = random.uniform) -> int:
    """Seconds until the next attempt after so many, spread by a fifth either way so that no crowd comes back.

    The last delay is used for all that follow.
    """
    delay = delays[min(max(attempts, 1), len(delays)) - 1]
    return min(MOST_SECONDS, max(1, round(delay * jitter(1 - _JITTER, 1 + _JITTER))))


def is_exhausted(attempts: int, delays: Sequence[int]) -> bool:
    """Whether a record has had its tries: the first, and one after each delay."""
    return attempts > len(delays)


def retry(record: LeasedRecord, table: str, reason: TargetReason, message: str, seconds: int) -> Ending:
    """Another try after so many seconds."""
    return Ending(record, Outcome.RETRY, Action.NONE, table, reason=str(reason), message=message, retry_seconds=seconds)


def after_failure(
    record: LeasedRecord, delays: Sequence[int], table: str, reason: TargetReason, message: str
) -> Ending:
    """Another try after the delay that is next; set aside (retries_exhausted) when there is none."""
    if is_exhausted(record.attempts, delays):
        text = f"it failed {record.attempts} times for no fault of its own, the last time so: {message}"
        return set_aside(record, table, Refusal(TargetReason.RETRIES_EXHAUSTED, "", text))
    return retry(record, table, reason, message, retry_seconds(record.attempts, delays))


def untried(record: LeasedRecord, table: str, seconds: float, jitter: Jitter = random.uniform) -> Ending:
    """The record was not touched, since its target is given a rest for so long: it comes again, at no loss."""
    return Ending(
        record,
        Outcome.RETRY,
        Action.NONE,
        table,
        reason=str(TargetReason.TARGET_PAUSED),
        message=f"{table or 'the target database'} is given a rest after failures; the record waits, at no loss",
        retry_seconds=max(1, round((seconds + 1) * jitter(1, 1 + _JITTER))),
        is_untried=True,
    )
