"""What every call of every service gets: identity, errors as statuses, deadlines, request ids, limits."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue as Text
from google.rpc import error_details_pb2, status_pb2
from structlog.testing import capture_logs

from intertie_chassis import calls, errors, guard
from intertie_chassis.identity import FixedToken, current_principal
from waiting import eventually

SHAPES = ["Say", "Count", "Join", "Chat"]


async def _requests(*texts: Any) -> AsyncIterator[Any]:
    for text in texts:
        yield text


async def _ask(method: Any, name: str, request: Any, **options: Any) -> Any:
    """Calls a method of any shape with one request; gives the first answer."""
    argument = _requests(request) if name in ("Join", "Chat") else request
    call = method(argument, **options)
    if name in ("Count", "Chat"):
        answers = [answer async for answer in call]
        return answers[0]
    return await call


def _status_of(error: grpc.aio.AioRpcError) -> tuple[status_pb2.Status, error_details_pb2.ErrorInfo]:
    return _status_in(error.trailing_metadata())


def _status_in(metadata: Any) -> tuple[status_pb2.Status, error_details_pb2.ErrorInfo]:
    trailing = dict(metadata or ())
    status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return status, info


@pytest.mark.parametrize("name", SHAPES)
async def test_each_shape_answers_a_caller_with_a_token(echo: Any, name: str) -> None:
    answer = await _ask(echo.method(name), name, Text(value="a"))
    assert answer.value.startswith("a")


@pytest.mark.parametrize("name", SHAPES)
async def test_without_a_token_nothing_answers(echo: Any, name: str) -> None:
    method = echo.method(name, echo.raw_channel())
    # A stream of requests sends none: grpc's client takes a refusal that comes while it sends for a failure of its own.
    call = method() if name in ("Join", "Chat") else method(Text(value="a"))
    assert await call.code() is grpc.StatusCode.UNAUTHENTICATED
    assert _status_in(await call.trailing_metadata())[1].reason == "UNAUTHENTICATED"


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\x0a\x02\xff\xfe"], ids=["garbage", "not UTF-8"])
async def test_undecodable_bytes_are_the_callers_fault(echo: Any, name: str, data: bytes) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        await _ask(echo.method(name, is_raw=True), name, data)
    assert caught.value.reason == "MALFORMED_REQUEST"


async def test_undecodable_bytes_inside_a_stream_end_it(echo: Any) -> None:
    call = echo.method("Chat", is_raw=True)(_requests(Text(value="a").SerializeToString(), b"\xff\xff"))
    assert Text.FromString(await anext(call)).value == "a"
    with pytest.raises(errors.InvalidArgument):
        await anext(call)


async def test_an_error_arrives_as_it_was_raised(echo: Any) -> None:
    async def fail(_request: Any, _context: Any) -> Any:
        raise errors.FailedPrecondition(
            "the system has grants",
            reason="RESOURCE_IN_USE",
            metadata={"grants": "2"},
            retry_after=1.5,
            violations=[("system.name", "is in use")],
        )

    echo.servicer.answer = fail
    with pytest.raises(errors.FailedPrecondition) as caught:
        await echo.method("Say")(Text())
    error = caught.value
    assert (error.message, error.reason, error.metadata) == (
        "the system has grants",
        "RESOURCE_IN_USE",
        {"grants": "2"},
    )
    assert (error.retry_after, error.violations) == (1.5, (("system.name", "is in use"),))


async def test_an_error_with_very_much_to_say_still_arrives_as_itself(echo: Any) -> None:
    much = "Größe – 大小 " * 500

    async def fail(_request: Any, _context: Any) -> Any:
        raise errors.InvalidArgument(much, metadata={"x": much}, violations=[(f"field{n}", much) for n in range(300)])

    echo.servicer.answer = fail
    with pytest.raises(errors.InvalidArgument) as caught:
        await echo.method("Say")(Text())
    assert caught.value.message.startswith("Größe – 大小")
    assert caught.value.violations[-1][1].endswith(" more")


@pytest.mark.parametrize("name", ["Say", "Count"])
async def test_what_goes_wrong_inside_stays_inside(echo: Any, name: str) -> None:
    async def fail(_request: Any, _context: Any) -> Any:
        raise RuntimeError("password hunter2 at /srv/secret")

    async def fail_later(_request: Any, _context: Any) -> AsyncIterator[Any]:
        yield Text(value="first")
        raise RuntimeError("password hunter2 at /srv/secret")

    echo.servicer.answer, echo.servicer.answers = fail, fail_later
    token = echo.keys.issue("viewer")
    metadata = (("authorization", f"Bearer {token}"), ("x-request-id", "request-7"))
    with capture_logs() as logged, pytest.raises(grpc.aio.AioRpcError) as caught:
        await _ask(echo.method(name, echo.raw_channel()), name, Text(), metadata=metadata)
    status, info = _status_of(caught.value)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert info.reason == "INTERNAL"
    assert "hunter2" not in str(status)
    assert dict(caught.value.trailing_metadata() or ())["x-request-id"] == "request-7"
    assert any("hunter2" in str(event.get("exc_info")) for event in logged)


async def test_an_answer_of_the_wrong_type_is_our_fault_and_says_nothing(echo: Any) -> None:
    async def wrong(_request: Any, _context: Any) -> Any:
        return {"no": "message"}

    echo.servicer.answer = wrong
    metadata = (("authorization", f"Bearer {echo.keys.issue('viewer')}"),)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await echo.method("Say", echo.raw_channel())(Text(), metadata=metadata)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "dict" not in str(_status_of(caught.value)[0])


async def test_a_cancellation_that_escapes_a_handler_is_answered(echo: Any) -> None:
    """Regression of grpc #29248: such a call used to leave its caller waiting for ever."""

    async def fail(_request: Any, _context: Any) -> Any:
        raise asyncio.CancelledError

    echo.servicer.answer = fail
    with pytest.raises(errors.Unavailable):
        await echo.method("Say")(Text(), timeout=10)


