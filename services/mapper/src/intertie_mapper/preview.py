"""What a mapping would do with records: the same decisions as a batch's, on what is there now, by reads alone.

What only the database can find out while writing (a foreign key, a check, a trigger) is not foreseen; a clash with
another row's unique key is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from intertie_chassis.database import Database
from intertie_mapper import validation
from intertie_mapper.assembly import Assembly, Prepared, parse_record
from intertie_mapper.batch import Group, Step
from intertie_mapper.batch_store import BatchStore
from intertie_mapper.columns import Key, SqlValue
from intertie_mapper.configuration import MappingEntry
from intertie_mapper.errors import Refusal, TargetReason
from intertie_mapper.keys import key_to_json, to_json
from intertie_mapper.model import Action, LeasedRecord
from intertie_mapper.target_store import Connection
from intertie_mapper.target_tables import TargetTables
from intertie_mapping.errors import MappingFault
from intertie_mapping.plan import Plan, compile_plan

NEWEST = 2**32 - 1
"""The revision of a previewed record: newer than any link's, so that it is compared with the row."""


@dataclass(frozen=True, slots=True)
class Change:
    """A column before and after, as JSON values."""

    column: str
    old: object
    new: object


@dataclass(slots=True)
class Preview:
    """What would happen to one record."""

    external_id: str = ""
    action: Action = Action.NONE
    """INSERT, UPDATE, UNCHANGED, SUPERSEDED, REFUSED; NONE: the filter does not let it pass."""
    key_json: str = ""
    changes: list[Change] = field(default_factory=list)
    reason: str = ""
    field: str = ""
    message: str = ""

    def refuse(self, refusal: Refusal) -> None:
        """Say why it would be set aside."""
        self.action = Action.REFUSED
        self.reason, self.field, self.message = refusal.reason, refusal.field, refusal.message


class Previews:
    """Makes previews."""

    def __init__(self, database: Database, targets: TargetTables, store: BatchStore) -> None:
        self._database = database
        self._targets = targets
        self._store = store

    async def problems(self, target_table: str, config: bytes, *, strict: bool) -> list[validation.Problem]:
        """All that is wrong with a mapping. Raises Unavailable when the target cannot be asked."""
        configuration, found = validation.read(config, strict=strict)
        try:
            table = await self._targets.look(target_table)
        except Refusal as refusal:
            return [*found, ("target_table", refusal.message)]
        return found if configuration is None else [*found, *validation.problems(configuration, table)]

    async def preview(
        self, mapping: MappingEntry, records: Sequence[bytes], *, strict: bool
    ) -> tuple[list[Preview], list[validation.Problem]]:
        """A preview of each record; none when the mapping itself has problems, which are named."""
        found = await self.problems(mapping.target_table, mapping.config, strict=strict)
        configuration, _ = validation.read(mapping.config, strict=False)
        if found or configuration is None:
            return [], found
        plan = compile_plan(configuration)
        assembly = Assembly(plan, await self._targets.get(mapping.target_table))
        previews = [Preview() for _ in records]
        prepared: list[tuple[int, Prepared]] = []
        for position, raw in enumerate(records):
            try:
                item = _prepare(plan, assembly, mapping, raw, previews[position])
            except Refusal as refusal:
                previews[position].refuse(refusal)
                continue
            if item is not None:
                prepared.append((position, item))
        group = Group(mapping, assembly, tuple(item for _, item in prepared))
        if group.items:
            await self._decide(group, [previews[position] for position, _ in prepared])
        return previews, []

    async def _decide(self, group: Group, previews: Sequence[Preview]) -> None:
        table = group.assembly.table
        async with self._database.read() as connection:
            steps, refused = await self._store.steps(connection, group, lock=False)
            keys = [step.key for step in steps if step.key is not None]
            rows = await self._store.targets.read(connection, table, keys, group.assembly.compared) if keys else {}
            clashes = await self._clashes(connection, group, steps)
        for position, refusal in refused:
            previews[position].refuse(refusal)
        by_item = {id(item): preview for item, preview in zip(group.items, previews, strict=True)}
        for step in steps:
            preview = by_item[id(step.prepared)]
            if id(step) in clashes:
                preview.refuse(clashes[id(step)])
                continue
            preview.action = step.action
            if step.action is Action.SUPERSEDED:
                preview.reason, preview.message = "superseded", "the row has a newer version of this record"
            if step.key is not None:
                preview.key_json = key_to_json(table, step.key)
            old = rows.get(step.key, {}) if step.key is not None else {}
            for name, value in (step.values or {}).items():
                column = table.by_name[name]
                if step.action is Action.INSERT or old.get(name) != value:
                    preview.changes.append(Change(name, to_json(column, old.get(name)), to_json(column, value)))

    async def _clashes(self, connection: Connection, group: Group, steps: Sequence[Step]) -> dict[int, Refusal]:
        """Steps that would meet another row's unique key."""
        table = group.assembly.table
        uniques = [key.columns for key in table.uniques] + [table.primary_key]
        found: dict[int, Refusal] = {}
        for names in uniques:
            wanted: list[tuple[Step, tuple[SqlValue, ...]]] = []
            for step in steps:
                values = tuple((step.values or {}).get(name) for name in names)
                if None not in values:
                    wanted.append((step, values))
            if not wanted:
                continue
            matches: list[list[tuple[Key, dict[str, SqlValue]]]] = await self._store.targets.match(
                connection,
                table,
                names,
                [values for _, values in wanted],
                (),
            )
            for (step, _), rows in zip(wanted, matches, strict=True):
                if any(key != step.key for key, _ in rows):
                    shown_names = ", ".join(names)
                    found[id(step)] = Refusal(
                        TargetReason.TARGET_CONFLICT,
                        shown_names,
                        f"another row of {table.name} has the same {shown_names}, and this record has no link to it",
                    )
        return found


def _prepare(plan: Plan, assembly: Assembly, mapping: MappingEntry, raw: bytes, preview: Preview) -> Prepared | None:
    """The record's values; None when the filter does not let it pass. Raises Refusal."""
    parsed = parse_record(raw)
    try:
        parsed.require_unique_keys()
        if not plan.wants(parsed.value):
            return None
        preview.external_id = plan.identify(parsed) or ""
        version = plan.version(parsed.value) or ""
        values = assembly.values(parsed.value)
    except MappingFault as fault:
        raise assembly.refusal_of(fault) from None
    record = LeasedRecord(0, mapping.system_id, mapping.id, preview.external_id, NEWEST, raw, version)
    return Prepared(record, values)
