"""Waiting for what takes longer than a call: a run until its end, a pushed record until it is in its target."""

from intertie_client import operations, reading
from intertie_client.errors import DeadlineExceeded
from intertie_client.models import CachedRecord, Pushed, SyncRun
from intertie_client.plans import Pause, Plan, Terms, call

RUN_TIMEOUT = 300.0
"""Seconds that a run is waited for."""
LANDING_TIMEOUT = 30.0
"""Seconds that a pushed record is waited for."""

_FIRST, _FACTOR, _LONGEST = 0.05, 1.6, 2.0


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
    ends, seconds = terms.until(timeout), _FIRST
    while True:
        run = yield from get_run(terms, run_id, min(terms.timeout, max(0.001, ends - terms.clock())))
        if run.has_ended:
            return run
        if ends - terms.clock() <= seconds:
            text = f"the run has not ended within {timeout:g} s; it goes on and can be waited for again"
            raise DeadlineExceeded(text, metadata={"run_id": run_id, "state": run.state})
        yield Pause(seconds)
        seconds = min(_LONGEST, seconds * _FACTOR)


def run_sync(
    terms: Terms, system: str, mapping: str, mode: str, range_from: str, range_to: str, timeout: float
) -> Plan[SyncRun]:
    """Starts a run and waits for its end."""
    ends = terms.until(timeout)
    run = yield from start_sync(terms, system, mapping, mode, range_from, range_to, min(terms.timeout, timeout))
    return (yield from wait_for_run(terms, run.run_id, max(0.001, ends - terms.clock())))


def wait_until_synced(terms: Terms, pushed: Pushed, timeout: float) -> Plan[CachedRecord]:
    """The record once it is in its target, in the pushed state or a later one.

    From when a push is stored until it is in the target the cache does not show the record, so whatever it shows is not
    older. Raises DeadlineExceeded when that takes longer, also for a record that was set aside.
    """
    ends, seconds = terms.until(timeout), _FIRST
    operation = operations.read_cache(pushed.system, pushed.mapping, pushed.external_id, 1, "")
    while True:
        page = yield from call(terms, operation, min(terms.timeout, max(0.001, ends - terms.clock())))
        if page.data:
            return reading.cached_record(page.data[0])
        if ends - terms.clock() <= seconds:
            text = f"the record is not in its target after {timeout:g} s: it waits, or is set aside (operators see why)"
            raise DeadlineExceeded(text, metadata={"delivery_id": pushed.delivery_id})
        yield Pause(seconds)
        seconds = min(_LONGEST, seconds * _FACTOR)
