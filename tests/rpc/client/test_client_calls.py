"""Calls of both clients through a real server: what is tried again, deadlines, what goes along, and how they end."""

import asyncio
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

import processes
from client_rig import Calling, Scripted, accepted, serving
from intertie.ingest.v1 import ingest_pb2, sync_pb2
from intertie_chassis import calls
from intertie_chassis import errors as chassis_errors
from intertie_chassis.identity import KeyRing
from intertie_client import Cancelled, DeadlineExceeded, IntertieError, RateLimited, RetryPolicy, Unavailable

NewClient = Callable[..., Calling]
PUSH = ("push", "police", "incidents", {"id": 1})


def raising(*errors: Exception) -> Callable[[Any, Any], Any]:
    """An answer that fails so often, then none in particular."""
    left = list(errors)

    async def answer(_request: Any, _context: Any) -> None:
        if left:
            raise left.pop(0)

    return answer


async def test_what_is_away_is_asked_again_until_it_is_back(client: Calling, scripted: Scripted) -> None:
    """Under one key and one request id; the caller sees nothing of it."""
    away = chassis_errors.Unavailable(retry_after=0.01)
    scripted.answers["Push"] = raising(away, away)
    pushed = await client(*PUSH)
    assert pushed.delivery_id == "D"
    assert len(scripted.asked) == 3
    assert len({request.idempotency_key for _, request, _ in scripted.asked} - {""}) == 1
    assert len(set(scripted.metadata("x-request-id"))) == 1


async def test_a_service_that_is_not_there_yet_is_waited_for(
    new_client: NewClient, keys: KeyRing, scripted: Scripted, free_port: int
) -> None:
    """What may be done twice is tried again; the start of a run waits for a connection, and is sent once."""
    calling = new_client(f"127.0.0.1:{free_port}", timeout=20)
    asked = [asyncio.create_task(calling(*one)) for one in (PUSH, ("start_sync", "police", "incidents"))]
    done, _ = await asyncio.wait(asked, timeout=0.3)
    assert not done
    async with serving(keys, scripted, f"127.0.0.1:{free_port}"):
        pushed, run = await asyncio.gather(*asked)
    assert (pushed.delivery_id, run.run_id) == ("D", "R")
    assert sorted(method for method, _, _ in scripted.asked) == ["Push", "RunSync"]


async def test_the_start_of_a_run_is_never_sent_twice(client: Calling, scripted: Scripted) -> None:
    """A second one might begin another run."""
    scripted.answers["RunSync"] = raising(chassis_errors.Unavailable(retry_after=0.01))
    with pytest.raises(Unavailable):
        await client("run_sync", "police", "incidents")
    assert [method for method, _, _ in scripted.asked] == ["RunSync"]


async def test_what_has_no_time_left_ends(client: Calling, scripted: Scripted) -> None:
    """The service is told the deadline, 10 s unless the call says otherwise, and is not asked a second time."""
    given = []

    async def answer(request: Any, _context: Any) -> Any:
        given.append(calls.time_remaining())
        if len(given) == 2:
            await asyncio.Event().wait()
        return accepted(request)

    scripted.answers["Push"] = answer
    await client(*PUSH)
    with pytest.raises(DeadlineExceeded):
        await client(*PUSH, timeout=0.3)
    assert len(given) == 2
    # gRPC rounds what it sends up
    assert 5 < given[0] < 11
    assert given[1] < 0.5


async def test_retries_end_with_the_deadline_or_the_policy(
    new_client: NewClient, address: str, scripted: Scripted
) -> None:
    """A time that the service names and that lies behind the deadline is not waited for."""
    scripted.answers["Push"] = raising(*[chassis_errors.Unavailable(retry_after=60)] * 9)
    with pytest.raises(Unavailable) as error:
        await new_client(address)(*PUSH)
    assert (len(scripted.asked), error.value.retry_after) == (1, 60)
    with pytest.raises(Unavailable):
        await new_client(address, retry=RetryPolicy(attempts=1))(*PUSH)
    assert len(scripted.asked) == 2


async def test_too_much_is_for_the_caller_to_decide(client: Calling, scripted: Scripted) -> None:
    """Told at once, with when to come again; of many pushes by each that was not stored."""
    scripted.answers["Push"] = raising(*[chassis_errors.ResourceExhausted(reason="RATE_LIMITED", retry_after=7)] * 2)
    with pytest.raises(RateLimited) as error:
        await client(*PUSH)
    assert (error.value.retry_after, error.value.reason, len(scripted.asked)) == (7, "RATE_LIMITED", 1)
    outcomes = await client("push_many", "police", "incidents", [{"id": 1}, {"id": 2}])
    assert [type(outcome.error) for outcome in outcomes] == [RateLimited] * 2
    assert len(scripted.asked) == 2


async def test_a_new_token_in_the_file_is_sent_with_the_next_call(
    new_client: NewClient, keys: KeyRing, address: str, scripted: Scripted, tmp_path: Path
) -> None:
    """With no restart; the name of the module is what the token says."""
    file = tmp_path / "token"
    tokens = [keys.issue("module:events", f"tester {number}") for number in range(2)]
    file.write_text(tokens[0])
    calling = new_client(address, token=file)
    await calling(*PUSH)
    (tmp_path / "next").write_text(tokens[1])
    (tmp_path / "next").replace(file)
    await calling(*PUSH)
    assert scripted.metadata("authorization") == [f"Bearer {token}" for token in tokens]


