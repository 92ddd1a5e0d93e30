"""What happens around every call that a server answers, whatever its shape, and that no service can forget.

In this order: request id, limit of calls, identity, access, deadline, undecodable bytes, the handler, translation of
what it raised, one line in the access log. One interceptor does it all: a chain of them costs a wrapped coroutine each.
"""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
import structlog

from intertie_chassis import calls, metrics, traces
from intertie_chassis.access import DENIED, Rule
from intertie_chassis.callers import Caller, Callers
from intertie_chassis.denials import UNKNOWN, Denials
from intertie_chassis.errors import (
    STATUS_METADATA_KEY,
    DeadlineExceeded,
    Internal,
    IntertieError,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    to_status,
)
from intertie_chassis.identity import Verifier
from intertie_chassis.ids import is_request_id, new_ulid
from intertie_chassis.principals import Principal, peek_principal, set_principal
from intertie_chassis.rechecks import Rechecks
from intertie_chassis.request_metrics import UNCLAIMED
from intertie_chassis.undecodable import checked, tolerant

_log = structlog.get_logger()

DEADLINE_MARGIN = 0.02
"""Seconds taken off the caller's deadline, so that our answer arrives before the caller gives up."""
DEFAULT_DEADLINE = 30.0
"""Seconds for a call with one answer whose caller named no deadline."""

_DENIALS = {grpc.StatusCode.UNAUTHENTICATED: 401, grpc.StatusCode.PERMISSION_DENIED: 403}
"""What a caller is refused with, and how HTTP says it."""

if TYPE_CHECKING:  # generic in the stubs only
    Handler = grpc.RpcMethodHandler[Any, Any]
    Context = grpc.aio.ServicerContext[Any, Any]
else:
    Handler = grpc.RpcMethodHandler
    Context = grpc.aio.ServicerContext


