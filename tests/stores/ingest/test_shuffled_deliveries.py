"""In whatever order versions come, however often, and whoever dies in between: cache and target end as if in order.

Ingest's stores and mapper's work on one database, and hand records to each other in the messages of their contract.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

import fault_form
from ingest_samples import configuration, mapping, system
from intertie_ingest import queue_convert
from intertie_ingest.audit_convert import entries_of_replay
from intertie_ingest.browse_store import DeliveryFilter
from intertie_ingest.configuration import Configuration
from intertie_ingest.lease_model import Lease
from intertie_ingest.model import Ending, RecordReason, Status
from intertie_ingest.selection import RecordFilter
from intertie_mapper import convert
from mapper_rig import SYSTEM_ID, Rig, rig

Open = Callable[[Configuration], Awaitable[Any]]

ENTITIES, NEWEST = ("a", "b"), 4
MAPPING = {"field_mappings": {"title": "event_title", "v": "capacity"}, "version_field": "v"}
VERSIONS = [(entity, version) for entity in ENTITIES for version in range(1, NEWEST + 1)]
FATES = ("nothing", "nothing", "settles", "dies", "applies and dies", "is late")

ORDERS = st.permutations(VERSIONS)
AGAIN = st.lists(st.tuples(st.sampled_from(VERSIONS), st.integers(0, len(VERSIONS))), max_size=6)
GROUPS = st.lists(st.integers(1, 3), min_size=1, max_size=4)
WORK = st.lists(st.sampled_from(FATES), min_size=1, max_size=8)


class Both:
    """Ingest and mapper."""

    def __init__(self, ingest: Any, mapper: Rig) -> None:
        self.ingest, self.mapper = ingest, mapper
        self.late: list[tuple[Lease, list[Any]]] = []

    async def empty(self) -> None:
        """Forgets what the example before has left."""
        for table in ("external_data_cache", "inbound_deliveries", "inbound_delivery_endings", "ingest_outbox"):
            await self.ingest.sql(f"DELETE FROM {{prefix}}{table}")
        tables = ("event_integration_checkpoints", "external_record_links", "events", "mapper_outbox")
        await self.mapper.run(*(f"DELETE FROM {{p}}{table}" for table in tables))
        self.late.clear()

    async def send(self, *states: tuple[str, int]) -> None:
        """A group of deliveries, each with the key of its version."""
        bodies = [{"id": entity, "v": version, "title": f"{entity}, {version}"} for entity, version in states]
        await self.ingest.commit(*bodies)

    async def work(self, fate: str) -> bool:
        """A worker leases what there is, and does or does not finish it; False when there was nothing."""
        if fate == "nothing" or (lease := await self.ingest.lease()) is None:
            return False
        if fate == "dies":
            await self.ingest.end_leases()
            return True
        taken = convert.lease(queue_convert.lease_response(lease))
        assert taken is not None
        endings = await self.mapper.processor.process(taken)
        if fate == "applies and dies":
            await self.ingest.end_leases()
        elif fate == "is late":
            self.late.append((lease, endings))
        else:
            await self.settle(lease, endings)
        return True

    async def settle(self, lease: Lease, endings: list[Any]) -> None:
        """Says how the records of a lease ended."""
        request = convert.settlements(lease.token, endings)
        await self.ingest.settlements.settle(queue_convert.lease_token(request), queue_convert.settlements(request))

    async def play(self, order: list[tuple[str, int]], groups: list[int], fates: list[str]) -> None:
        """Sends in this order, so many at once, with workers in between; then lets everything end."""
        await self.empty()
        left, turn = list(order), 0
        while left:
            size = groups[turn % len(groups)]
            await self.send(*left[:size])
            await self.work(fates[turn % len(fates)])
            left, turn = left[size:], turn + 1
        for lease, endings in self.late:
            await self.settle(lease, endings)
        await self.ingest.end_leases()
        while await self.work("settles"):
            pass
        # Workers that died three times over one record have set it aside.
        crashed = RecordFilter(status=Status.ERROR, error_reason=RecordReason.CRASHED.value)
        await self.ingest.set_aside.replay(crashed, lambda ids: entries_of_replay(ids, {}, "operator", ""))
        while await self.work("settles"):
            pass
        await self.check()

    async def check(self) -> None:
        """As if in order, and each delivery ended once."""
        newest = {entity: (NEWEST, f"{entity}, {NEWEST}") for entity in ENTITIES}
        cached = await self.ingest.sql("SELECT external_id, data_json, sync_status FROM {cache}")
        assert {row.external_id: row.sync_status for row in cached} == dict.fromkeys(ENTITIES, "synced")
        said = {row.external_id: json.loads(row.data_json) for row in cached}
        assert {entity: (one["v"], one["title"]) for entity, one in said.items()} == newest
        rows = await self.mapper.rows("SELECT event_title, capacity FROM {p}events")
        assert sorted((row["capacity"], row["event_title"]) for row in rows) == sorted(newest.values())
        assert len(await self.mapper.rows("SELECT id FROM {p}external_record_links")) == len(ENTITIES)
        for one in await self.ingest.browse.deliveries(DeliveryFilter(), None, 100):
            # Set aside for its workers' deaths, and overtaken before the replay: that ending stays.
            assert one.state in (Ending.SYNCED, Ending.SUPERSEDED, Ending.SET_ASIDE)
            assert all(record.superseded_by for record in one.records if record.ending is Ending.SUPERSEDED)
        told = [entry for entry in await self.mapper.audited() if b'"insert"' in entry.response_payload]
        assert len(told) == len(ENTITIES)


def shuffled(order: list[tuple[str, int]], again: list[tuple[tuple[str, int], int]]) -> list[tuple[str, int]]:
    """The order with repetitions put into it."""
    sent = list(order)
    for state, place in again:
        sent.insert(place, state)
    return sent


@pytest.mark.timeout(3600)
def test_shuffled_versions_end_as_if_in_order(open_ingest: Open, database_url: str) -> None:
    """Permutations of the versions of two records, with repetitions, in groups, and workers that die or come late."""
    config = configuration(system(mapping(**MAPPING), number=SYSTEM_ID))
    opened = rig(database_url)
    with asyncio.Runner() as runner:
        both = Both(runner.run(open_ingest(config)), runner.run(opened.__aenter__()))
        both.mapper.map("events", MAPPING)

        @settings(
            max_examples=fault_form.amount("EXAMPLES", 20, 1000),
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        @given(ORDERS, AGAIN, GROUPS, WORK)
        @example(VERSIONS, [], [1], ["settles"])
        @example(VERSIONS[::-1], [], [1], ["applies and dies"])
        @example(VERSIONS, [(("a", 1), 8)], [1], ["is late"])
        def plays(
            order: list[tuple[str, int]], again: list[tuple[tuple[str, int], int]], groups: list[int], fates: list[str]
        ) -> None:
            runner.run(both.play(shuffled(order, again), groups, fates))

        try:
            plays()
        finally:
            runner.run(both.ingest.database.close())
            runner.run(opened.__aexit__(None, None, None))
