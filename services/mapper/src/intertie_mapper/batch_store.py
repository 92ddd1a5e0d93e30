"""The one transaction of a batch: target rows, links, checkpoints and the audit's outbox row stand or fall together."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar

from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis import database_errors
from intertie_chassis.clock import utc_now
from intertie_chassis.database import Database
from intertie_chassis.errors import Unavailable
from intertie_chassis.outbox import Outbox
from intertie_mapper import refusals
from intertie_mapper.batch import Group, Row, Step, decide
from intertie_mapper.checkpoint_store import CONFIRMED, FAILED, CheckpointStore, Note
from intertie_mapper.columns import Key, SqlValue, TargetTable
from intertie_mapper.errors import Refusal
from intertie_mapper.keys import key_to_json, local_id
from intertie_mapper.link_store import LinkStore, NewLink
from intertie_mapper.model import Action, Ending, Outcome, set_aside
from intertie_mapper.statements import Dialect
from intertie_mapper.target_store import TargetStore

T = TypeVar("T")
Encode = Callable[[Sequence[Ending]], bytes]

LOCK_WAIT_SECONDS = 5
"""How long a statement of a batch waits for what others hold; not again for the same lock."""
_TRANSACTION_SECONDS = 20.0
_WRITING = (Action.INSERT, Action.UPDATE, Action.UNCHANGED)
"""What is linked anew and confirmed; the other actions leave all as it is."""


class _Landed(NamedTuple):
    """What was done with a record, and the row that it has now."""

    step: Step
    key: Key | None
    key_json: str


class TargetError(Exception):
    """The target database refused a statement."""

    def __init__(self, number: int | None, text: str, *, is_data: bool, is_schema: bool) -> None:
        """`text` is the driver's: for `refusals` and the log only."""
        self.number = number
        self.text = text
        self.is_data = is_data
        self.is_schema = is_schema
        super().__init__(text)


class LinkRaceError(Exception):
    """Another transaction linked one of the records, or one of the rows, meanwhile."""


