"""What the stores of ingest promise, as plain values: the reference that a state machine holds the databases against.

It knows no SQL and no clock. A record's place says whether a claim may hand it out; what time would do is done by the
machine, and told here. Where the stores may choose (which dead leases a claim comes across), the machine looks which
of the legal steps was taken.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from intertie_ingest.model import Delivery, RoutedRecord

#: mapping and external id; all records are of one system
Name = tuple[int, str]
#: a record's place in a delivery: mapping, external id, revision (0: it came too late)
Reference = tuple[int, str, int]
#: how a record of a delivery stands, and the delivery that overtook it
Standing = tuple[str, str | None]

PENDING, SYNCED, SET_ASIDE, SUPERSEDED = "pending", "synced", "set_aside", "superseded"
MOST_CRASHES = 3


class Place(StrEnum):
    """Whether a claim may hand a pending record out."""

    FRESH = "fresh"
    SOLO = "solo"
    #: under a lease that holds
    LEASED = "leased"
    #: under a lease that has ended, unsettled
    DIED = "died"
    #: a retry whose time has not come
    LATER = "later"
    #: its mapping was off when it was met
    HELD = "held"
    #: its mapping's tick has not come
    WAITING = "waiting"


@dataclass
class Record:
    """The newest state of a record."""

    name: Name
    data: str
    digest: bytes | None
    version: str | None
    delivery: str | None
    state: str
    place: Place
    revision: int = 1
    is_solo: bool = False
    token: str | None = None
    attempts: int = 0
    crashes: int = 0
    #: another application wrote its data since, and no claim has met it yet
    is_foreign: bool = False
    #: whether this state, and not an earlier one, was synced and is pending again by another application
    was_synced: bool = False
    #: the newest version that was accepted since another application wrote it
    newest: str | None = None

    def ended(self, by: str) -> Standing:
        """How this state ended when another delivery overtakes it."""
        return (SUPERSEDED, by) if self.state == PENDING else (self.state, None)

    def leave_queue(self, state: str) -> None:
        """It was settled, or set aside."""
        self.state, self.place, self.token = state, Place.FRESH, None
        self.is_solo, self.crashes = False, 0

    def step_out(self, place: Place) -> None:
        """It can be handed out again, or is held."""
        self.place, self.token = place, None
        self.is_solo = place is Place.SOLO


@dataclass
class Kept:
    """A delivery that was accepted."""

    digest: bytes
    key: str | None
    references: list[Reference]
    has_body: bool = True


@dataclass
class Model:
    """All that was accepted and what became of it."""

    records: dict[Name, Record] = field(default_factory=dict)
    deliveries: dict[str, Kept] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    endings: dict[tuple[str, Reference], Standing] = field(default_factory=dict)
    #: acceptances by the delivery that was answered, and whether as a duplicate
    accepted: Counter[tuple[str, bool]] = field(default_factory=Counter)

    def deliver(self, delivery: Delivery) -> tuple[str, bool] | None:
        """The id and whether it is a duplicate, as the sender is told; None: its key has other bytes."""
        answer = self._deliver(delivery)
        if answer is not None:
            self.accepted[answer] += 1
        return answer

    def _deliver(self, delivery: Delivery) -> tuple[str, bool] | None:
        known = self.keys.get(delivery.delivery_key) if delivery.delivery_key is not None else None
        if known is not None:
            kept = self.deliveries[known]
            if kept.digest != delivery.digest:
                return None
            if not kept.references and delivery.records:
                kept.has_body = True
                for record in delivery.records:
                    name = record.mapping_id, record.external_id.replace(delivery.delivery_id, known)
                    self._place(known, kept, name, record)
            return known, True
        holders = [self._holder(record) for record in delivery.records]
        if delivery.delivery_key is None and holders and None not in holders:
            return str(holders[0]), True
        kept = self.deliveries[delivery.delivery_id] = Kept(delivery.digest, delivery.delivery_key, [])
        if delivery.delivery_key is not None:
            self.keys[delivery.delivery_key] = delivery.delivery_id
        for record in delivery.records:
            if delivery.delivery_key is not None or self._holder(record) is None:
                self._place(delivery.delivery_id, kept, (record.mapping_id, record.external_id), record)
        return delivery.delivery_id, False

    def _holder(self, record: RoutedRecord) -> str | None:
        """The delivery that brought the very state that the record says, if it is the present one."""
        current = self.records.get((record.mapping_id, record.external_id))
        is_it = current is not None and current.digest == record.digest and not current.is_foreign
        return current.delivery if current is not None and is_it else None

    def _place(self, delivery: str, kept: Kept, name: Name, record: RoutedRecord) -> None:
        current, version = self.records.get(name), record.version_key
        if current is not None and version is not None and current.version is not None and version < current.version:
            reference = (*name, 0)
            kept.references.append(reference)
            self.endings[delivery, reference] = SUPERSEDED, current.delivery
            return
        place = Place.FRESH if record.is_released or record.fault else Place.WAITING
        state = PENDING if record.fault is None else SET_ASIDE
        new = Record(name, record.data, record.digest, version, delivery, state, place, newest=version)
        if current is not None:
            new.revision = current.revision + 1
            new.newest = max(filter(None, (current.newest, version)), default=None)
            if record.fault is not None:
                new.version = version or current.version
            self.end(current, current.ended(delivery))
        self.records[name] = new
        kept.references.append((*name, new.revision))

    def end(self, record: Record, standing: Standing) -> None:
        """A state is the newest no more."""
        if record.delivery is not None:
            self.endings[record.delivery, (*record.name, record.revision)] = standing

    def write(self, name: Name, data: str) -> None:
        """Another application changes the data of a record and makes it pending."""
        record = self.records[name]
        if record.state != PENDING:
            record.was_synced = record.state == SYNCED
        record.data, record.state, record.is_foreign = data, PENDING, True

    def lease(self, name: Name, token: str) -> Record:
        """A claim hands the record out."""
        record = self.records[name]
        if record.place is Place.DIED:
            record.crashes += 1
        self.own(record)
        record.attempts += 1
        record.place, record.token = Place.LEASED, token
        return record

    def own(self, record: Record) -> None:
        """A claim meets what another application wrote, if it did."""
        if record.is_foreign:
            self.end(record, (SYNCED if record.was_synced else SUPERSEDED, None))
            record.revision += 1
            record.version = record.digest = record.delivery = record.newest = None
            record.attempts = record.crashes = 0
            record.is_foreign = record.was_synced = False

    def is_needed(self, delivery_id: str) -> bool:
        """Whether somebody may still want the body of a delivery that is older than all that is kept."""
        for reference in self.deliveries[delivery_id].references:
            state, _ = self.standing(delivery_id, reference)
            current = self.records[reference[:2]]
            if state == PENDING or (state == SET_ASIDE and current.revision == reference[2]):
                return True
        return False

    def forget(self, delivery_id: str) -> None:
        """A delivery has gone, and its key with it."""
        kept = self.deliveries.pop(delivery_id)
        if kept.key is not None:
            del self.keys[kept.key]

    def standing(self, delivery_id: str, reference: Reference) -> Standing:
        """How a record of a delivery stands."""
        ended = self.endings.get((delivery_id, reference))
        return ended if ended is not None else (self.records[reference[:2]].state, None)
