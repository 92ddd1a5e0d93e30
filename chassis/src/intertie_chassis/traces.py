"""Traces across processes: the W3C context that calls, messages and cached records carry, and spans of sampled ones.

Nothing of OpenTelemetry is loaded here. Without an endpoint for spans a process still hands contexts on and puts them
into its log lines; what is not sampled has no span, and costs a look at a header.
"""

import random
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from typing import NamedTuple

from intertie_chassis.errors import IntertieError
from intertie_chassis.settings import Settings

TRACEPARENT = "traceparent"
"""The name of the header, and of the metadata key, that holds a context."""

_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_LONGEST = 256


class TraceContext(NamedTuple):
    """A place in a trace: whoever goes on from here is its child."""

    #: 32 hexadecimal digits
    trace_id: str
    #: 16 of them
    span_id: str
    #: whether the spans of the trace are kept
    is_sampled: bool

    @property
    def traceparent(self) -> str:
        """The context as a header says it."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.is_sampled else '00'}"


def parse(text: str) -> TraceContext | None:
    """The context that a header `traceparent` names; None for one that is not valid, which counts as none."""
    match = _TRACEPARENT.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None or (match[1] == "00" and match[5] is not None):
        return None
    return TraceContext(match[2], match[3], bool(int(match[4], 16) & 1))


def sampled(traceparent: str) -> str:
    """The same header when it names a sampled trace; empty when it is not valid, or names another."""
    context = parse(traceparent)
    return context.traceparent if context is not None and context.is_sampled else ""


_current: ContextVar[TraceContext | None] = ContextVar("trace", default=None)


def current() -> TraceContext | None:
    """The trace that the present work belongs to; None when it belongs to none that is known."""
    return _current.get()


def set_current(context: TraceContext | None) -> None:
    """Makes this the trace of everything that happens from here on in the current context."""
    _current.set(context)


class Kind(Enum):
    """What a span is of, in OpenTelemetry's words."""

    INTERNAL = "INTERNAL"
    SERVER = "SERVER"
    CLIENT = "CLIENT"
    CONSUMER = "CONSUMER"


class Span:
    """A piece of work in a sampled trace. It is kept once it has ended."""

    __slots__ = ("_keep", "attributes", "context", "ended", "failure", "kind", "links", "name", "parent", "started")

    def __init__(
        self,
        keep: "Sink",
        name: str,
        kind: Kind,
        trace_id: str,
        parent: TraceContext | None,
        links: tuple[TraceContext, ...] = (),
    ) -> None:
        self._keep = keep
        self.name = name
        self.kind = kind
        self.context = TraceContext(trace_id, f"{random.getrandbits(64) or 1:016x}", True)
        self.parent = parent
        self.links = links
        self.attributes: dict[str, str | int] = {}
        self.failure = ""
        """Why the work failed; empty when it did not."""
        self.started = time.time_ns()
        self.ended = 0

    def end(self, failure: str = "") -> None:
        """Ends the span, once: nothing happens the second time."""
        if self.ended:
            return
        self.ended, self.failure = time.time_ns(), failure
        self._keep(self)


Sink = Callable[[Span], None]
"""Takes spans that have ended; must neither wait nor raise."""


class Tracer:
    """Begins spans where somebody keeps them."""

    def __init__(self) -> None:
        self._sink: Sink | None = None
        self._ratio = 0.0
        self._trusts_senders = False

    @property
    def is_on(self) -> bool:
        """Whether spans are kept."""
        return self._sink is not None

    def turn_on(self, sink: Sink, *, ratio: float, trusts_senders: bool = False) -> None:
        """Args:
        ratio: which part of what comes from outside is traced, 0 to 1.
        trusts_senders: whether a sender says of its own traces which are.
        """
        self._sink, self._ratio, self._trusts_senders = sink, ratio, trusts_senders

    def turn_off(self) -> None:
        """From now on no span is begun."""
        self._sink = None

    def enter(self, name: str, sender: TraceContext | None = None) -> Span | None:
        """A span of what comes in from outside, if it is one of those that are traced.

        It goes on in the sender's trace. But the ratio decides, and by a die of its own: neither a flag nor a trace id
        that a sender chose makes it traced, unless senders are trusted.
        """
        if self._sink is None:
            return None
        is_trusted = sender is not None and self._trusts_senders
        if not (sender.is_sampled if sender is not None and is_trusted else random.random() < self._ratio):
            return None
        return Span(self._sink, name, Kind.SERVER, _new_trace() if sender is None else sender.trace_id, sender)

    def follow(
        self, name: str, parent: TraceContext | None, kind: Kind, links: Iterable[TraceContext] = ()
    ) -> Span | None:
        """A child of `parent`, if that is sampled."""
        if self._sink is None or parent is None or not parent.is_sampled:
            return None
        return Span(self._sink, name, kind, parent.trace_id, parent, tuple(links))

    def gather(self, name: str, kind: Kind, members: Iterable[TraceContext]) -> Span | None:
        """A span in a trace of its own, of work that is done for several sampled traces at once; linked with each."""
        return None if self._sink is None else Span(self._sink, name, kind, _new_trace(), None, tuple(members))


TRACER = Tracer()
"""The tracer of this process; off until it begins to export."""


@contextmanager
def during(span: Span) -> Iterator[Span]:
    """Makes the span the current one while the block runs, and ends it with the block's failure, if it fails."""
    token = _current.set(span.context)
    try:
        yield span
    except BaseException as error:
        span.end(failure_of(error))
        raise
    finally:
        _current.reset(token)
        span.end()


def failure_of(error: BaseException) -> str:
    """What a span says of an error: its code and reason, or its type, never its text."""
    return f"{error.code.name} {error.reason}" if isinstance(error, IntertieError) else type(error).__name__


def begin(process: str, settings: Settings) -> Callable[[], Awaitable[None]] | None:
    """Begins to export spans where the settings say so; gives what ends it, None where they do not.

    Raises StartupError when the settings cannot be used.
    """
    if not settings.traces_endpoint:
        return None
    # Here and not above: it takes a tenth of a second and some MiB, for which only those pay who want traces.
    from intertie_chassis.trace_export import Exporting

    exporting = Exporting(process, settings.traces_endpoint)
    TRACER.turn_on(exporting.keep, ratio=settings.traces_ratio, trusts_senders=settings.traces_trust_senders)

    async def end() -> None:
        TRACER.turn_off()
        await exporting.end()

    return end


def _new_trace() -> str:
    return f"{random.getrandbits(128) or 1:032x}"
