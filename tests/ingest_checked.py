"""The stores of ingest beside their model: what is done is done to both, and what is stored is held against the model.

For state machines: a rule says what happens here, and an AssertionError says where the stores did something else.
"""

import hashlib
from collections import Counter
from datetime import timedelta
from typing import Any

import ingest_model
from ingest_model import MOST_CRASHES, Model, Name, Place, Record
from ingest_samples import delivery
from intertie.audit.v1 import audit_pb2
from intertie_chassis.clock import utc_now
from intertie_ingest.audit_convert import entries_of_group, entries_of_replay
from intertie_ingest.browse_store import DeliveryFilter
from intertie_ingest.configuration import Configuration
from intertie_ingest.errors import DeliveryKeyReused
from intertie_ingest.lease_model import Lease, Outcome, Settlement
from intertie_ingest.model import Status
from intertie_ingest.retention import Retention
from intertie_ingest.retention_store import RetentionStore
from intertie_ingest.selection import RecordFilter

AN_HOUR = 3600
LONGEST_LEASE = 600
LONG_AGO = "2020-01-01 00:00:00"
_STATES = {
    "pending": ingest_model.PENDING,
    "synced": ingest_model.SYNCED,
    "error": ingest_model.SET_ASIDE,
    "outdated": ingest_model.SUPERSEDED,
}
_SETTLED = {
    Outcome.SYNCED: ingest_model.SYNCED,
    Outcome.SET_ASIDE: ingest_model.SET_ASIDE,
    Outcome.SUPERSEDED: ingest_model.SUPERSEDED,
    Outcome.RETRY: ingest_model.PENDING,
}
_OUT = (Place.HELD, Place.WAITING)
_TABLES = ("external_data_cache", "inbound_deliveries", "inbound_delivery_endings", "ingest_outbox")


