"""The spans of a batch of entries of which some are traced: one of the batch, one of each traced entry."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from intertie_chassis.span_groups import SpanGroup
from intertie_chassis.traces import during


@contextmanager
def appending(entries: int, traced: Mapping[str, str]) -> Iterator[None]:
    """The spans of appending so many entries, while the block runs.

    Args:
        traced: the contexts of those that are traced, by the entry's id.
    """
    spans = SpanGroup.begin("append entries", "append entry", dict(enumerate(traced.values()))) if traced else None
    if spans is None:
        yield
        return
    spans.work.attributes["intertie.entries"] = entries
    for span, entry_id in zip(spans.spans.values(), traced, strict=False):
        span.attributes["intertie.entry_id"] = entry_id
    try:
        with during(spans.work):
            yield
    finally:
        spans.end(spans.work.failure)
