"""The spans of a leased batch of which some records are traced: one of the batch, one of each traced record.

A record's span is a child of the one in which its delivery was accepted, however long ago that was, and whichever try
this is.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

from intertie_chassis.span_groups import SpanGroup
from intertie_chassis.traces import Kind, Span
from intertie_mapper.metrics import outcome_of
from intertie_mapper.model import Ending, Lease


class BatchSpans:
    """The spans of one lease."""

    def __init__(self, group: SpanGroup, lease: Lease) -> None:
        """For `begin`."""
        self._group = group
        self.lease = replace(
            lease,
            records=tuple(
                record._replace(traceparent=group.spans[number].context.traceparent)
                if number in group.spans
                else record
                for number, record in enumerate(lease.records)
            ),
        )
        """The lease, whose traced records name their own spans: what is said of them later is a child of those."""
        self._by_record = {self.lease.records[number].id: span for number, span in group.spans.items()}
        group.work.attributes["intertie.records"] = len(lease.records)

    @classmethod
    def begin(cls, lease: Lease) -> Self | None:
        """Begins the spans; None when none of the records is traced."""
        traced = {number: record.traceparent for number, record in enumerate(lease.records) if record.traceparent}
        group = SpanGroup.begin("map batch", "map record", traced, Kind.CONSUMER)
        return None if group is None else cls(group, lease)

    @property
    def work(self) -> Span:
        """The span of the batch."""
        return self._group.work

    def note(self, endings: Sequence[Ending]) -> None:
        """Ends the spans of these records."""
        for ending in endings:
            span = self._by_record.get(ending.record.id)
            if span is not None:
                outcome = outcome_of(ending)
                span.attributes |= {
                    "intertie.outcome": outcome,
                    "intertie.action": ending.action.value,
                    "intertie.target_table": ending.target_table,
                    "intertie.attempt": ending.record.attempts,
                    "intertie.delivery_id": ending.record.delivery_id,
                }
                span.end(ending.reason if outcome in ("retried", "set_aside") else "")

    def end(self) -> None:
        """Ends what has not ended: nobody knows what became of it."""
        self._group.end("no ending")
