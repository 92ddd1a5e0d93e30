"""From a lease to the ending of each of its records: prepare, apply, halve what fails, note what is set aside."""

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from intertie_chassis.clock import utc_now
from intertie_chassis.errors import Unavailable
from intertie_mapper import refusals
from intertie_mapper.assembly import Assembly, Plans, Prepared
from intertie_mapper.batch import Group, halves, size, waves
from intertie_mapper.batch_store import BatchStore, Encode, LinkRaceError, TargetError
from intertie_mapper.configuration import Configuration, MappingEntry
from intertie_mapper.errors import Refusal, TargetReason
from intertie_mapper.model import Action, Ending, Lease, LeasedRecord, Outcome, set_aside
from intertie_mapper.retries import is_exhausted, retry_seconds
from intertie_mapper.target_tables import TargetTables

_log = structlog.get_logger()
_TRIES_FOR_CONFIGURATION = 3
"""Leases of a record whose mapping is not known (the snapshot may be behind) or whose table just changed."""
_LINK_RACES = 3
_RECORDS_A_BREATH = 25
_SLOW_SECONDS = 0.05

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
        self.is_target_away = False
        """Set when the target did not answer; whoever leases waits until `await_target` returns."""

    async def process(self, lease: Lease, is_held: Callable[[], bool] = lambda: True) -> list[Ending]:
        """An ending for each record of the lease. What is applied and noted is committed when this returns.

        `is_held` is asked before each transaction: records of a lease that was lost are left alone and have no ending.
        """
        encode = self._make_encode(lease.token, int(utc_now().timestamp() * 1000))
        endings: list[Ending] = []
        refused: list[tuple[Ending, Group | None]] = []
        groups = await self._prepare(lease.records, endings, refused)
        for wave in waves(groups):
            await self._land(wave, encode, is_held, endings, refused)
        if refused and is_held():
            endings += await self._note(refused, encode)
        return endings

    async def await_target(self) -> None:
        """Returns once the target database answers again."""
        while True:
            if await self._store.is_there():
                self.is_target_away = False
                return
            await asyncio.sleep(1)

    async def _prepare(
        self, records: Sequence[LeasedRecord], endings: list[Ending], refused: list[tuple[Ending, Group | None]]
    ) -> list[Group]:
        by_mapping: dict[int, list[LeasedRecord]] = {}
        for record in records:
            by_mapping.setdefault(record.mapping_id, []).append(record)
        groups: list[Group] = []
        for mapping_id, some in by_mapping.items():
            mapping = self._configuration.mapping(mapping_id)
            if mapping is None or not mapping.is_active:
                self._without_mapping(some, mapping, endings, refused)
                continue
            try:
                assembly = await self._assembly(mapping)
            except Refusal as refusal:
                refused += [(set_aside(record, mapping.target_table, refusal), None) for record in some]
                continue
            except Unavailable as error:
                endings += [self._away(record, error) for record in some]
                continue
            whole = Group(mapping, assembly, ())
            items: list[Prepared] = []
            for position, record in enumerate(some):
                if position % _RECORDS_A_BREATH == _RECORDS_A_BREATH - 1:
                    await asyncio.sleep(0)  # expressions may take their time; health and heartbeats must not wait
                try:
                    items.append(await self._prepared(assembly, record))
                except Refusal as refusal:
                    refused.append((set_aside(record, mapping.target_table, refusal), whole))
                except Exception as error:  # a fault of ours must not take the record's neighbours along
                    self._internal(record, mapping.target_table, error, endings, refused)
            if items:
                groups.append(Group(mapping, assembly, tuple(items)))
        return groups

    async def _prepared(self, assembly: Assembly, record: LeasedRecord) -> Prepared:
        """The record's values; made in a thread where that takes long, so that other batches and heartbeats go on.

        Raises Refusal.
        """
        if assembly.is_slow:
            return await asyncio.to_thread(assembly.prepare, record)
        started = time.thread_time()
        try:
            return assembly.prepare(record)
        finally:
            assembly.is_slow = time.thread_time() - started > _SLOW_SECONDS

    async def _assembly(self, mapping: MappingEntry) -> Assembly:
        table = await self._targets.get(mapping.target_table)
        known = self._assemblies.get(mapping.fingerprint)
        if known is None or known.table is not table:
            known = Assembly(self._plans.of(mapping), table)
            if len(self._assemblies) > 500:
                self._assemblies.clear()
            self._assemblies[mapping.fingerprint] = known
        return known

    async def _land(
        self,
        groups: list[Group],
        encode: Encode,
        is_held: Callable[[], bool],
        endings: list[Ending],
        refused: list[tuple[Ending, Group | None]],
    ) -> None:
        """Apply the groups in one transaction; if that fails for their data, each half in one of its own, and so on."""
        if not groups or not is_held():
            return
        failure: Exception
        try:
            done = await self._apply(groups, encode)
        except Unavailable as error:
            endings += [self._away(item.record, error) for group in groups for item in group.items]
            return
        except TargetError as error:
            failure = error
            if error.is_schema and len(groups) == 1:
                self._changed(groups[0], error, endings, refused)
                return
        except Exception as error:  # a fault of ours, or a driver's: find the record that brings it about
            failure = error
        else:
            owners = {id(item.record): group for group in groups for item in group.items}
            for ending in done:
                if ending.action is Action.REFUSED:
                    refused.append((ending, owners[id(ending.record)]))
                else:
                    endings.append(ending)
            return
        if size(groups) > 1:
            for half in halves(groups):
                await self._land(half, encode, is_held, endings, refused)
            return
        self._alone(groups[0], failure, endings, refused)

    async def _apply(self, groups: list[Group], encode: Encode) -> list[Ending]:
        for _ in range(_LINK_RACES - 1):
            try:
                return await self._store.apply(groups, encode)
            except LinkRaceError:
                continue
        return await self._store.apply(groups, encode)

    def _alone(
        self, group: Group, failure: Exception, endings: list[Ending], refused: list[tuple[Ending, Group | None]]
    ) -> None:
        record, table = group.items[0].record, group.assembly.table
        if isinstance(failure, LinkRaceError):
            refusal = Refusal(
                TargetReason.TARGET_LINKED, "", f"its row of {table.name} belongs to another record of this mapping"
            )
        elif isinstance(failure, TargetError) and failure.is_data:
            _log.info("row refused", table=table.name, record=record.id, number=failure.number)
            found = refusals.refusal(table, failure.number, failure.text)
            names = [group.assembly.source(name) for name in found.field.split(", ") if name]
            refusal = Refusal(found.reason, ", ".join(names), found.message)
        else:
            self._internal(record, table.name, failure, endings, refused, group)
            return
        refused.append((set_aside(record, table.name, refusal), group))

    def _changed(
        self, group: Group, error: TargetError, endings: list[Ending], refused: list[tuple[Ending, Group | None]]
    ) -> None:
        """The table is not what it was, or may not be written: look at it anew, and soon give up."""
        name = group.assembly.table.name
        self._targets.forget(name)
        _log.warning("target table refused the statement", table=name, number=error.number, cause=error.text[:300])
        message = f"{name} was changed, or the database account may not write to it; check both"
        for item in group.items:
            if item.record.attempts < _TRIES_FOR_CONFIGURATION:
                endings.append(_retry(item.record, name, TargetReason.INVALID_MAPPING, message, 5))
            else:
                refusal = Refusal(TargetReason.INVALID_MAPPING, "", message)
                refused.append((set_aside(item.record, name, refusal), None))

    def _without_mapping(
        self,
        records: Sequence[LeasedRecord],
        mapping: MappingEntry | None,
        endings: list[Ending],
        refused: list[tuple[Ending, Group | None]],
    ) -> None:
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
                endings.append(_retry(record, target, reason, message, 5))
            else:
                refused.append((set_aside(record, target, Refusal(reason, "", message)), None))

    def _internal(
        self,
        record: LeasedRecord,
        table: str,
        error: Exception,
        endings: list[Ending],
        refused: list[tuple[Ending, Group | None]],
        group: Group | None = None,
    ) -> None:
        _log.error("record failed", record=record.id, table=table, attempts=record.attempts, exc_info=error)
        message = "mapper failed at this record; its log has the cause under the record's number"
        if is_exhausted(record.attempts):
            refused.append((set_aside(record, table, Refusal(TargetReason.INTERNAL_ERROR, "", message)), group))
        else:
            seconds = retry_seconds(record.attempts)
            endings.append(_retry(record, table, TargetReason.INTERNAL_ERROR, message, seconds))

    def _away(self, record: LeasedRecord, error: Unavailable) -> Ending:
        self.is_target_away = True
        return _retry(record, "", TargetReason.TARGET_UNAVAILABLE, error.message, retry_seconds(record.attempts))

    async def _note(self, refused: list[tuple[Ending, Group | None]], encode: Encode) -> list[Ending]:
        """Note what is set aside; what cannot be noted is not set aside, but tried again."""
        try:
            try:
                await self._store.refuse(refused, encode)
            except TargetError as error:  # a checkpoint table that refuses must not keep the audit from its entry
                _log.warning(
                    "failures could not be noted in the checkpoints", number=error.number, cause=error.text[:300]
                )
                await self._store.refuse([(ending, None) for ending, _ in refused], encode)
        except Unavailable as error:
            return [self._away(ending.record, error) for ending, _ in refused]
        return [ending for ending, _ in refused]


def _retry(record: LeasedRecord, table: str, reason: TargetReason, message: str, seconds: int) -> Ending:
    return Ending(record, Outcome.RETRY, Action.NONE, table, reason=str(reason), message=message, retry_seconds=seconds)