class BatchStore:
    """Applies groups of records to the target database."""

    def __init__(self, database: Database, dialect: Dialect, prefix: str, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox
        self.targets = TargetStore(dialect)
        self.links = LinkStore(dialect, f"{prefix}external_record_links")
        self.checkpoints = CheckpointStore(dialect)

    async def apply(self, groups: Sequence[Group], encode: Encode, lock_wait: int = LOCK_WAIT_SECONDS) -> list[Ending]:
        """Do with every record what its link says, all in one transaction.

        Gives an ending for each; those that are set aside (target_deleted, …) are not in the audit yet. Raises
        TargetError when a statement failed (then nothing happened), LinkRaceError when the same may succeed at once,
        StoreBusy when others held a row or a table for longer than `lock_wait` seconds, Unavailable.
        """
        now = utc_now()

        async def work(connection: AsyncConnection) -> list[Ending]:
            endings: list[Ending] = []
            for group in sorted(groups, key=lambda group: group.mapping.id):
                endings += await self._apply_group(connection, group, now)
            noted = [ending for ending in endings if ending.action not in (Action.REFUSED, Action.APPLIED)]
            if noted:
                await self._outbox.append(connection, encode(noted))
            return endings

        endings = await self._run(work, lock_wait)
        self._outbox.wake()
        return endings

    async def refuse(
        self, refused: Sequence[tuple[Ending, Group | None]], encode: Encode, lock_wait: int = LOCK_WAIT_SECONDS
    ) -> None:
        """Note what was set aside: in the audit, and as `failed` in the checkpoints of rows that are there.

        Raises TargetError, StoreBusy, Unavailable.
        """
        now = utc_now()

        async def work(connection: AsyncConnection) -> None:
            by_group: dict[int, tuple[Group, list[Ending]]] = {}
            for ending, group in refused:
                if group is not None and group.assembly.table.checkpoint is not None:
                    by_group.setdefault(group.mapping.id, (group, []))[1].append(ending)
            for group, endings in by_group.values():
                await self._note_failures(connection, group, endings, now)
            await self._outbox.append(connection, encode([ending for ending, _ in refused]))

        await self._run(work, lock_wait)
        self._outbox.wake()

    async def steps(
        self, connection: AsyncConnection, group: Group, *, lock: bool
    ) -> tuple[list[Step], list[tuple[int, Refusal]]]:
        """What is to be done with each record of the group, and which are refused (by position); reads only."""
        assembly = group.assembly
        table, mapping_id = assembly.table, group.mapping.id
        links = await self.links.read(
            connection, table, mapping_id, [item.record.external_id for item in group.items], lock=lock
        )
        keys = [link.key for link in links.values() if link.key is not None]
        rows = await self.targets.read(connection, table, keys, assembly.compared) if keys else {}
        matches = await self._matches(connection, group, {name for name, link in links.items() if not link.moved})
        found = [match[0][0] for match in matches.values() if match]
        holders = await self.links.holders(connection, table, mapping_id, found) if found else {}
        steps: list[Step] = []
        refused: list[tuple[int, Refusal]] = []
        taken: set[Key] = set()
        for position, item in enumerate(group.items):
            link, match = links.get(item.record.external_id), matches.get(position, [])
            row = rows.get(link.key) if link is not None and link.key is not None else None
            holder = holders.get(match[0][0]) if match else None
            if match and holder is None and match[0][0] in taken:
                holder = "earlier in the same batch"
            try:
                step = decide(group, item, link, row, match, holder)
            except Refusal as refusal:
                refused.append((position, refusal))
                continue
            if step.key is not None:
                taken.add(step.key)
            steps.append(step)
        return steps, refused

    async def _matches(
        self, connection: AsyncConnection, group: Group, linked: set[str]
    ) -> dict[int, list[tuple[Key, Row]]]:
        assembly = group.assembly
        wanted = {
            position: values
            for position, item in enumerate(group.items)
            if item.record.external_id not in linked and (values := assembly.match_values(item.values)) is not None
        }
        if not wanted:
            return {}
        found = await self.targets.match(
            connection, assembly.table, assembly.match_columns, list(wanted.values()), assembly.compared
        )
        return dict(zip(wanted, found, strict=True))

    async def _apply_group(self, connection: AsyncConnection, group: Group, now: datetime) -> list[Ending]:
        table = group.assembly.table
        steps, refused = await self.steps(connection, group, lock=True)
        keys = [step.key for step in steps]
        await self._update(connection, table, steps, keys)
        await self._insert(connection, table, steps, keys)
        landed = [
            _Landed(step, key, "" if key is None else key_to_json(table, key))
            for step, key in zip(steps, keys, strict=True)
        ]
        written = [one for one in landed if one.step.action in _WRITING]
        await self._link(connection, group, written, now)
        if table.checkpoint is not None and written:
            system_id, system = group.mapping.system_id, group.mapping.system
            notes = [
                Note(int(key[0]), system_id, system, step.prepared.record.data)
                for step, key, _ in written
                if key is not None and key[0] is not None
            ]
            await self.checkpoints.note(connection, table.checkpoint, CONFIRMED, notes, now)
        endings = [_ending(table, one) for one in landed]
        return endings + [set_aside(group.items[position].record, table.name, refusal) for position, refusal in refused]

    async def _update(
        self, connection: AsyncConnection, table: TargetTable, steps: Sequence[Step], keys: list[Key | None]
    ) -> None:
        """Changes the rows of the steps that say so; keys that change with them are changed in `keys`."""
        by_columns: dict[tuple[str, ...], list[tuple[Key, tuple[SqlValue, ...]]]] = {}
        for place, step in enumerate(steps):
            if step.action is not Action.UPDATE or step.key is None:
                continue
            values = step.values or {}
            own = dict(zip(table.primary_key, step.key, strict=True))
            if any(name in values and values[name] != old for name, old in own.items()):
                keys[place] = tuple(values.get(name, old) for name, old in own.items())
            else:
                values = {name: value for name, value in values.items() if name not in own}
            if values:
                by_columns.setdefault(tuple(values), []).append((step.key, tuple(values.values())))
        for names, rows in by_columns.items():
            await self.targets.update(connection, table, names, rows)

    async def _insert(
        self, connection: AsyncConnection, table: TargetTable, steps: Sequence[Step], keys: list[Key | None]
    ) -> None:
        """Makes the rows of the steps that say so, and puts their keys into `keys`."""
        by_columns: dict[tuple[str, ...], list[int]] = {}
        for place, step in enumerate(steps):
            if step.action is Action.INSERT:
                by_columns.setdefault(tuple(step.values or ()), []).append(place)
        new: list[Key] = []
        for names, places in by_columns.items():
            rows = [tuple((steps[place].values or {}).values()) for place in places]
            made = await self.targets.insert(connection, table, names, rows)
            for place, key in zip(places, made, strict=True):
                keys[place] = key
            new += made
        if new and table.reuses_keys:
            await self.links.release(connection, table, new)

    async def _link(self, connection: AsyncConnection, group: Group, landed: Sequence[_Landed], now: datetime) -> None:
        table, fingerprint = group.assembly.table, group.mapping.fingerprint
        new = [NewLink(step.prepared.record, key_json) for step, _, key_json in landed if step.link is None]
        old = [
            NewLink(step.prepared.record, key_json, step.link.id)
            for step, _, key_json in landed
            if step.link is not None
        ]
        try:
            if new:
                await self.links.insert(connection, table, fingerprint, new, now)
            if old:
                await self.links.update(connection, table, fingerprint, old, now)
        except exc.IntegrityError as error:
            raise LinkRaceError from error

    async def _note_failures(
        self, connection: AsyncConnection, group: Group, endings: Sequence[Ending], now: datetime
    ) -> None:
        table = group.assembly.table
        messages = {ending.record.external_id: ending.message for ending in endings}
        links = await self.links.read(connection, table, group.mapping.id, list(messages), lock=False)
        keys = {link.key: link.external_id for link in links.values() if link.key is not None}
        there = await self.targets.read(connection, table, list(keys), ()) if keys else {}
        notes = [
            Note(int(key[0] or 0), group.mapping.system_id, group.mapping.system, error=messages[keys[key]])
            for key in there
        ]
        if notes and table.checkpoint is not None:
            await self.checkpoints.note(connection, table.checkpoint, FAILED, notes, now)

    async def _run(self, work: Callable[[AsyncConnection], Awaitable[T]], lock_wait: int) -> T:
        try:
            return await self._database.transaction(work, timeout=_TRANSACTION_SECONDS, lock_wait=lock_wait)
        except exc.DBAPIError as error:
            number, text = database_errors.error_number(error), database_errors.constraint_text(error)
            raise TargetError(
                number,
                text,
                is_data=database_errors.is_data_error(error) or refusals.is_row_error(number),
                is_schema=refusals.is_schema_error(number, text),
            ) from error

    async def is_there(self) -> bool:
        """Whether the target database answers, and lets the links be written, which every record needs."""
        # SQLite's own wait for another writer is five seconds; it must not be cut off, or it would go on in its thread.
        seconds = 8.0 if self._database.dialect == "sqlite" else 3.0
        try:
            await self._database.transaction(self.links.write_nothing, timeout=seconds, lock_wait=1, is_look=True)
        except (Unavailable, exc.SQLAlchemyError):
            return False
        return True


def _ending(table: TargetTable, landed: _Landed) -> Ending:
    step, key, key_json = landed
    outcome = Outcome.SUPERSEDED if step.action is Action.SUPERSEDED else Outcome.SYNCED
    number = 0 if key is None else local_id(table, key)
    return Ending(step.prepared.record, outcome, step.action, table.name, key_json, number)