async def test_a_caller_that_goes_away_cancels_the_handler(echo: Any) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def wait(_request: Any, _context: Any) -> Any:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    echo.servicer.answer = wait
    with capture_logs() as logged:
        call = asyncio.create_task(echo.method("Say")(Text(), timeout=30))
        await began.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(10):
            await ended.wait()
        await eventually(lambda: [event for event in logged if event.get("code") == "CANCELLED"], timeout=10)


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("admin", {"Say", "Operate", "Manage"}),
        ("operator", {"Say", "Operate"}),
        ("viewer", {"Say"}),
        ("module:events", {"Say"}),
        ("service:gateway", {"Say", "Serve"}),
        ("service:mapper", {"Say"}),
    ],
)
async def test_a_role_may_call_what_the_contract_says_and_nothing_else(echo: Any, role: str, allowed: set[str]) -> None:
    channel = echo.channel(role)
    answered = set()
    for name in ("Say", "Operate", "Manage", "Serve", "Forgotten"):
        try:
            await echo.method(name, channel)(Text())
            answered.add(name)
        except errors.PermissionDenied:
            continue
    assert answered == allowed


async def test_a_handler_knows_who_calls(echo: Any) -> None:
    async def who(_request: Any, _context: Any) -> Any:
        principal = current_principal()
        return Text(value=f"{principal.role} {principal.name} {principal.subject}")

    echo.servicer.answer = who
    answer = await echo.method("Say", echo.channel("module:events"))(Text())
    assert answer.value == "module events tester"


