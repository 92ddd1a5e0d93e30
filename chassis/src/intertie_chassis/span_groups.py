"""Spans of work that is done for many deliveries at once, of which some are traced.

The work has a span in a trace of its own, and each trace among them has a span of its part; they are linked. So one
delivery is one trace, and the batch in which it went can be found from it. Nothing is made where none is traced.
"""

from collections.abc import Mapping
from typing import Self

from intertie_chassis.traces import TRACER, Kind, Span, TraceContext, parse


class SpanGroup:
    """The spans of one piece of work."""

    def __init__(self, work: Span, spans: dict[int, Span]) -> None:
        """For `begin`."""
        self.work = work
        """Of all of it."""
        self.spans = spans
        """Of the part of each trace, by its number among the members."""

    @classmethod
    def begin(cls, work: str, part: str, traceparents: Mapping[int, str], kind: Kind = Kind.INTERNAL) -> Self | None:
        """Begins the spans; None when spans are not kept, or none of the members is traced.

        Args:
        work: the name of the span of all of it.
        part: the name of the span of each member.
        traceparents: of the members that have one, by number.
        """
        if not traceparents or not TRACER.is_on:
            return None
        parents: dict[int, TraceContext] = {}
        for number, traceparent in traceparents.items():
            context = parse(traceparent)
            if context is not None and context.is_sampled:
                parents[number] = context
        whole = TRACER.gather(work, kind, parents.values()) if parents else None
        if whole is None:
            return None
        spans: dict[int, Span] = {}
        for number, parent in parents.items():
            span = TRACER.follow(part, parent, kind, (whole.context,))
            if span is not None:
                spans[number] = span
        return cls(whole, spans)

    def end(self, failure: str = "") -> None:
        """Ends what has not ended yet."""
        for span in self.spans.values():
            span.end(failure)
        self.work.end(failure)
