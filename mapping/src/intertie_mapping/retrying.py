"""The `retry` part of a mapping's configuration: when a record that failed for no fault of its own is tried again."""

from __future__ import annotations

from intertie_mapping.values import JsonObject, JsonValue

DELAYS = (5, 30, 120, 600, 1800, 7200, 18_000, 36_000)
"""Seconds after the first attempt, the second, …; with them used up the record is set aside."""

KEYS = ("delays_seconds",)
MOST_DELAYS = 20
MOST_SECONDS = 7 * 24 * 3600

Problem = tuple[str, str]


def delays_of(retry: JsonObject) -> tuple[int, ...]:
    """The delays that it says; the usual ones where it says nothing, or what cannot be used."""
    delays = retry.get("delays_seconds")
    if not isinstance(delays, list) or _check_delays(delays):
        return DELAYS
    return tuple(delay for delay in delays if isinstance(delay, int))


def check_retry(retry: JsonObject) -> list[Problem]:
    """The problems, as (path inside of `retry`, text). Null is as good as left out."""
    problems = [(key, f"unknown; the keys are {', '.join(KEYS)}") for key in sorted(retry.keys() - set(KEYS))]
    delays = retry.get("delays_seconds")
    return problems if delays is None else problems + _check_delays(delays)


def _check_delays(delays: JsonValue) -> list[Problem]:
    if not isinstance(delays, list) or not 1 <= len(delays) <= MOST_DELAYS:
        return [("delays_seconds", f"must be a list of 1 to {MOST_DELAYS} numbers of seconds")]
    return [
        (f"delays_seconds[{position}]", f"must be a whole number from 1 to {MOST_SECONDS}")
        for position, delay in enumerate(delays)
        if type(delay) is not int or not 1 <= delay <= MOST_SECONDS
    ]
