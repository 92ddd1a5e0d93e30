"""Which failed calls of the client are tried again, when, and how long at most."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intertie_client import errors, operations
from intertie_client.plans import Pause, Send, Terms, call
from intertie_client.retries import NEVER, RetryPolicy
from intertie_client.statements import is_read

AWAY = errors.Unavailable()
OTHERS = [cls for cls in errors.BY_CODE.values() if cls is not errors.Unavailable]


@pytest.mark.parametrize("cls", OTHERS, ids=lambda cls: cls.__name__)
def test_nothing_but_unavailable_is_tried_again(cls: type[errors.IntertieError]) -> None:
    """Whatever time there is, and also where the service named one."""
    assert RetryPolicy().wait(cls(retry_after=0.1), 1, 60, 0.5) is None


def test_waits_grow_and_are_spread() -> None:
    """Doubled from 0.1 s up to 5 s; each is somewhere between none and that."""
    policy = RetryPolicy()
    assert [policy.wait(AWAY, attempt, 60, 1.0) for attempt in (1, 2, 3, 6, 7, 2000)] == [0.1, 0.2, 0.4, 3.2, 5.0, 5.0]
    assert policy.wait(AWAY, 5, 60, 0.0) == 0.0


def test_the_time_that_the_service_names_is_waited_for() -> None:
    """With the jitter on top; when it lies behind the deadline the caller is told at once."""
    named = errors.ExternalUnavailable(retry_after=2.0)
    assert RetryPolicy().wait(named, 1, 60, 0.5) == 2.05
    assert RetryPolicy().wait(named, 1, 2.0, 0.5) is None


def test_attempts_can_be_bounded() -> None:
    """Twice is one time more."""
    assert RetryPolicy(attempts=2).wait(AWAY, 1, 60, 0.5) is not None
    assert RetryPolicy(attempts=2).wait(AWAY, 2, 60, 0.5) is None
    assert NEVER.wait(AWAY, 1, 60, 0.5) is None


@given(st.integers(1, 10_000), st.floats(0, 100), st.floats(0, 1, exclude_max=True), st.none() | st.floats(0, 1e7))
def test_no_wait_ends_behind_the_deadline(attempt: int, remaining: float, chance: float, named: float | None) -> None:
    """For any attempt and chance, and whatever the service says."""
    seconds = RetryPolicy().wait(errors.Unavailable(retry_after=named), attempt, remaining, chance)
    assert seconds is None or (named or 0.0) <= seconds < remaining


class Clock:
    """Time that passes when the plan pauses or a call takes some."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def carried_out(
    operation: operations.Operation[Any], answers: Iterator[Callable[[Clock], Any]], timeout: float | None = None
) -> tuple[Any, list[Send]]:
    """What a call comes to, a value or an error, and what was sent for it."""
    clock, sent = Clock(), list[Send]()
    terms = replace(Terms(), clock=clock, chance=lambda: 0.5)
    plan = call(terms, operation, timeout)
    step = next(plan)
    while True:
        try:
            if isinstance(step, Pause):
                clock.now += step.seconds
                step = plan.send(None)
                continue
            sent.append(step)
            try:
                answer = next(answers)(clock)
            except errors.IntertieError as error:
                step = plan.throw(error)
            else:
                step = plan.send(answer)
        except StopIteration as done:
            return done.value, sent
        except errors.IntertieError as error:
            return error, sent


def fails(error: errors.IntertieError, after: float = 0.0) -> Callable[[Clock], Any]:
    """An answer that is an error, so many seconds later."""

    def answer(clock: Clock) -> Any:
        clock.now += after
        raise error

    return answer


def test_all_attempts_share_one_deadline_and_one_request_id() -> None:
    """Each attempt gets what is left; when nothing is, the last error is raised."""
    again = iter([fails(AWAY, 4.0)] * 9)
    error, sent = carried_out(operations.get_run("R"), again)
    assert error is AWAY
    assert [step.timeout for step in sent] == [10.0, pytest.approx(5.95), pytest.approx(1.85)]
    assert len({step.request_id for step in sent}) == 1


def test_a_push_is_sent_again_under_its_key() -> None:
    """The very same request, so that the second one is a duplicate."""
    operation = operations.push("police", "incidents", b"{}", "key-1")
    found, sent = carried_out(operation, iter([fails(AWAY), fails(AWAY), lambda clock: "stored"]))
    assert found == "stored"
    assert [step.operation.request.idempotency_key for step in sent] == ["key-1"] * 3


def test_what_must_not_be_done_twice_is_sent_once() -> None:
    """The start of a run, a statement that may write, a POST."""
    question = operations.database_query("shop", "DELETE FROM orders WHERE id = 1", None, "", 0, 0)
    for operation in (
        operations.start_sync("police", "incidents", "", "", ""),
        operations.query_database(question),
        operations.stream_database(question),
        operations.query_api("crm", "/notes", "POST", {}, "", 0),
    ):
        error, sent = carried_out(operation, iter([fails(AWAY)]))
        assert (error, len(sent)) == (AWAY, 1), operation.path


def test_a_timeout_is_some_time() -> None:
    """None at all would be an error that looks like a slow service."""
    with pytest.raises(ValueError, match="above 0"):
        next(call(Terms(), operations.get_run("R"), 0))


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT id FROM cases", True),
        ("  -- of today\n select 1", True),
        ("/* a */ (SELECT 1) UNION (SELECT 2)", True),
        ("WITH open AS (SELECT 1) SELECT * FROM open", True),
        ("WITH gone AS (DELETE FROM cases RETURNING id) SELECT * FROM gone", False),
        ("SELECT * INTO copies FROM cases", False),
        ("SELECT id FROM cases FOR UPDATE", False),
        ("INSERT INTO cases VALUES (1)", False),
        ("update cases set a = 1", False),
        ("selection", False),
        ("", False),
    ],
)
def test_only_what_certainly_reads_is_repeated(statement: str, expected: bool) -> None:
    """A doubt counts as writing."""
    assert is_read(statement) is expected
