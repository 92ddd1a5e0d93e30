"""What registry holds as a file that, applied, changes nothing: credentials as variables, or left out."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from intertie_cli.declared.expansion import escaped
from intertie_cli.declared.fields import FIELDS, IDENTITY, SECTIONS
from intertie_cli.declared.live import Live, State
from intertie_cli.declared.model import VERSION
from intertie_cli.declared.yaml_text import written

#: stays for a while after a rotation, and then goes by itself
_PASSING = ("webhook_secret_previous", "webhook_secret_previous_expires_at")
_STEP = re.compile(r"\[(\d+)\]|\.?([^.\[]+)")


@dataclass(slots=True)
class Exported:
    """A file, what must be set before it is applied, and what could not be written."""

    text: str = ""
    #: variables in the order in which they stand, each with the credential that it is for
    variables: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def export(state: State, systems: Collection[str], *, with_secrets: bool, schema: str) -> Exported:
    """Writes systems, all if none is named, with what belongs to them, in the order of their names."""
    exported = Exported()
    document: dict[str, Any] = {"version": VERSION}
    for section, kind in SECTIONS.items():
        parts = sorted(
            (each for each in state.of(kind) if not systems or each.system in systems),
            key=lambda each: (each.system, each.key, each.id),
        )
        items = [_item(each, exported, with_secrets) for each in parts if _is_writable(each, exported)]
        if items:
            document[section] = items
    head = [
        *([f"# yaml-language-server: $schema={schema}"] if schema else []),
        "# Made by `intertie export`. What is left out has its default; a credential that is left out stays as it is.",
    ]
    exported.text = "\n".join(head) + "\n" + written(document)
    return exported


def _is_writable(part: Live, exported: Exported) -> bool:
    if part.broken:
        exported.remarks.append(f"{part.title} is left out: its {part.broken[0]} is no JSON")
    return not part.broken


def _item(part: Live, exported: Exported, with_secrets: bool) -> dict[str, Any]:
    item: dict[str, Any] = dict(zip(IDENTITY[part.kind], part.key, strict=True))
    for each in FIELDS[part.kind]:
        if each.name in item or each.form == "secret":
            if with_secrets and each.name in part.secrets:
                item[each.name] = _variable(part, each.name, exported)
            continue
        value = part.values[each.name]
        if each.name == "config_json":
            value = _config(part, exported, with_secrets)
        elif value == each.default and not each.is_needed:
            continue
        else:
            value = _escaped(value)
        if value not in (None, {}) or each.is_needed or each.form == "permissions":
            item[each.name] = value
    return item


def _config(part: Live, exported: Exported, with_secrets: bool) -> dict[str, Any]:
    config: dict[str, Any] = _escaped({k: v for k, v in part.values["config_json"].items() if k not in _PASSING})
    for at in sorted(part.secrets):
        inner = at.removeprefix("config_json.")
        if inner == at or inner in _PASSING:
            continue
        if with_secrets:
            _put(config, inner, _variable(part, at, exported))
    return config


def _put(config: Any, at: str, text: str) -> None:
    """Puts a credential where it stood; what holds it is there, only the credential itself was left out."""
    holder = config
    while True:
        if isinstance(holder, list):
            match = _STEP.match(at)
            if match is None or match[1] is None:
                return
            holder, at = holder[int(match[1])], at[match.end() :].removeprefix(".")
            continue
        inner = [
            key for key in holder if at.startswith((f"{key}.", f"{key}[")) and isinstance(holder[key], dict | list)
        ]
        if not inner:
            holder[at] = text
            return
        key = max(inner, key=len)
        holder, at = holder[key], at[len(key) :].removeprefix(".")


def _variable(part: Live, at: str, exported: Exported) -> str:
    """`${SYSTEM_CONNECTION_FIELD}`, noted as one that must be set."""
    name = re.sub(r"[^A-Z0-9]+", "_", "_".join((*part.key, at.removeprefix("config_json."))).upper()).strip("_")
    name = f"_{name}" if name[:1].isdigit() else name or "_"
    unique, number = name, 2
    while unique in exported.variables:
        unique, number = f"{name}_{number}", number + 1
    exported.variables[unique] = f"{at} of {part.title}"
    return f"${{{unique}}}"


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return value
