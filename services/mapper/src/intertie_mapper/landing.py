"""One lease's way into the target: groups of records are applied, halved when they fail, and their endings gathered.

A transaction that fails says little of who is at fault. So it is asked whether the database answers; if it does, the
batch is halved until a record stands alone, and what holds for that one alone is its ending: set aside for its data,
another try when others keep its row locked.
"""

import time
from collections.abc import Callable, Iterable, Sequence

import structlog

from intertie_chassis.errors import StoreBusy, Unavailable
from intertie_mapper import refusals
from intertie_mapper.batch import Group, halves, size
from intertie_mapper.batch_store import LOCK_WAIT_SECONDS, BatchStore, Encode, LinkRaceError, TargetError
from intertie_mapper.errors import Refusal, TargetReason
from intertie_mapper.model import Action, Ending, LeasedRecord, set_aside
from intertie_mapper.retries import after_failure, is_exhausted, retry, retry_seconds, untried
from intertie_mapper.target_health import TargetHealth
from intertie_mapper.target_tables import TargetTables
from intertie_mapping.retrying import DELAYS

_log = structlog.get_logger()
_LINK_RACES = 3
_SHORT_LOCK_WAIT_SECONDS = 1
_TROUBLE_SECONDS = 30.0
"""How long a lease is looked through for those that are locked or slow; those not yet found alone are tried later."""
_AWAY = "the target database is not available at the moment"
_BUSY = "others kept {table} or one of its rows locked for too long"
_LOST = "the target database did not finish in time, or the connection was lost"


