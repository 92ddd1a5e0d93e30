"""The spans of a group of deliveries of which some are traced: one of the group, one of each traced delivery."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from intertie_chassis.errors import IntertieError
from intertie_chassis.span_groups import SpanGroup
from intertie_chassis.traces import Span, during, failure_of
from intertie_ingest.metrics import outcome_of
from intertie_ingest.model import Accepted, Greeting, RawDelivery

Result = Accepted | Greeting | IntertieError
Accept = Callable[[Sequence[RawDelivery]], Awaitable[list[Result]]]


async def accept_traced(accept: Accept, raws: Sequence[RawDelivery]) -> list[Result]:
    """Accepts them, with the spans; whatever becomes of a traced delivery later is a child of its own."""
    spans = SpanGroup.begin(
        "accept deliveries",
        "accept delivery",
        {number: raw.traceparent for number, raw in enumerate(raws) if raw.traceparent},
    )
    if spans is None:
        return await accept(raws)
    spans.work.attributes["intertie.deliveries"] = len(raws)
    own = list(raws)
    for number, span in spans.spans.items():
        own[number] = replace(own[number], traceparent=span.context.traceparent)
    try:
        with during(spans.work):
            results = await accept(own)
        for number, span in spans.spans.items():
            _end(span, own[number], results[number])
        return results
    finally:
        spans.end("interrupted")


def _end(span: Span, raw: RawDelivery, result: Result) -> None:
    span.attributes |= {"intertie.route": raw.route.value, "intertie.outcome": outcome_of(result)}
    if isinstance(result, Accepted):
        span.attributes |= {"intertie.system": result.delivery.system, "intertie.delivery_id": result.delivery_id}
    span.end(failure_of(result) if isinstance(result, IntertieError) else "")