class Checked:
    """One installation and the model of it; time passes where a method says so, and nowhere else."""

    def __init__(self, ingest: Any, config: Configuration) -> None:
        """`ingest` is what the fixtures of the store tests open."""
        self.ingest, self.config = ingest, config
        self.model = Model()
        self.leases: list[Lease] = []
        #: by row number, what mapper's link would say: the state that was applied last
        self.applied: dict[int, tuple[int, bytes, bytes]] = {}
        self._writes = 0

    async def empty(self) -> None:
        """Forgets all that is stored."""
        for table in _TABLES:
            await self.ingest.sql(f"DELETE FROM {{prefix}}{table}")

    async def deliver(self, sent: list[tuple[Any, str | None]]) -> None:
        """Accepts bodies with their keys as one group."""
        group = [delivery(body, self.config, key=key) for body, key in sent]
        folded = await self.ingest.store.commit(group, entries_of_group)
        for one, outcome in zip(group, folded.outcomes, strict=True):
            expected = self.model.deliver(one)
            if isinstance(outcome, DeliveryKeyReused):
                assert expected is None
            else:
                assert (outcome.delivery_id, outcome.is_duplicate) == expected

    async def overwrite(self, record: Record) -> None:
        """As the PHP application does: the data, and `pending`; it knows no other column."""
        if self.ingest.database.dialect == "sqlite" and record.token is not None:
            return  # nothing tells of it under a lease there: no application shares an embedded database
        self._writes += 1
        data = f'{{"by": "another application", "n": {self._writes}}}'
        await self.ingest.sql(
            "UPDATE {cache} SET data_json = :data, sync_status = 'pending'"
            " WHERE mapping_id = :mapping AND external_id = :id",
            data=data,
            mapping=record.name[0],
            id=record.name[1],
        )
        self.model.write(record.name, data)

    async def lease(self, most: int, *, solo_first: bool = False) -> Lease | None:
        """Leases, and checks that a claim gives what it may and all that it must."""
        active = self.config.active_mappings
        ready = {name for name, one in self.model.records.items() if _is_ready(one) and name[0] in active}
        lease: Lease | None = await self.ingest.queue.lease(most, LONGEST_LEASE, active, solo_first=solo_first)
        names = [] if lease is None else [(one.mapping_id, one.external_id) for one in lease.records]
        assert set(names) <= ready, "nothing is held twice, nor handed out before its time"
        assert len(set(names)) == len(names) <= most
        for name, row in (await self.rows()).items():
            if name not in names:
                self._step(self.model.records[name], row, is_active=name[0] in active)
        if lease is None:
            assert not [name for name in ready if _is_ready(self.model.records[name])], "what is ready is handed out"
            return None
        self.leases.append(lease)
        for name in names:
            if (record := self.model.records[name]).place is Place.DIED and not record.is_solo:
                record.step_out(Place.SOLO)
        is_alone = any(self.model.records[name].is_solo for name in names)
        assert not is_alone or len(names) == 1, "what a worker may have died of is leased alone"
        for name, one in zip(names, lease.records, strict=True):
            record = self.model.lease(name, lease.token)
            assert (one.data.decode(), one.revision, one.attempts) == (record.data, record.revision, record.attempts)
            assert (one.delivery_id or None, one.version_key or None) == (record.delivery, record.version)
            assert one.digest == hashlib.sha256(one.data).digest()
        return lease

    def _step(self, record: Record, row: Any, *, is_active: bool) -> None:
        """A claim may move what it meets and does not hand out: records of dead leases into a lane of their own, and
        out of it when workers died of them three times; records whose mapping is off out of the queue.
        """
        if not _is_ready(record):
            return
        if not is_active and row.available_at is None:
            assert row.error_reason == "mapping_inactive"
            self.model.own(record)
            record.step_out(Place.HELD)
            record.attempts = 0
        elif record.place is Place.DIED and record.is_solo and record.crashes == MOST_CRASHES - 1:
            if row.sync_status == "error":
                assert (row.error_reason, row.crashes) == ("crashed", MOST_CRASHES)
                record.leave_queue(ingest_model.SET_ASIDE)
                record.crashes = MOST_CRASHES
        elif record.place is Place.DIED and not record.is_solo and row.lease_token is None:
            record.step_out(Place.SOLO)

    async def settle(self, lease: Lease, outcomes: list[Outcome]) -> None:
        """Applies what it says was synced, settles, and checks whose settlement holds."""
        self.apply(lease, [outcome is Outcome.SYNCED for outcome in outcomes])
        settlements = [
            Settlement(one.id, one.revision, outcome, retry_seconds=AN_HOUR, reason="because")
            for one, outcome in zip(lease.records, outcomes, strict=True)
        ]
        stale = await self.ingest.settlements.settle(lease.token, settlements)
        expected: list[int] = []
        for one, outcome in zip(lease.records, outcomes, strict=True):
            record = self.model.records[one.mapping_id, one.external_id]
            if record.token != lease.token or record.revision != one.revision:
                expected.append(one.id)
            elif record.is_foreign:
                expected.append(one.id)
                record.step_out(Place.SOLO if record.is_solo else Place.FRESH)
                record.attempts = 0
            else:
                record.leave_queue(_SETTLED[outcome])
                if outcome is Outcome.RETRY:
                    record.place = Place.LATER
        assert stale == sorted(expected)

    def apply(self, lease: Lease, which: list[bool] | None = None) -> None:
        """As mapper does: an older state than the link's is left, and the very state of the link was applied before."""
        for one, is_applied in zip(lease.records, which or [True] * len(lease.records), strict=True):
            link = self.applied.get(one.id)
            if is_applied and (link is None or (link[0] <= one.revision and link[:2] != (one.revision, one.digest))):
                self.applied[one.id] = one.revision, one.digest, one.data

    async def die(self, lease: Lease) -> None:
        """Nobody settles it, and its time passes."""
        end = f"UPDATE {{cache}} SET available_at = '{LONG_AGO}' WHERE lease_token = :token"
        await self.ingest.sql(end, token=lease.token)
        for record in self.model.records.values():
            if record.token == lease.token:
                record.place = Place.DIED

    async def extend(self, lease: Lease) -> None:
        """A heartbeat: what is held goes on being held, the rest is told to be lost."""
        lost = await self.ingest.queue.extend([lease.token], LONGEST_LEASE)
        assert (lost == []) == (lease in self.held())

    def held(self) -> list[Lease]:
        """Leases of which something is left."""
        tokens = {record.token for record in self.model.records.values() if record.place is Place.LEASED}
        return [lease for lease in self.leases if lease.token in tokens]

    async def let_retries_fall_due(self) -> None:
        """Time passes for what is to be tried again."""
        await self.ingest.sql(
            f"UPDATE {{cache}} SET available_at = '{LONG_AGO}' WHERE sync_status = 'pending'"
            " AND lease_token IS NULL AND available_at > :now",
            now=utc_now() + timedelta(minutes=1),
        )
        for record in self.model.records.values():
            if record.place is Place.LATER:
                record.place = Place.FRESH

    async def replay(self, *, is_waiting: bool) -> None:
        """Hands out again what is set aside, or what waits for its time."""
        wanted = RecordFilter(status=Status.PENDING if is_waiting else Status.ERROR, is_waiting=is_waiting)
        replayed = await self.ingest.set_aside.replay(wanted, lambda ids: entries_of_replay(ids, {}, "operator", ""))
        ids = replayed.ids
        records = list(self.model.records.values())
        waiting = [one for one in records if one.state == ingest_model.PENDING and one.place in _OUT]
        chosen = waiting if is_waiting else [one for one in records if one.state == ingest_model.SET_ASIDE]
        assert len(ids) == len(chosen)
        for record in chosen:
            record.state, record.attempts, record.crashes = ingest_model.PENDING, 0, 0
            record.step_out(Place.FRESH)

    async def configure(self, config: Configuration) -> None:
        """Mappings are switched: what was held for those that are on is released."""
        self.config = config
        await self.ingest.queue.release_held(config.active_mappings)
        for record in self.model.records.values():
            if record.place is Place.HELD and record.name[0] in config.active_mappings:
                record.place = Place.FRESH

    async def forget(self, days: int) -> None:
        """So many days later bodies go after 30 days, deliveries after 400, but for those that somebody may need."""
        store, later = RetentionStore(self.ingest.database, self.ingest.tables), utc_now() + timedelta(days=days)
        await Retention(store, 30, 400, clock=lambda: later, least_pause=0).round()
        gone = [delivery_id for delivery_id in self.model.deliveries if not self.model.is_needed(delivery_id)]
        for delivery_id in gone:
            self.model.deliveries[delivery_id].has_body = False
            if days > 400:
                self.model.forget(delivery_id)

    async def rows(self) -> dict[Name, Any]:
        """The cache, by mapping and external id."""
        return {(row.mapping_id, row.external_id): row for row in await self.ingest.sql("SELECT * FROM {cache}")}

    async def check_cache(self) -> None:
        """Each record's newest state, and where it stands in the queue."""
        rows = await self.rows()
        assert rows.keys() == self.model.records.keys()
        for name, row in rows.items():
            record = self.model.records[name]
            said = (_STATES[row.sync_status], row.data_json, row.revision, row.delivery_id, row.version_key)
            assert said == (record.state, record.data, record.revision, record.delivery, record.version)
            if record.newest is not None:
                assert record.version == record.newest, "the newest version wins"
            if record.state != ingest_model.PENDING:
                assert row.lease_token is None
                continue
            queued = (row.lease_token, bool(row.lease_solo), row.attempts, row.crashes, row.available_at is None)
            is_out = record.place in _OUT
            assert queued == (record.token, record.is_solo, record.attempts, record.crashes, is_out)
            assert record.crashes < MOST_CRASHES or record.is_foreign

    async def check_deliveries(self) -> None:
        """Each record of each delivery has one standing, and what it had ended as it keeps."""
        stored = {one.delivery_id: one for one in await self.ingest.browse.deliveries(DeliveryFilter(), None, 1000)}
        assert stored.keys() == self.model.deliveries.keys()
        for delivery_id, kept in self.model.deliveries.items():
            one = stored[delivery_id]
            assert one.is_body_expired is not kept.has_body
            standings = {
                (place.reference.mapping_id, place.reference.external_id, place.reference.revision): (
                    place.ending.value,
                    place.superseded_by,
                )
                for place in one.records
            }
            assert standings == {place: self.model.standing(delivery_id, place) for place in kept.references}

    async def check_target(self) -> None:
        """What was applied last to each synced record's row is what the cache has."""
        for row in (await self.rows()).values():
            if row.sync_status == "synced":
                data = row.data_json.encode()
                assert self.applied[row.id] == (row.revision, hashlib.sha256(data).digest(), data)

    async def check_audit(self) -> None:
        """The outbox has one entry of each acceptance; that of a new delivery has the delivery's id."""
        rows = await self.ingest.sql("SELECT payload FROM {prefix}ingest_outbox")
        entries = [
            entry
            for row in rows
            for entry in audit_pb2.AppendEntriesRequest.FromString(bytes(row.payload)).entries
            if entry.query_type == "webhook"
        ]
        assert len({entry.entry_id for entry in entries}) == len(entries)
        told = Counter((entry.delivery_id, entry.entry_id != entry.delivery_id) for entry in entries)
        assert told == self.model.accepted


def _is_ready(record: Record) -> bool:
    """Whether a claim may meet it."""
    return record.state == ingest_model.PENDING and record.place in (Place.FRESH, Place.SOLO, Place.DIED)