class Guard(grpc.aio.ServerInterceptor):
    """Wraps every handler of a server."""

    def __init__(
        self, verifier: Verifier, *, callers: Callers | None = None, max_calls: int = 512, max_streams: int = 512
    ) -> None:
        """Args:
        callers: whose certificates are let in; None on a server without TLS, where nobody has one.
        max_calls: calls with one answer that may run at once; more are refused as OVERLOADED.
        max_streams: calls with a stream of answers that may be open at once.
        """
        # Counted here, not by grpc.aio's maximum_concurrent_rpcs: its counter underflows after the first refusals and
        # then limits nothing (grpc #41531).
        self.denials = Denials()
        """Calls that were refused to their callers."""
        self._verifier = verifier
        self._callers = callers
        self._limits = {False: max_calls, True: max_streams}
        self._open = {False: 0, True: 0}
        self._rules: dict[str, Rule] = {}
        self._guarded: dict[str, Handler] = {}
        self._streams: set[asyncio.Task[Any]] = set()
        self.rechecks = Rechecks()
        self._is_stopping = False

    def allow(self, rules: dict[str, Rule]) -> None:
        """Adds rules of access by method path. A method without one is denied to all."""
        self._rules.update(rules)

    def end_streams(self) -> None:
        """Ends the open streams of answers with UNAVAILABLE, and from now on those that are opened.

        Watchers would otherwise hold up a stopping server for as long as they like; they come back to its successor.
        """
        self._is_stopping = True
        for task in self._streams:
            task.cancel()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Gives the guarded handler of the method."""
        method = handler_call_details.method
        handler = await continuation(handler_call_details)
        if handler is None:
            return grpc.stream_stream_rpc_method_handler(_Call(self, method, DENIED, None).unknown)
        guarded = self._guarded.get(method)
        if guarded is None:
            guarded = self._guarded[method] = self._guard(method, handler)
        return guarded

    def _guard(self, method: str, handler: Handler) -> Handler:
        call = _Call(self, method, self._rules.get(method, DENIED), handler)
        make, behaviour = {
            (False, False): (grpc.unary_unary_rpc_method_handler, call.one_answer),
            (True, False): (grpc.stream_unary_rpc_method_handler, call.one_answer),
            (False, True): (grpc.unary_stream_rpc_method_handler, call.many_answers),
            (True, True): (grpc.stream_stream_rpc_method_handler, call.many_answers),
        }[bool(handler.request_streaming), bool(handler.response_streaming)]
        return make(
            behaviour,
            request_deserializer=tolerant(handler.request_deserializer),
            response_serializer=handler.response_serializer if handler.response_streaming else None,
        )

    def enter(self, is_stream: bool) -> None:
        """Counts a call in. Raises ResourceExhausted beyond the limit."""
        if self._open[is_stream] >= self._limits[is_stream]:
            raise ResourceExhausted("the service has all the calls that it can take; try again", retry_after=1)
        self._open[is_stream] += 1

    def leave(self, is_stream: bool) -> None:
        """Counts a call out."""
        self._open[is_stream] -= 1

    def caller(self, context: Context) -> Caller | None:
        """Whose certificate the connection has; None without TLS. Raises Unauthenticated for one not let in."""
        return None if self._callers is None else self._callers.of(context.auth_context())

    def principal(self, context: Context, caller: Caller | None) -> Principal:
        """Who calls: whom the bearer token speaks for, or the certificate when there is no token.

        Raises Unauthenticated for more than one token, one that is not valid, or one that does not go with the
        certificate; and when there is neither.
        """
        values = [value for key, value in context.invocation_metadata() or () if key == "authorization"]
        if not values:
            if caller is None:
                raise Unauthenticated
            return caller.principal
        scheme, _, token = str(values[0]).partition(" ")
        if len(values) > 1 or scheme.lower() != "bearer" or not token:
            raise Unauthenticated("this call needs one authorization header: Bearer and a token")
        principal = self._verifier.verify(token.strip())
        if caller is not None:
            caller.vouch_for(principal)
        return principal

    def is_stopping_stream(self) -> bool:
        """Whether the present task was cancelled by `end_streams`, not by its caller."""
        return self._is_stopping and asyncio.current_task() in self._streams

    def watch_stream(self) -> None:
        """Remembers the present task as one that `end_streams` ends. Raises Unavailable when it has ended them."""
        if self._is_stopping:
            raise Unavailable("the server is stopping; try again", retry_after=1)
        task = asyncio.current_task()
        if task is not None:
            self._streams.add(task)
            task.add_done_callback(self._streams.discard)


class _Call:
    """One method's handler, guarded."""

    def __init__(self, guard: Guard, method: str, rule: Rule, handler: Handler | None) -> None:
        self._guard = guard
        self._method = method
        self._rule = rule
        self._is_unknown = handler is None
        self._path = method.removeprefix("/")
        service, _, name = self._path.partition("/")
        self._labels = (UNCLAIMED, UNCLAIMED) if self._is_unknown else (service, name)
        self._is_stream = bool(handler is not None and handler.response_streaming)
        self._behaviour: Callable[..., Any] = _unknown
        self._encode: Callable[[Any], bytes] = bytes
        if handler is not None:
            self._encode = handler.response_serializer or bytes
            shapes = (handler.unary_unary, handler.unary_stream, handler.stream_unary, handler.stream_stream)
            self._behaviour = next(shape for shape in shapes if shape is not None)

    async def one_answer(self, request: Any, context: Context) -> Any:
        """For the two shapes with one answer."""

        async def answer() -> Any:
            response = await self._behaviour(checked(request), context)
            # Encoded here and not by grpc, so that an answer of the wrong type is an error like any other.
            return self._encode(response)

        return await self._run(context, answer)

    async def many_answers(self, request: Any, context: Context) -> None:
        """For the two shapes with a stream of answers, written as a generator or by `context.write`."""

        async def answers() -> None:
            produced = self._behaviour(checked(request), context)
            if not inspect.isasyncgen(produced):
                await produced
                return
            try:
                async for response in produced:
                    await context.write(response)
            finally:
                # Its finally blocks run now, in this task, not at some later collection of garbage.
                await produced.aclose()

        await self._run(context, answers)

    async def unknown(self, _requests: Any, context: Context) -> None:
        """For a path that no service has. Needs a token like everything else, so that paths cannot be sounded."""

        async def answer() -> None:
            raise Unimplemented(f"there is no method {self._method}", metadata={"method": self._method})

        await self._run(context, answer, checks_access=False)

    async def _run(self, context: Context, answer: Callable[[], Awaitable[Any]], checks_access: bool = True) -> Any:
        started = time.perf_counter()
        request_id, sender = _named(context)
        calls.set_request_id(request_id)
        if sender is not None:
            traces.set_current(sender)
        trailing = ((calls.REQUEST_ID_KEY, request_id),)
        context.set_trailing_metadata(trailing)
        error: IntertieError
        try:
            result = await self._admitted(context, answer, checks_access)
        except grpc.aio.AbortError:  # only the libraries' own services (health) abort by themselves
            self._note(started, context, str(getattr(context.code(), "name", "ABORTED")))
            raise
        except IntertieError as raised:
            error = raised
        except asyncio.CancelledError:
            task, refusal = asyncio.current_task(), self._guard.rechecks.take_refusal()
            if task is not None and task.cancelling() and not refusal and not self._guard.is_stopping_stream():
                self._note(started, context, "CANCELLED")
                raise
            # We end a stream, or the handler let the cancellation of something else escape. Unless it is answered, the
            # caller waits for ever (grpc #29248).
            if task is not None:
                task.uncancel()
            error = refusal or Unavailable("the call was interrupted; try again", retry_after=1)
        except Exception as raised:
            _log.error("call failed", method=self._method, exc_info=raised)
            error = Internal()
        else:
            self._note(started, context, "OK")
            return result
        if error.code in _DENIALS:
            method = UNKNOWN if self._is_unknown else self._method
            http_status, peer = _DENIALS[error.code], context.peer()
            self._guard.denials.add(method, peek_principal(), error.reason, http_status, peer, request_id)
        status = to_status(error)
        self._note(started, context, error.code.name, error.reason, status.message)
        details = (*trailing, (STATUS_METADATA_KEY, status.SerializeToString()))
        return await context.abort(error.code, status.message, details)

    async def _admitted(self, context: Context, answer: Callable[[], Awaitable[Any]], checks_access: bool) -> Any:
        set_principal(None)
        caller = self._guard.caller(context)
        if self._is_stream:
            self._guard.watch_stream()
        if self._rule.is_quiet:
            return await answer()
        self._guard.enter(self._is_stream)
        try:
            if not self._rule.is_open:
                principal = self._guard.principal(context, caller)
                set_principal(principal)
                if checks_access:
                    self._rule.check(principal)
                if self._is_stream:
                    self._guard.rechecks.watch(lambda: self._guard.principal(context, self._guard.caller(context)))
                if traces.TRACER.is_on and (span := self._span(principal)) is not None:
                    return await self._traced(span, context, answer)
            return await self._within_deadline(context, answer)
        finally:
            self._guard.leave(self._is_stream)

    def _span(self, principal: Principal) -> traces.Span | None:
        """A span of the call, once it is known who calls: whoever has a token may say which calls are traced."""
        sender = traces.current()
        if sender is not None:
            return traces.TRACER.follow(self._path, sender, traces.Kind.SERVER)
        # Services ask each other all the time, also when nothing happens: only what belongs to a trace is one.
        return None if principal.role == "service" else traces.TRACER.enter(self._path)

    async def _traced(self, span: traces.Span, context: Context, answer: Callable[[], Awaitable[Any]]) -> Any:
        traces.set_current(span.context)  # not taken back: the line in the log belongs to it too
        span.attributes |= {"rpc.system": "grpc", "rpc.service": self._labels[0], "rpc.method": self._labels[1]}
        try:
            result = await self._within_deadline(context, answer)
        except BaseException as error:
            span.end(traces.failure_of(error))
            raise
        span.end()
        return result

    async def _within_deadline(self, context: Context, answer: Callable[[], Awaitable[Any]]) -> Any:
        # typed as float, but None without a deadline
        remaining: float | None = context.time_remaining()
        if remaining is None:
            if self._is_stream:
                calls.set_time_remaining(None)
                return await answer()
            remaining = DEFAULT_DEADLINE
        remaining -= DEADLINE_MARGIN
        if remaining <= 0:
            raise DeadlineExceeded("the deadline leaves no time to answer")
        calls.set_time_remaining(remaining)
        try:
            async with asyncio.timeout(remaining) as limit:
                return await answer()
        except TimeoutError:
            if limit.expired():
                raise DeadlineExceeded from None
            raise

    def _note(self, started: float, context: Context, code: str, reason: str = "", message: str = "") -> None:
        """Counts the call, and writes its line into the log."""
        seconds = time.perf_counter() - started
        if metrics.PAGE.is_shown:
            # Streams last as long as their callers like.
            metrics.RPCS.note((*self._labels, code), None if self._is_stream else self._labels, seconds)
        if self._rule.is_quiet:
            return
        principal = peek_principal()
        event: dict[str, object] = {
            "method": self._method,
            "code": code,
            "duration_ms": round(seconds * 1000, 3),
            "principal": principal.label if principal else None,
            "peer": context.peer(),
        }
        if reason:
            event |= {"reason": reason, "error": message}
        write = _log.error if code == "INTERNAL" else _log.info
        if code == "OK" and principal is not None and principal.role == "service":
            write = _log.debug  # services ask each other every second, also when nothing happens
        write("call", **event)


def _named(context: Context) -> tuple[str, traces.TraceContext | None]:
    """The id of the call, and the trace that it belongs to."""
    request_id, trace = "", None
    for key, value in context.invocation_metadata() or ():
        if key == calls.REQUEST_ID_KEY and isinstance(value, str) and not request_id and is_request_id(value):
            request_id = value
        elif key == traces.TRACEPARENT and isinstance(value, str):
            trace = traces.parse(value)
    return request_id or new_ulid(), trace


async def _unknown(*_arguments: Any) -> None:
    raise Unimplemented
