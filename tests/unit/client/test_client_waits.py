"""How the client waits for runs and records: how often it looks, and what it says when the time is over."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from intertie.ingest.v1 import ingest_pb2, sync_pb2
from intertie_client import errors
from intertie_client.models import Pushed
from intertie_client.plans import Pause, Plan, Send, Terms
from intertie_client.waits import wait_for_run, wait_until_synced

RUNNING, ENDED = sync_pb2.SyncRun(run_id="R", state="running"), sync_pb2.SyncRun(run_id="R", state="failed")
PUSHED = Pushed("police", "incidents", "1", "D", False)
SLOW = errors.DeadlineExceeded("the service did not answer in time")


def carried_out(plan: Callable[[Terms], Plan[Any]], answer: Callable[[float], Any]) -> tuple[Any, list[float]]:
    """What the plan comes to, a value or an error, and the timeouts of its calls. `answer` is told the time;
    an error takes all the time that its call had.
    """
    now, timeouts = [0.0], list[float]()
    steps = plan(replace(Terms(), clock=lambda: now[0], chance=lambda: 0.5))
    try:
        step = next(steps)
        while True:
            if isinstance(step, Pause):
                now[0] += step.seconds
                step = steps.send(None)
                continue
            assert isinstance(step, Send)
            timeouts.append(step.timeout)
            found = answer(now[0])
            if isinstance(found, errors.IntertieError):
                now[0] += step.timeout
                step = steps.throw(found)
            else:
                step = steps.send(found)
    except StopIteration as done:
        return done.value, timeouts
    except errors.IntertieError as error:
        return error, timeouts


def test_a_run_that_ends_is_found_soon_and_looked_at_seldom() -> None:
    """However it ended; two minutes of waiting are some seventy looks."""
    run, timeouts = carried_out(
        lambda terms: wait_for_run(terms, "R", 300), lambda now: ENDED if now > 120 else RUNNING
    )
    assert run.state == "failed"
    assert len(timeouts) < 75
    assert max(timeouts) == 10


def test_a_wait_that_is_over_says_that_the_run_goes_on() -> None:
    """Also when its last look was not answered any more: that is the same wait."""
    for answer in (lambda now: RUNNING, lambda now: RUNNING if now < 0.1 else SLOW):
        error, timeouts = carried_out(lambda terms: wait_for_run(terms, "R", 5), answer)
        assert isinstance(error, errors.DeadlineExceeded)
        assert ("goes on" in error.message, error.metadata) == (True, {"run_id": "R"})
        assert max(timeouts) <= 5


def test_a_service_that_is_slow_is_told_as_such() -> None:
    """While the wait has time left."""
    error, timeouts = carried_out(lambda terms: wait_for_run(terms, "R", 300), lambda now: SLOW)
    assert error is SLOW
    assert timeouts == [10]


def test_a_record_is_waited_for_until_the_cache_shows_it() -> None:
    """Else the error names its delivery and what may be."""
    page = ingest_pb2.ReadCacheResponse(data=[ingest_pb2.Record(external_id="1", data_json=b"{}")])
    nothing = ingest_pb2.ReadCacheResponse()
    found, _ = carried_out(lambda terms: wait_until_synced(terms, PUSHED, 30), lambda now: page if now > 1 else nothing)
    assert found.external_id == "1"
    error, _ = carried_out(lambda terms: wait_until_synced(terms, PUSHED, 30), lambda now: nothing)
    assert ("set aside" in error.message, error.metadata) == (True, {"delivery_id": "D"})


@pytest.mark.parametrize("seconds", [0, -1])
def test_no_time_at_all_is_no_wait(seconds: float) -> None:
    """It would look like a run that takes long."""
    with pytest.raises(ValueError, match="above 0"):
        next(wait_for_run(Terms(), "R", seconds))