async def test_a_refused_token_says_so_and_shows_none(new_client: NewClient, address: str) -> None:
    """Nothing that is printed of the error holds it, nor does what caused it."""
    with pytest.raises(IntertieError) as error:
        await new_client(address, token="not-a-token")(*PUSH)
    assert error.value.code == "UNAUTHENTICATED"
    assert "not-a-token" not in f"{error.value} {error.value!r} {error.value.__cause__!r}"


async def test_metadata_and_the_trace_go_along(new_client: NewClient, address: str, scripted: Scripted) -> None:
    """Also of a page that is asked for ahead; an error has the id under which the service knows the call."""

    async def page(request: Any, _context: Any) -> Any:
        following = "" if request.page_token else "2"
        return ingest_pb2.ReadCacheResponse(data=[ingest_pb2.Record(data_json=b"{}")], next_page_token=following)

    scripted.answers = {"ReadCache": page, "Push": raising(chassis_errors.NotFound())}
    numbers = count(1)
    calling = new_client(address, metadata=lambda: [("x-tenant", f"t{next(numbers)}")])
    with TracerProvider().get_tracer("test").start_as_current_span("asking") as span:
        await calling.taken(calling.client.read_cache("police"))
        with pytest.raises(IntertieError) as error:
            await calling(*PUSH)
    traces = scripted.metadata("traceparent")
    assert [f"{span.get_span_context().trace_id:032x}" in trace for trace in traces] == [True] * 3
    assert scripted.metadata("x-tenant") == ["t1", "t2", "t3"]
    assert error.value.request_id == scripted.metadata("x-request-id")[-1]


async def test_a_close_lets_calls_end_and_takes_no_more(client: Calling, scripted: Scripted) -> None:
    """A call under way is answered; a later one is told that the client is closed."""
    here, go_on = asyncio.Event(), asyncio.Event()

    async def answer(_request: Any, _context: Any) -> None:
        here.set()
        await go_on.wait()

    scripted.answers["Push"] = answer
    push = asyncio.create_task(client(*PUSH))
    await here.wait()
    close = asyncio.create_task(client("close", grace=10))
    await asyncio.wait({close}, timeout=0.1)
    assert not close.done()
    go_on.set()
    assert (await push).delivery_id == "D"
    await close
    with pytest.raises(RuntimeError, match="closed"):
        await client(*PUSH)


async def test_a_close_without_patience_cuts_what_is_left(client: Calling, scripted: Scripted) -> None:
    """The call ends with an error of ours, not with a cancellation that would end the caller's task."""
    here = asyncio.Event()

    async def answer(_request: Any, _context: Any) -> None:
        here.set()
        await asyncio.Event().wait()

    scripted.answers["Push"] = answer
    push = asyncio.create_task(client(*PUSH))
    await here.wait()
    await client("close", grace=0.05)
    with pytest.raises(Cancelled):
        await push


async def test_who_is_cancelled_cancels_the_call(address: str, keys: KeyRing, scripted: Scripted) -> None:
    """The service stops working for nobody, and the line is given back, so that a close does not wait."""
    here, gone = asyncio.Event(), asyncio.Event()

    async def answer(_request: Any, _context: Any) -> None:
        here.set()
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()

    scripted.answers["Push"] = answer
    calling = Calling("async", address, token=keys.issue("module:events", "tester"))
    push = asyncio.create_task(calling(*PUSH))
    await here.wait()
    push.cancel()
    with pytest.raises(asyncio.CancelledError):
        await push
    await asyncio.wait_for(gone.wait(), 10)
    await calling("close", grace=60)


async def test_a_client_belongs_to_its_loop(address: str, keys: KeyRing) -> None:
    """In another one it says so; gRPC would hang."""
    calling = Calling("async", address, token=keys.issue("module:events", "tester"))
    await calling(*PUSH)

    def elsewhere() -> str:
        try:
            asyncio.run(calling.client.push("police", "incidents", {"id": 1}))
        except RuntimeError as error:
            return str(error)
        return "was answered"

    assert "another event loop" in await asyncio.to_thread(elsewhere)
    await calling("close")


async def test_many_threads_share_a_client(address: str, keys: KeyRing, scripted: Scripted) -> None:
    """Each gets its own answer."""

    async def answer(request: Any, _context: Any) -> Any:
        response = accepted(request)
        response.acceptance.external_ids[0] = request.data.decode()
        return response

    scripted.answers["Push"] = answer
    calling = Calling("blocking", address, token=keys.issue("module:events", "tester"))
    pushes = [calling("push", "police", "incidents", b'{"id":%d}' % number) for number in range(200)]
    found = await asyncio.gather(*pushes)
    assert [pushed.external_id for pushed in found] == [f'{{"id":{number}}}' for number in range(200)]
    await calling("close")


async def test_a_run_is_watched_until_its_end(client: Calling, scripted: Scripted) -> None:
    """Looked at again and again; when the time is over it goes on, and says so."""
    states = iter(["queued", "running", "settling", "succeeded"])

    async def answer(_request: Any, _context: Any) -> Any:
        return sync_pb2.SyncRun(run_id="R", state=next(states, "running"))

    scripted.answers["GetRun"] = answer
    assert (await client("run_sync", "police", "incidents")).succeeded
    run = await client("start_sync", "police", "incidents")
    with pytest.raises(DeadlineExceeded, match="goes on") as error:
        await client.of(run, "wait", timeout=0.3)
    assert error.value.metadata["run_id"] == "R"
    assert (await client.of(run, "refresh")).state == "running"


async def test_a_name_nobody_listens_under_is_away(new_client: NewClient) -> None:
    """As any service that is away; no address of ours is in the text."""
    port = processes.free_port()
    with pytest.raises(Unavailable) as error:
        await new_client(f"127.0.0.1:{port}", timeout=0.5)(*PUSH)
    assert str(port) not in str(error.value)
