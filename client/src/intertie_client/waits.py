"""Waiting for what takes longer than a call: a run until its end, a pushed record until it is in its target."""

from collections.abc import Callable
from typing import TypeVar

from intertie_client import operations, reading
from intertie_client.errors import DeadlineExceeded
from intertie_client.models import CachedRecord, Pushed, SyncRun
from intertie_client.plans import Pause, Plan, Terms, call

RUN_TIMEOUT = 300.0
"""Seconds that a run is waited for."""
LANDING_TIMEOUT = 30.0
"""Seconds that a pushed record is waited for."""

_FIRST, _FACTOR, _LONGEST = 0.05, 1.6, 2.0
_LEAST = 0.001

T = TypeVar("T")


def start_sync(
    terms: Terms, system: str, mapping: str, mode: str, range_from: str, range_to: str, timeout: float | None
) -> Plan[SyncRun]:
    """Starts a run, or joins the one that the mapping has."""
    operation = operations.start_sync(system, mapping, mode, range_from, range_to)
    response = yield from call(terms, operation, timeout)
    return reading.sync_run(response.run)


def get_run(terms: Terms, run_id: str, timeout: float | None) -> Plan[SyncRun]:
    """A run as it is."""
    run = yield from call(terms, operations.get_run(run_id), timeout)
    return reading.sync_run(run)


def wait_for_run(terms: Terms, run_id: str, timeout: float) -> Plan[SyncRun]:
    """The run once it has ended. Raises DeadlineExceeded when it has not by then; it goes on all the same."""
    text = f"the run has not ended within {timeout:g} s; it goes on and can be waited for again"

    def look(seconds: float) -> Plan[SyncRun | None]:
        run = yield from get_run(terms, run_id, seconds)
        return run if run.has_ended else None

    return (yield from _until(terms, look, timeout, DeadlineExceeded(text, metadata={"run_id": run_id})))


def run_sync(
    terms: Terms, system: str, mapping: str, mode: str, range_from: str, range_to: str, timeout: float
) -> Plan[SyncRun]:
    """Starts a run and waits for its end."""
    ends = terms.until(timeout)
    run = yield from start_sync(terms, system, mapping, mode, range_from, range_to, min(terms.timeout, timeout))
    return (yield from wait_for_run(terms, run.run_id, max(_LEAST, ends - terms.clock())))


def wait_until_synced(terms: Terms, pushed: Pushed, timeout: float) -> Plan[CachedRecord]:
    """The record once it is in its target, in the pushed state or a later one.

    From when a push is stored until it is in the target the cache does not show the record, so whatever it shows is not
    older. Raises DeadlineExceeded when that takes longer, also for a record that was set aside.
    """
    operation = operations.read_cache(pushed.system, pushed.mapping, pushed.external_id, 1, "")
    text = f"the record is not in its target after {timeout:g} s: it waits, or is set aside (operators see why)"

    def look(seconds: float) -> Plan[CachedRecord | None]:
        page = yield from call(terms, operation, seconds)
        return reading.cached_record(page.data[0]) if page.data else None

    late = DeadlineExceeded(text, metadata={"delivery_id": pushed.delivery_id})
    return (yield from _until(terms, look, timeout, late))


def _until(terms: Terms, look: Callable[[float], Plan[T | None]], timeout: float, late: DeadlineExceeded) -> Plan[T]:
    """What `look` finds within the time that it is given, sought more and more seldom. Raises `late` without any."""
    ends, pause = terms.until(timeout), _FIRST
    while True:
        rest = ends - terms.clock()
        try:
            found = yield from look(min(terms.timeout, max(_LEAST, rest)))
        except DeadlineExceeded as error:
            if rest > terms.timeout:
                raise  # the service is slow, and the wait is not over
            raise late from error
        if found is not None:
            return found
        if ends - terms.clock() <= pause:
            raise late
        yield Pause(pause)
        pause = min(_LONGEST, pause * _FACTOR)