class Landing:
    """Gathers what becomes of the records of one lease."""

    def __init__(
        self,
        store: BatchStore,
        targets: TargetTables,
        health: TargetHealth,
        encode: Encode,
        is_held: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._targets = targets
        self._health = health
        self._encode = encode
        self._is_held = is_held
        self._clock = clock
        self._lock_wait = LOCK_WAIT_SECONDS
        self._until: float | None = None
        self._refused: list[tuple[Ending, Group | None]] = []
        self.endings: list[Ending] = []
        self.is_over = False
        """Whether the database was found away: nothing more of this lease is tried."""

    def hurry(self) -> None:
        """Wait for no lock longer than need be: what comes now has been found locked, or is likely to be."""
        self._lock_wait = _SHORT_LOCK_WAIT_SECONDS

    async def land(self, groups: list[Group], *, is_part: bool = False) -> None:
        """Apply the groups in one transaction; if that fails, each half in one of its own, and so on.

        `is_part`: whether they are part of what has failed.
        """
        groups = self._worth_trying(groups, is_part)
        if not groups or not self._is_held():
            return
        failure: Exception
        try:
            done = await self._apply(groups)
        except Unavailable as error:
            if not await self._health.still_answers():
                self._away(groups)
                return
            self._until = self._until or self._clock() + _TROUBLE_SECONDS
            if isinstance(error, StoreBusy):
                self.hurry()
            failure = error
        except TargetError as error:
            failure = error
            if error.is_schema and len(groups) == 1:
                self._changed(groups[0], error)
                return
        except Exception as error:  # a fault of ours, or a driver's: find the record that brings it about
            failure = error
        else:
            self._landed(groups, done)
            return
        if size(groups) > 1:
            for half in halves(groups):
                await self.land(half, is_part=True)
            return
        self._alone(groups[0], failure)

    def _worth_trying(self, groups: list[Group], is_part: bool) -> list[Group]:
        """Without those whose table rests by now; none at all when the time for finding the guilty is up."""
        is_late = self._until is not None and self._clock() > self._until
        if self.is_over or (is_late and not is_part):
            self._rest(groups)
            return []
        if is_late:
            # They have failed, if not alone: without an end to their attempts they might be tried like this for ever.
            for group in groups:
                for item in group.items:
                    self.failed(item.record, group, TargetReason.TARGET_BUSY, _BUSY.format(table=group.table))
            return []
        resting = [group for group in groups if self._health.is_resting(group.table)]
        self._rest(resting)
        return [group for group in groups if group not in resting] if resting else groups

    def _rest(self, groups: Iterable[Group]) -> None:
        for group in groups:
            self.leave((item.record for item in group.items), group.table)

    async def _apply(self, groups: list[Group]) -> list[Ending]:
        for _ in range(_LINK_RACES - 1):
            try:
                return await self._store.apply(groups, self._encode, self._lock_wait)
            except LinkRaceError:
                continue
        return await self._store.apply(groups, self._encode, self._lock_wait)

    def _landed(self, groups: list[Group], done: Sequence[Ending]) -> None:
        self._health.landed(group.table for group in groups)
        self.endings += [ending for ending in done if ending.action is not Action.REFUSED]
        refused = [ending for ending in done if ending.action is Action.REFUSED]
        owners = {id(item.record): group for group in groups for item in group.items} if refused else {}
        self._refused += [(ending, owners[id(ending.record)]) for ending in refused]

    def _alone(self, group: Group, failure: Exception) -> None:
        record, table = group.items[0].record, group.assembly.table
        if isinstance(failure, Unavailable):
            self._health.table_failed(table.name, [record.id])
            self.failed(record, group, *_trouble(failure, table.name))
        elif isinstance(failure, LinkRaceError):
            text = f"its row of {table.name} belongs to another record of this mapping"
            self.refuse(record, table.name, Refusal(TargetReason.TARGET_LINKED, "", text), group)
        elif isinstance(failure, TargetError) and failure.is_data:
            _log.info("row refused", table=table.name, record=record.id, number=failure.number)
            found = refusals.refusal(table, failure.number, failure.text)
            names = [group.assembly.source(name) for name in found.field.split(", ") if name]
            self.refuse(record, table.name, Refusal(found.reason, ", ".join(names), found.message), group)
        else:
            self.internal(record, group, failure)

    def _changed(self, group: Group, error: TargetError) -> None:
        """The table is not what it was, or may not be written: it is looked at anew."""
        name = group.table
        self._targets.forget(name)
        self._health.table_failed(name, [item.record.id for item in group.items])
        _log.warning("target table refused the statement", table=name, number=error.number, cause=error.text[:300])
        message = f"{name} was changed, or the database account may not write to it; check both"
        for item in group.items:
            self.failed(item.record, group, TargetReason.INVALID_MAPPING, message)

    def _away(self, groups: Iterable[Group]) -> None:
        self.is_over = True
        for group in groups:
            for item in group.items:
                self.failed(item.record, group, TargetReason.TARGET_UNAVAILABLE, _AWAY)

    async def unreadable(
        self, records: Sequence[LeasedRecord], table: str, delays: Sequence[int], error: Unavailable
    ) -> None:
        """The table of these records could not be looked at."""
        reason, message = TargetReason.TARGET_UNAVAILABLE, _AWAY
        if await self._health.still_answers():
            self._health.table_failed(table, [record.id for record in records])
            reason, message = _trouble(error, table)
        else:
            self.is_over = True
        for record in records:
            self._end(after_failure(record, delays, table, reason, message))

    def leave(self, records: Iterable[LeasedRecord], table: str = "") -> None:
        """These are not tried now: their table, or without one the database, is given a rest."""
        seconds = max(self._health.wait(table), self._health.wait())
        self.endings += [untried(record, table, seconds) for record in records]

    def later(self, record: LeasedRecord, table: str, reason: TargetReason, message: str, seconds: int) -> None:
        """The record is tried again after so many seconds, whatever its mapping says."""
        self.endings.append(retry(record, table, reason, message, seconds))

    def refuse(self, record: LeasedRecord, table: str, refusal: Refusal, group: Group | None = None) -> None:
        """The record is set aside, as soon as that is noted."""
        self._refused.append((set_aside(record, table, refusal), group))

    def failed(self, record: LeasedRecord, group: Group, reason: TargetReason, message: str) -> None:
        """The record failed for no fault of its own."""
        self._end(after_failure(record, group.delays, group.table, reason, message), group)

    def _end(self, ending: Ending, group: Group | None = None) -> None:
        if ending.action is Action.REFUSED:
            self._refused.append((ending, group))
        else:
            self.endings.append(ending)

    def internal(self, record: LeasedRecord, group: Group, error: Exception) -> None:
        """Mapper itself failed at the record."""
        _log.error("record failed", record=record.id, table=group.table, attempts=record.attempts, exc_info=error)
        message = "mapper failed at this record; its log has the cause under the record's number"
        if is_exhausted(record.attempts, group.delays):
            self.refuse(record, group.table, Refusal(TargetReason.INTERNAL_ERROR, "", message), group)
        else:
            seconds = retry_seconds(record.attempts, group.delays)
            self.later(record, group.table, TargetReason.INTERNAL_ERROR, message, seconds)

    async def note(self) -> None:
        """Note what is set aside; what cannot be noted is not set aside, but tried again."""
        if not self._refused or not self._is_held():
            return
        try:
            if self.is_over:
                raise Unavailable
            try:
                await self._store.refuse(self._refused, self._encode, self._lock_wait)
            except (TargetError, StoreBusy) as error:
                # A checkpoint table that refuses, or is locked, must not keep the audit from its entry.
                _log.warning("failures could not be noted in the checkpoints", cause=str(error)[:300])
                alone = [(ending, None) for ending, _ in self._refused]
                await self._store.refuse(alone, self._encode, self._lock_wait)
        except Unavailable:
            if not self.is_over:
                await self._health.still_answers()
            for ending, group in self._refused:
                seconds = retry_seconds(ending.record.attempts, group.delays if group else DELAYS)
                self.later(ending.record, "", TargetReason.TARGET_UNAVAILABLE, _AWAY, seconds)
        else:
            self._health.landed(())
            self.endings += [ending for ending, _ in self._refused]


def _trouble(error: Unavailable, table: str) -> tuple[TargetReason, str]:
    """What it means that a record failed so while the database answers."""
    if isinstance(error, StoreBusy):
        return TargetReason.TARGET_BUSY, _BUSY.format(table=table)
    return TargetReason.TARGET_UNAVAILABLE, _LOST
