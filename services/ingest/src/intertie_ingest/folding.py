"""A group of deliveries folded, in the order of arrival, onto what the store holds: what to write, what to answer.

Pure. The store reads what a group needs to know, folds, and writes the result in the same transaction.

Classes of which each delivery makes some are not frozen, though nothing changes them: a frozen one takes ten times as
long to make.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from intertie_ingest.errors import DeliveryKeyReused
from intertie_ingest.model import (
    ENDING_OF_STATUS,
    Accepted,
    CachedState,
    Delivery,
    Ending,
    Fault,
    Key,
    KnownDelivery,
    RecordEnding,
    Reference,
    RoutedRecord,
    Status,
)

DeliveryKey = tuple[int, str]
#: a system, and what a delivery of it shares with its replays
ReplayKey = tuple[int, bytes]


@dataclass(slots=True)
class NewDelivery:
    """A delivery to write, with where its records went."""

    delivery: Delivery
    references: tuple[Reference, ...]


@dataclass(slots=True)
class NewState:
    """The newest state of a record: a row of the cache to write."""

    system_id: int
    record: RoutedRecord
    #: the delivery that brought it; None of what a sync run read
    delivery_id: str | None
    #: number of the row to change; 0 for a new row
    id: int
    revision: int
    version_key: str | None
    #: the sampled trace of that delivery; empty when there is none
    traceparent: str = ""

    @property
    def is_released(self) -> bool:
        """Whether it is for mapper now."""
        return self.record.is_released and self.record.fault is None


@dataclass(slots=True)
class Fold:
    """What a group comes to."""

    #: one a delivery, in order
    outcomes: list[Accepted | DeliveryKeyReused] = field(default_factory=list)
    deliveries: list[NewDelivery] = field(default_factory=list)
    #: earlier deliveries, unrouted until now, that came again and found a mapping
    rerouted: list[NewDelivery] = field(default_factory=list)
    states: dict[Key, NewState] = field(default_factory=dict)
    endings: list[RecordEnding] = field(default_factory=list)
    #: the id of the delivery that each mark, not known before, is a replay of
    replays: dict[ReplayKey, str] = field(default_factory=dict)
    #: how many of the records that are released were stored under a lease
    leased: int = 0

    @property
    def released(self) -> int:
        """How many records there are for mapper now."""
        return sum(state.is_released for state in self.states.values())


def fold(
    group: Sequence[Delivery],
    known: Mapping[DeliveryKey, KnownDelivery],
    cached: Mapping[Key, CachedState],
    replayed: Mapping[ReplayKey, KnownDelivery] | None = None,
) -> Fold:
    """Folds a group; `known` are the committed deliveries with its keys, `cached` the states of its records, `replayed`
    the deliveries that those of the group which have no signed key would be replays of.
    """
    return _Folding(dict(known), dict(cached), dict(replayed or {})).all(group)


def overtaken(key: Key, current: CachedState, by: str) -> RecordEnding | None:
    """How the state ended that is overtaken by a delivery or a sync run; None when no delivery brought it."""
    if current.delivery_id is None:
        return None
    ending, fault, overtaken_by = ENDING_OF_STATUS[current.status], None, None
    if ending is Ending.PENDING:
        ending, overtaken_by = Ending.SUPERSEDED, by
    elif ending is Ending.SET_ASIDE:
        fault = Fault(current.error_reason or "", current.error_field or "", current.sync_error or "")
    return RecordEnding(current.delivery_id, key[1], key[2], current.revision, ending, overtaken_by, fault)


def is_same(record: RoutedRecord, current: CachedState) -> bool:
    """Whether the row holds these very bytes; the digest alone does not know what another application wrote since."""
    return current.digest == record.digest and (
        current.fingerprint is None or current.fingerprint == zlib.crc32(record.data.encode())
    )


class _Folding:
    def __init__(
        self,
        known: dict[DeliveryKey, KnownDelivery],
        states: dict[Key, CachedState],
        replayed: dict[ReplayKey, KnownDelivery],
    ) -> None:
        self._known = known
        self._states = states
        self._replayed = replayed
        self._fold = Fold()

    def all(self, group: Sequence[Delivery]) -> Fold:
        for delivery in group:
            outcome = self._one(delivery)
            self._fold.outcomes.append(outcome)
            if isinstance(outcome, Accepted):
                self._mark(delivery, outcome)
        return self._fold

    def _one(self, delivery: Delivery) -> Accepted | DeliveryKeyReused:
        if delivery.delivery_key is not None:
            known = self._known.get((delivery.system_id, delivery.delivery_key))
            if known is not None and known.digest != delivery.digest:
                return DeliveryKeyReused(
                    metadata={"delivery_key": delivery.delivery_key, "delivery_id": known.delivery_id}
                )
            if known is not None:
                return self._again(delivery, known)
        if delivery.replay_mark is not None:
            # A key that nobody signed may be anybody's: what was signed before comes again under whatever key.
            known = self._replayed.get((delivery.system_id, delivery.replay_mark))
            if known is not None:
                return self._again(delivery, known)
        if delivery.delivery_key is None:
            return self._again_by_content(delivery) or self._new(delivery)
        return self._new(delivery)

    def _again(self, delivery: Delivery, known: KnownDelivery) -> Accepted:
        if known.is_unrouted and delivery.records:
            return self._reroute(delivery, known)
        return Accepted(delivery, known.delivery_id, True, known.is_array, known.external_ids, None)

    def _mark(self, delivery: Delivery, accepted: Accepted) -> None:
        """Remembers of what a replay would be one. What was known by its content is a delivery too that may be replayed
        when that content has changed.
        """
        if delivery.replay_mark is None:
            return
        mark: ReplayKey = (delivery.system_id, delivery.replay_mark)
        is_unrouted = accepted.state is Ending.UNROUTED
        if mark not in self._replayed:
            self._fold.replays[mark] = accepted.delivery_id
        elif self._replayed[mark].is_unrouted == is_unrouted:
            return
        self._replayed[mark] = KnownDelivery(
            accepted.delivery_id, delivery.digest, accepted.is_array, accepted.external_ids, is_unrouted
        )

    def _again_by_content(self, delivery: Delivery) -> Accepted | None:
        """The answer when every record of the delivery is what the cache holds already."""
        first: str | None = None
        for record in delivery.records:
            current = self._states.get((delivery.system_id, record.mapping_id, record.external_id))
            if current is None or current.delivery_id is None or not is_same(record, current):
                return None
            first = first or current.delivery_id
        if first is None:
            return None
        return Accepted(delivery, first, True, delivery.is_array, delivery.external_ids, None)

    def _new(self, delivery: Delivery) -> Accepted:
        references = self._place(delivery)
        self._fold.deliveries.append(NewDelivery(delivery, references))
        self._remember(delivery, delivery.external_ids)
        state = self._state(delivery, references)
        return Accepted(delivery, delivery.delivery_id, False, delivery.is_array, delivery.external_ids, state)

    def _reroute(self, delivery: Delivery, known: KnownDelivery) -> Accepted:
        """The earlier delivery gets the records that its repetition found; it keeps its id and what it answered."""
        own, first = delivery.delivery_id, known.delivery_id
        records = tuple(
            replace(record, external_id=record.external_id.replace(own, first)) if own in record.external_id else record
            for record in delivery.records
        )
        earlier = replace(delivery, delivery_id=first, records=records, external_ids=known.external_ids)
        references = self._place(earlier)
        self._fold.rerouted.append(NewDelivery(earlier, references))
        self._remember(earlier, known.external_ids)
        return Accepted(delivery, first, True, known.is_array, known.external_ids, self._state(earlier, references))

    def _remember(self, delivery: Delivery, external_ids: tuple[str, ...]) -> None:
        if delivery.delivery_key is not None:
            self._known[delivery.system_id, delivery.delivery_key] = KnownDelivery(
                delivery.delivery_id, delivery.digest, delivery.is_array, external_ids, not delivery.records
            )

    def _place(self, delivery: Delivery) -> tuple[Reference, ...]:
        references: list[Reference] = []
        for record in delivery.records:
            key = (delivery.system_id, record.mapping_id, record.external_id)
            current = self._states.get(key)
            if (
                delivery.delivery_key is None
                and current is not None
                and current.delivery_id is not None
                and is_same(record, current)
            ):
                continue  # of several records the one that brings nothing new stays the earlier delivery's
            references.append(self._put(delivery, record, key, current))
        return tuple(references)

    def _put(self, delivery: Delivery, record: RoutedRecord, key: Key, current: CachedState | None) -> Reference:
        if current is None:
            return self._write(delivery, record, key, 0, 1, record.version_key)
        known, said = current.version_key, record.version_key
        if said is not None and known is not None and said < known:
            self._fold.endings.append(
                RecordEnding(
                    delivery.delivery_id,
                    record.mapping_id,
                    record.external_id,
                    0,
                    Ending.SUPERSEDED,
                    superseded_by=current.delivery_id,
                )
            )
            return Reference(record.mapping_id, record.external_id, 0)
        self._end(key, current, delivery.delivery_id)
        # A record whose version cannot be told is set aside; what comes after is still held against the last one known.
        version = said if record.fault is None else said or known
        return self._write(delivery, record, key, current.id, current.revision + 1, version)

    def _end(self, key: Key, current: CachedState, by: str) -> None:
        ending = overtaken(key, current, by)
        if ending is not None:
            self._fold.endings.append(ending)

    def _write(
        self, delivery: Delivery, record: RoutedRecord, key: Key, row: int, revision: int, version: str | None
    ) -> Reference:
        self._fold.states[key] = NewState(
            delivery.system_id, record, delivery.delivery_id, row, revision, version, delivery.traceparent
        )
        fault = record.fault
        self._states[key] = CachedState(
            row,
            revision,
            version,
            record.digest,
            delivery.delivery_id,
            Status.PENDING if fault is None else Status.ERROR,
            fault.reason if fault else None,
            fault.field if fault else None,
            fault.message if fault else None,
        )
        return Reference(record.mapping_id, record.external_id, revision)

    def _state(self, delivery: Delivery, references: tuple[Reference, ...]) -> Ending:
        if not delivery.records:
            return Ending.UNROUTED
        live = [reference for reference in references if reference.revision]
        if not live:
            return Ending.SUPERSEDED
        states = {
            self._states[delivery.system_id, reference.mapping_id, reference.external_id].status for reference in live
        }
        return Ending.PENDING if Status.PENDING in states else Ending.SET_ASIDE
