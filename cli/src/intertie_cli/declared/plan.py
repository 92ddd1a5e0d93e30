"""What would be done so that registry holds what is declared: pure, from what is declared and what is there."""

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from intertie_cli.declared.credential_changes import (
    Compared,
    expected_values,
    secret_changes,
    secrets_after,
    verifies,
)
from intertie_cli.declared.difference import ABSENT, FieldChange, between
from intertie_cli.declared.fields import KINDS, Kind, compared
from intertie_cli.declared.live import Live, State
from intertie_cli.declared.model import Declared, Key, titled
from intertie_cli.declared.nodes import Path, Problem
from intertie_cli.declared.pairs import Pair


class Action(StrEnum):
    """What is done with a part."""

    CREATE = "create"
    UPDATE = "update"
    DEACTIVATE = "switch off"
    DELETE = "delete"


class Prune(StrEnum):
    """What becomes of parts that the files do not have."""

    NOTHING = "nothing"
    DEACTIVATE = "deactivate"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Pruning:
    """What becomes of what is not declared: of parts of systems that are, and of whole systems that are not."""

    parts: Prune = Prune.NOTHING
    systems: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to do."""

    action: Action
    kind: Kind
    key: Key
    fields: tuple[FieldChange, ...] = ()
    declared: Declared | None = field(default=None, repr=False)
    live: Live | None = field(default=None, repr=False)

    @property
    def title(self) -> str:
        """What it is done with."""
        return titled(self.kind, self.key)

    @property
    def is_loss(self) -> bool:
        """Whether something that was there is so no more."""
        return self.action in (Action.DEACTIVATE, Action.DELETE)


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is to be done, in the order in which it is done."""

    changes: tuple[Change, ...]
    unchanged: int

    def count(self, action: Action) -> int:
        """How many changes do this."""
        return sum(change.action == action for change in self.changes)


def made(pairs: Collection[Pair], state: State, compared: dict[Key, dict[str, Compared]], pruning: Pruning) -> Plan:
    """The plan. `compared`: for each connection what is known of its credentials that are given and are set."""
    changes: list[Change] = []
    for pair in pairs:
        fields = changed_fields(pair, compared.get(pair.declared.key, {}))
        if pair.live is None:
            changes.append(Change(Action.CREATE, pair.declared.kind, pair.declared.key, fields, pair.declared))
        elif fields:
            changes.append(
                Change(Action.UPDATE, pair.declared.kind, pair.declared.key, fields, pair.declared, pair.live)
            )
    pruned = _pruned(pairs, state, pruning) if pairs else []
    changed = {id(change.declared) for change in changes}
    unchanged = sum(id(pair.declared) not in changed for pair in pairs)
    return Plan(tuple(_ordered(changes, pruned)), unchanged)


def concerned(pairs: Collection[Pair], plan: Plan) -> list[Pair]:
    """The parts that a plan would change, or has to know more of: what stays as it is needs no check."""
    changed = {id(change.declared) for change in plan.changes}
    return [pair for pair in pairs if id(pair.declared) in changed]


def second_verifiers(pairs: Collection[Pair], state: State, plan: Plan) -> list[Problem]:
    """Connections that a plan would make a second one that verifies what its system delivers.

    Two that are there already, and stay as they are, are not the plan's doing.
    """
    gone = {(change.kind, change.key) for change in plan.changes if change.is_loss}
    changed = {(change.kind, change.key) for change in plan.changes}
    ours = [pair for pair in pairs if pair.declared.kind == "connection"]
    known = {pair.live.id for pair in ours if pair.live is not None}
    verifying: dict[str, list[str]] = {}
    for live in state.of("connection"):
        if live.id not in known and (live.kind, live.key) not in gone and verifies(live.values, live.secrets):
            verifying.setdefault(live.system, []).append(live.title)
    problems = []
    # Those that stay first: the fault is with what comes to them.
    for pair in sorted(ours, key=lambda pair: (pair.declared.kind, pair.declared.key) in changed):
        part = pair.declared
        if not verifies(part.values, secrets_after(pair)):
            continue
        others = verifying.setdefault(part.system, [])
        if others and (part.kind, part.key) in changed:
            text = f"{others[0]} says already how what {part.system} sends is verified"
            problems.append(Problem(part.place("config_json"), text))
        others.append(part.title)
    return problems


def changed_fields(pair: Pair, compared_secrets: dict[str, Compared]) -> tuple[FieldChange, ...]:
    """What differs between what is declared and what is there; for what is not there, what it is to be."""
    part, live = pair.declared, pair.live
    found: list[FieldChange] = []
    after = expected_values(pair)
    for each in compared(part.kind):
        path: Path = (each.name,)
        if live is not None:
            found += between(live.values[each.name], after[each.name], part.written, path)
        elif after[each.name] != each.default or each.is_needed:
            before: Any = {} if isinstance(after[each.name], dict) else ABSENT
            found += between(before, after[each.name], part.written, path)
    if part.kind == "connection":
        found += secret_changes(pair, compared_secrets)
    return tuple(found)


def _pruned(pairs: Collection[Pair], state: State, pruning: Pruning) -> list[Change]:
    known = {(pair.live.kind, pair.live.id, pair.live.key) for pair in pairs if pair.live is not None}
    systems = {pair.declared.key[0] for pair in pairs if pair.declared.kind == "system"}
    gone = {live.key[0] for live in state.of("system")} - systems if pruning.systems else set()
    is_delete = pruning.parts is Prune.DELETE
    found = []
    for live in state.parts:
        if (live.kind, live.id, live.key) in known:
            continue
        if live.kind == "system":
            is_meant = live.key[0] in gone
        else:
            # What goes with its system needs no step of its own.
            is_meant = live.system in systems and pruning.parts is not Prune.NOTHING
        if is_meant and (is_delete or live.values["is_active"]):
            action = Action.DELETE if is_delete else Action.DEACTIVATE
            found.append(Change(action, live.kind, live.key, live=live))
    return found


def _ordered(changes: list[Change], pruned: list[Change]) -> list[Change]:
    """Systems, connections, mappings, grants; then what goes, the other way round.

    A connection that verifies no more comes before the others, so that another one may take its place.
    """
    rank = {kind: number for number, kind in enumerate(KINDS)}
    first = [change for change in (*pruned, *changes) if _ends_verifying(change)]
    ends = {id(change) for change in first}
    making = sorted((change for change in changes if id(change) not in ends), key=lambda change: rank[change.kind])
    losing = sorted((change for change in pruned if id(change) not in ends), key=lambda change: -rank[change.kind])
    before = [change for change in making if change.kind == "system"]
    return [*before, *first, *making[len(before) :], *losing]


def _ends_verifying(change: Change) -> bool:
    live = change.live
    if change.kind != "connection" or live is None or not verifies(live.values, live.secrets):
        return False
    if change.is_loss:
        return True
    pair = Pair(change.declared, live) if change.declared is not None else None
    return pair is not None and not verifies(pair.declared.values, secrets_after(pair))
