"""From a lease to the ending of each of its records: who may be tried, and what of each goes into the target."""

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from intertie_chassis.clock import utc_now
from intertie_chassis.errors import Unavailable
from intertie_mapper.assembly import Assembly, Plans, Prepared
from intertie_mapper.batch import Group, waves
from intertie_mapper.batch_store import BatchStore, Encode
from intertie_mapper.configuration import Configuration, MappingEntry
from intertie_mapper.errors import Refusal, TargetReason
from intertie_mapper.landing import Landing
from intertie_mapper.model import Ending, Lease, LeasedRecord
from intertie_mapper.target_health import TargetHealth
from intertie_mapper.target_tables import TargetTables
from intertie_mapping.plan import Plan

_log = structlog.get_logger()
_TRIES_FOR_CONFIGURATION = 3
"""Leases of a record whose mapping is not known: the snapshot may be behind."""
_BREATH_SECONDS = 0.005
_SLOW_SECONDS = 0.05
"""Of the processor, not of the clock: a machine that is busy with something else makes no expression heavy."""

MakeEncode = Callable[[str, int], Encode]
"""For a lease's token and the milliseconds when work on it began: what turns endings into a batch for audit."""


class Processor:
    """Applies leased records to the target."""

    def __init__(
        self, configuration: Configuration, targets: TargetTables, store: BatchStore, make_encode: MakeEncode
    ) -> None:
        self._configuration = configuration
        self._targets = targets
        self._store = store
        self._make_encode = make_encode
        self._plans = Plans()
        self._assemblies: dict[bytes, Assembly] = {}
        self.health = TargetHealth(store.is_there)

    async def process(self, lease: Lease, is_held: Callable[[], bool] = lambda: True) -> list[Ending]:
        """An ending for each record of the lease. What is applied and noted is committed when this returns.

        `is_held` is asked before each transaction: records of a lease that was lost are left alone and have no ending.
        """
        encode = self._make_encode(lease.token, int(utc_now().timestamp() * 1000))
        landing = Landing(self._store, self._targets, self.health, encode, is_held)
        for some, may_try in self.health.portions(lease.records):
            if may_try and not landing.is_over:
                await self._by_table(some, landing)
            else:
                landing.leave(some)
        await landing.note()
        return landing.endings

    async def _by_table(self, records: Sequence[LeasedRecord], landing: Landing) -> None:
        """All whose tables are well together, then those of each table that is not."""
        well: list[LeasedRecord] = []
        unwell: dict[str, list[LeasedRecord]] = {}
        for record in records:
            mapping = self._configuration.mapping(record.mapping_id)
            table = mapping.target_table if mapping is not None and mapping.is_active else ""
            if self.health.is_well(table):
                well.append(record)
            else:
                unwell.setdefault(table, []).append(record)
        await self._land(well, landing)
        if unwell:
            landing.hurry()
        for table, some in unwell.items():
            for portion, may_try in self.health.portions(some, table):
                if may_try and not landing.is_over:
                    await self._land(portion, landing)
                else:
                    landing.leave(portion, table)

    async def _land(self, records: Sequence[LeasedRecord], landing: Landing) -> None:
        for wave in waves(await self._prepare(records, landing)):
            await landing.land(wave)

    async def _prepare(self, records: Sequence[LeasedRecord], landing: Landing) -> list[Group]:
        by_mapping: dict[int, list[LeasedRecord]] = {}
        for record in records:
            by_mapping.setdefault(record.mapping_id, []).append(record)
        groups: list[Group] = []
        for mapping_id, some in by_mapping.items():
            mapping = self._configuration.mapping(mapping_id)
            if mapping is None or not mapping.is_active:
                self._without_mapping(some, mapping, landing)
                continue
            if landing.is_over:
                landing.leave(some, mapping.target_table)
                continue
            try:
                plan = self._plans.of(mapping)
                assembly = await self._assembly(mapping, plan)
            except Refusal as refusal:
                for record in some:
                    landing.refuse(record, mapping.target_table, refusal)
                continue
            except Unavailable as error:
                await landing.unreadable(some, mapping.target_table, plan.configuration.retry_delays, error)
                continue
            group = await self._prepared(mapping, assembly, some, landing)
            if group.items:
                groups.append(group)
        return groups

    async def _prepared(
        self, mapping: MappingEntry, assembly: Assembly, records: Sequence[LeasedRecord], landing: Landing
    ) -> Group:
        """The records with their values, without those that are refused.

        Expressions may take their time, and health, heartbeats and other batches must not wait for them: after a breath
        the others have their turn, and where a record takes long, those after it are prepared in a thread.
        """
        whole = Group(mapping, assembly, ())
        items: list[Prepared] = []
        busy, until = time.thread_time(), time.perf_counter() + _BREATH_SECONDS
        for record in records:
            try:
                if assembly.is_slow:
                    items.append(await asyncio.to_thread(assembly.prepare, record))
                else:
                    items.append(assembly.prepare(record))
            except Refusal as refusal:
                landing.refuse(record, mapping.target_table, refusal, whole)
            except Exception as error:  # a fault of ours must not take the record's neighbours along
                landing.internal(record, whole, error)
            if time.perf_counter() > until:
                # Of a breath only the last record can have been long: its end is looked for after each.
                assembly.is_slow = assembly.is_slow or time.thread_time() - busy > _SLOW_SECONDS
                await asyncio.sleep(0)
                busy, until = time.thread_time(), time.perf_counter() + _BREATH_SECONDS
        return Group(mapping, assembly, tuple(items))

    async def _assembly(self, mapping: MappingEntry, plan: Plan) -> Assembly:
        table = await self._targets.get(mapping.target_table)
        known = self._assemblies.get(mapping.fingerprint)
        if known is None or known.table is not table:
            known = Assembly(plan, table)
            if len(self._assemblies) > 500:
                self._assemblies.clear()
            self._assemblies[mapping.fingerprint] = known
        return known

    def _without_mapping(self, records: Sequence[LeasedRecord], mapping: MappingEntry | None, landing: Landing) -> None:
        """Ingest hands out no such records: one of the two snapshots is behind, so they come again in a moment."""
        if mapping is None:
            reason, target = TargetReason.MAPPING_GONE, ""
            message = f"there is no mapping of number {records[0].mapping_id} any more"
        else:
            reason, target = TargetReason.MAPPING_INACTIVE, mapping.target_table
            message = (
                f"the mapping {mapping.name} or its system {mapping.system} is off; replay the record once it is on"
            )
        for record in records:
            if record.attempts < _TRIES_FOR_CONFIGURATION:
                landing.later(record, target, reason, message, 5)
            else:
                landing.refuse(record, target, Refusal(reason, "", message))
