"""Shows a plan: for people a line for each part and each field, for programs one JSON object."""

from collections.abc import Sequence
from typing import Any

from intertie_cli.declared.difference import FieldChange
from intertie_cli.declared.plan import Action, Change, Plan
from intertie_cli.output import Printer

_SIGNS = {Action.CREATE: "+", Action.UPDATE: "~", Action.DEACTIVATE: "-", Action.DELETE: "-"}
DONE = {
    Action.CREATE: "created",
    Action.UPDATE: "changed",
    Action.DEACTIVATE: "switched off",
    Action.DELETE: "deleted",
}


def show(printer: Printer, plan: Plan, *, is_done: bool | None) -> None:
    """Prints the plan. `is_done` says whether it was carried out; None before it is, when only people are shown it."""
    if printer.is_json:
        if is_done is not None or not plan.changes:
            printer.json(document(plan, is_done=bool(is_done)))
        return
    for change in plan.changes:
        for line in lines(change):
            printer.line(line)
    printer.line(summary(plan))


def lines(change: Change) -> list[str]:
    """A change for people: what, and a line for each field."""
    ending = f" ({change.action})" if change.is_loss else ""
    told = [f"{_SIGNS[change.action]} {change.title}{ending}"]
    for each in change.fields:
        if each.lines:
            told += [f"    {each.field}:", *(f"      {line}".rstrip() for line in each.lines)]
        else:
            told.append(f"    {_field(each)}")
    return told


def summary(plan: Plan) -> str:
    """How much there is to do, in one line."""
    if not plan.changes:
        return f"No changes: {_parts(plan.unchanged)} as declared."
    counts = [f"{plan.count(action)} to {action}" for action in Action if plan.count(action)]
    return f"Plan: {', '.join(counts)}; {plan.unchanged} unchanged."


def losses(changes: Sequence[Change]) -> str:
    """What will be lost, as the beginning of a question."""
    off = sum(change.action is Action.DEACTIVATE for change in changes)
    gone = len(changes) - off
    told = [*([f"Switch off {_parts(off)}"] if off else []), *([f"Delete {_parts(gone)}"] if gone else [])]
    return " and ".join(told)


def document(plan: Plan, *, is_done: bool) -> dict[str, Any]:
    """The plan as JSON."""
    return {
        "applied": is_done,
        "changes": [
            {
                "action": change.action.value.replace(" ", "_"),
                "kind": change.kind,
                "name": "/".join(change.key),
                "fields": [
                    {"field": each.field, "secret": each.secret}
                    if each.secret
                    else {"field": each.field, "old": each.old or None, "new": each.new or None}
                    for each in change.fields
                ],
            }
            for change in plan.changes
        ],
        "unchanged": plan.unchanged,
    }


def _field(change: FieldChange) -> str:
    if change.secret:
        return f"{change.field}: (secret {change.secret})"
    if not change.old:
        return f"{change.field}: {change.new}"
    return f"{change.field}: {change.old} → {change.new or '(left out)'}"


def _parts(count: int) -> str:
    return "1 part" if count == 1 else f"{count} parts"