@pytest.mark.parametrize(
    "values",
    [["Basic abc"], ["Bearer "], ["Bearer not.a.token"], ["Bearer " + "a" * 5000], ["Bearer a", "Bearer b"], ["token"]],
)
async def test_an_authorization_that_is_no_token_is_refused(echo: Any, values: list[str]) -> None:
    metadata = [("authorization", value) for value in values]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await echo.method("Say", echo.raw_channel())(Text(), metadata=metadata)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_an_unknown_method_needs_a_token_and_then_says_so(echo: Any) -> None:
    with pytest.raises(errors.Unimplemented) as caught:
        await echo.channel().unary_unary("/intertie.chassis_test.v1.EchoService/Nothing")(b"")
    assert caught.value.reason == "UNIMPLEMENTED"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await echo.raw_channel().unary_unary("/intertie.chassis_test.v1.EchoService/Nothing")(b"")
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_call_without_time_left_is_refused_before_its_handler(
    echo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    async def note(request: Any, _context: Any) -> Any:
        asked.append(request)
        return request

    echo.servicer.answer = note
    monkeypatch.setattr(guard, "DEADLINE_MARGIN", 60.0)  # so that a busy machine cannot blur who gave up
    with pytest.raises(errors.DeadlineExceeded, match="leaves no time"):
        await echo.method("Say")(Text(), timeout=30)
    assert asked == []


async def test_a_slow_handler_is_answered_for_before_its_caller_gives_up(
    echo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wait(_request: Any, _context: Any) -> Any:
        await asyncio.Event().wait()

    echo.servicer.answer = wait
    monkeypatch.setattr(guard, "DEADLINE_MARGIN", 29.5)
    with capture_logs() as logged, pytest.raises(errors.DeadlineExceeded):
        await echo.method("Say")(Text(), timeout=30)
    await eventually(lambda: [event for event in logged if event.get("code") == "DEADLINE_EXCEEDED"], timeout=10)


async def test_a_timeout_of_the_handlers_own_is_not_taken_for_the_deadline(echo: Any) -> None:
    async def fail(_request: Any, _context: Any) -> Any:
        raise TimeoutError("of something else")

    echo.servicer.answer = fail
    with pytest.raises(errors.Internal):
        await echo.method("Say")(Text(), timeout=5)


async def test_an_outgoing_call_has_what_the_incoming_one_has_left(echo: Any) -> None:
    inner_left: list[float | None] = []

    async def outer(request: Any, context: Any) -> Any:
        if request.value == "inner":
            inner_left.append(context.time_remaining())
            return request
        return await echo.method("Say")(Text(value="inner"), timeout=60)

    echo.servicer.answer = outer
    await echo.method("Say")(Text(value="outer"), timeout=3)
    assert inner_left[0] is not None
    assert inner_left[0] < 10  # far less than the 60 s asked for; gRPC rounds upwards


async def test_the_request_id_goes_in_through_and_out(echo: Any) -> None:
    inner_ids: list[str | None] = []

    async def outer(request: Any, _context: Any) -> Any:
        if request.value == "inner":
            inner_ids.append(calls.current_request_id())
            return request
        return await echo.method("Say")(Text(value="inner"))

    echo.servicer.answer = outer
    token = echo.keys.issue("viewer")
    metadata = (("authorization", f"Bearer {token}"), ("x-request-id", "trace-1"))
    call = echo.method("Say", echo.raw_channel())(Text(value="outer"), metadata=metadata)
    await call
    assert inner_ids == ["trace-1"]
    assert dict(await call.trailing_metadata())["x-request-id"] == "trace-1"


@pytest.mark.parametrize("given", ["with space", "a" * 129, "semi;colon", ""])
async def test_a_request_id_that_could_forge_a_log_line_is_replaced(echo: Any, given: str) -> None:
    metadata = (("authorization", f"Bearer {echo.keys.issue('viewer')}"), ("x-request-id", given))
    call = echo.method("Say", echo.raw_channel())(Text(), metadata=metadata)
    await call
    replaced = dict(await call.trailing_metadata())["x-request-id"]
    assert replaced != given
    assert len(replaced) == 26


async def test_each_call_is_one_line_in_the_access_log(echo: Any) -> None:
    with capture_logs() as logged:
        await echo.method("Say")(Text())
        await eventually(lambda: [event for event in logged if event["event"] == "call"], timeout=10)
    [line] = [event for event in logged if event["event"] == "call"]
    assert line["method"].endswith("EchoService/Say")
    assert (line["code"], line["principal"]) == ("OK", "viewer")
    assert line["duration_ms"] >= 0
    assert line["peer"].startswith("ipv4:127.0.0.1")
    assert line["log_level"] == "info"


async def test_what_services_ask_each_other_is_logged_for_those_who_look_for_it(echo: Any) -> None:
    """What went well at level debug, so that the log of an idle suite stays empty; what failed as any call."""
    with capture_logs() as logged:
        await echo.method("Serve", echo.channel("service:gateway"))(Text())
        with pytest.raises(errors.PermissionDenied):
            await echo.method("Serve", echo.channel("service:mapper"))(Text())
        await eventually(lambda: len([event for event in logged if event["event"] == "call"]) == 2, timeout=10)
    levels = {event["code"]: event["log_level"] for event in logged if event["event"] == "call"}
    assert levels == {"OK": "debug", "PERMISSION_DENIED": "info"}


async def test_calls_beyond_the_limit_are_refused_in_every_wave(new_echo: Any) -> None:
    """Three waves: grpc.aio's own limit stopped working after the first (grpc #41531)."""
    echo = new_echo(max_concurrent_calls=2)
    echo.port = await echo.server.start()
    release = asyncio.Event()
    inside: list[Any] = []

    async def wait(request: Any, _context: Any) -> Any:
        inside.append(request)
        await release.wait()
        return request

    echo.servicer.answer = wait
    say = echo.method("Say")
    for _wave in range(3):
        inside.clear()
        release.clear()
        held = [asyncio.create_task(say(Text(), timeout=30)) for _ in range(2)]
        await eventually(lambda: len(inside) == 2, timeout=10)
        for _ in range(3):
            with pytest.raises(errors.ResourceExhausted) as caught:
                await say(Text(), timeout=30)
            assert caught.value.reason == "OVERLOADED"
            assert caught.value.retry_after == 1
        release.set()
        await asyncio.gather(*held)
    assert (await say(Text(value="free"))).value == "free"


async def test_metadata_is_never_refused_at_random_below_its_limit(echo: Any) -> None:
    padding = ("x-padding", "p" * 12_000)
    metadata = (("authorization", f"Bearer {echo.keys.issue('viewer')}"), padding)
    say = echo.method("Say", echo.raw_channel())
    for _ in range(25):
        await say(Text(), metadata=metadata)


async def test_an_expired_token_says_that_it_is_expired(echo: Any) -> None:
    token = FixedToken(echo.keys.issue("viewer", days=-1))
    channel = echo.channel()
    channel._token = token
    with pytest.raises(errors.Unauthenticated, match="expired"):
        await echo.method("Say", channel)(Text())


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="grpc._cython.cygrpc")
