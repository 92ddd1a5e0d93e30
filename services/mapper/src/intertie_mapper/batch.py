"""What to do with each record of a batch, given its link and the rows that are there. Pure: the store acts on it.

The link decides. Without one a record is a new row, or the one row that match_fields finds; with one it is that row's
newest state. An older state than the link's is superseded; the very state of the link was applied before a crash.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from intertie_mapper.assembly import Assembly, Prepared
from intertie_mapper.columns import Key, SqlValue
from intertie_mapper.configuration import MappingEntry
from intertie_mapper.errors import Refusal, TargetReason
from intertie_mapper.keys import same
from intertie_mapper.model import Action, Link

Row = dict[str, SqlValue]


@dataclass(frozen=True, slots=True)
class Group:
    """The records of one mapping in a batch; no external id twice."""

    mapping: MappingEntry
    assembly: Assembly
    items: tuple[Prepared, ...]

    @property
    def table(self) -> str:
        """The name of the target table."""
        return self.assembly.table.name

    @property
    def delays(self) -> tuple[int, ...]:
        """Seconds between the tries of a record of this mapping."""
        return self.assembly.plan.configuration.retry_delays


class Step(NamedTuple):
    """What is to be done with one record."""

    prepared: Prepared
    action: Action
    key: Key | None = None
    """The row that is changed or left; None for one that is to be inserted."""
    values: Row | None = None
    """What is written; None when nothing is."""
    link: Link | None = None


def is_overtaken(prepared: Prepared, link: Link) -> bool:
    """Whether the target has a newer state than this one."""
    record = prepared.record
    if record.version_key and link.version_key and record.version_key != link.version_key:
        return record.version_key < link.version_key
    return link.record_id == record.id and link.revision > record.revision


def decide(
    group: Group,
    prepared: Prepared,
    link: Link | None,
    row: Row | None,
    matches: Sequence[tuple[Key, Row]],
    holder: str | None,
) -> Step:
    """What to do with a record.

    Args:
        link: its link; None without.
        row: the compared columns of the row that the link names; None when that row is gone.
        matches: rows that match_fields finds, for a record that has no row by a link.
        holder: external id of the record of the same mapping whose row the only match is already; None when free.

    Raises Refusal: target_deleted, ambiguous_match, target_linked or missing_required.
    """
    assembly = group.assembly
    if link is not None and not link.moved:
        if is_overtaken(prepared, link):
            return Step(prepared, Action.SUPERSEDED, link.key, link=link)
        if row is None:
            if not assembly.recreates:
                raise Refusal(
                    TargetReason.TARGET_DELETED,
                    "",
                    f"the row of {assembly.table.name} that this record had made is gone; "
                    'with "on_deleted": "recreate" in the mapping it would be made again',
                )
        elif _was_applied(group, prepared, link):
            return Step(prepared, Action.APPLIED, link.key, link=link)
        else:
            return _change(assembly, prepared, link.key, row, link)
    if len(matches) > 1:
        names = ", ".join(assembly.match_columns)
        raise Refusal(
            TargetReason.AMBIGUOUS_MATCH, names, f"more than one row of {assembly.table.name} has the same {names}"
        )
    if matches and not (link is not None and not link.moved):
        key, found = matches[0]
        if holder is not None and holder != prepared.record.external_id:
            raise Refusal(
                TargetReason.TARGET_LINKED,
                ", ".join(assembly.match_columns),
                f"the row of {assembly.table.name} that it matches belongs to the record {holder!r} of this mapping",
            )
        return _change(assembly, prepared, key, found, link)
    assembly.require_complete(prepared.values)
    return Step(prepared, Action.INSERT, None, prepared.values, link)


def _was_applied(group: Group, prepared: Prepared, link: Link) -> bool:
    record = prepared.record
    return (
        link.record_id == record.id
        and link.revision == record.revision
        and link.mapping_fingerprint == group.mapping.fingerprint
    )


def _change(assembly: Assembly, prepared: Prepared, key: Key | None, row: Row, link: Link | None) -> Step:
    values = {name: value for name, value in prepared.values.items() if name not in assembly.insert_only}
    by_name = assembly.table.by_name
    if all(same(by_name[name], row[name], value) for name, value in values.items()):
        return Step(prepared, Action.UNCHANGED, key, None, link)
    return Step(prepared, Action.UPDATE, key, values, link)


def waves(groups: Iterable[Group]) -> list[list[Group]]:
    """The groups in runs, one after the other, such that no two records of one run could match the same new row.

    Two records with equal match_fields in one transaction would both find no row and make two; the second must see the
    first's. Equal is taken widely (case and trailing spaces ignored, as collations do): a run too many does no harm.
    """
    runs: list[list[Group]] = []
    for group in groups:
        if not group.assembly.match_columns:
            _add(runs, 0, group)
            continue
        seen: dict[tuple[str, ...], int] = {}
        parts: list[list[Prepared]] = []
        for item in group.items:
            found = group.assembly.match_values(item.values)
            turn = 0
            if found is not None:
                key = tuple(str(value).casefold().rstrip() for value in found)
                turn = seen.get(key, 0)
                seen[key] = turn + 1
            while len(parts) <= turn:
                parts.append([])
            parts[turn].append(item)
        for turn, items in enumerate(parts):
            if items:
                _add(runs, turn, Group(group.mapping, group.assembly, tuple(items)))
    return runs


def _add(runs: list[list[Group]], turn: int, group: Group) -> None:
    while len(runs) <= turn:
        runs.append([])
    runs[turn].append(group)


def halves(groups: list[Group]) -> tuple[list[Group], list[Group]]:
    """A failed batch in two: mappings apart first, then the records of the one mapping that is left."""
    if len(groups) > 1:
        middle = len(groups) // 2
        return groups[:middle], groups[middle:]
    (group,) = groups
    middle = len(group.items) // 2
    return (
        [Group(group.mapping, group.assembly, group.items[:middle])],
        [Group(group.mapping, group.assembly, group.items[middle:])],
    )


def size(groups: Iterable[Group]) -> int:
    """How many records the groups hold."""
    return sum(len(group.items) for group in groups)
