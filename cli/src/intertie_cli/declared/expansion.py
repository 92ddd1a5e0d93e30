"""Puts the values of variables into texts: `${NAME}`, `${NAME:-what to take when it is not set}`; `$${` is `${` itself.

What a variable holds is a text and stays one: it is never read as YAML, nor expanded again.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from intertie_cli.declared.nodes import Node, Place, Problem

_EXPRESSION = re.compile(r"\$\$\{|\$\{(?P<inside>[^}]*)(?P<end>\}?)")
_INSIDE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Missing:
    """A variable that is not set, or empty, and where it is asked for."""

    name: str
    place: Place
    is_empty: bool


def expand(node: Node, environment: Mapping[str, str]) -> tuple[list[Missing], list[Problem]]:
    """Expands all texts of a node, once each, in place. Keys are taken as they are written.

    A variable that is set but empty counts as not set: that is what a CI gives for a secret that it does not have.
    """
    missing: list[Missing] = []
    problems: list[Problem] = []
    seen: set[int] = set()
    for _, each in node.walk():
        if id(each) in seen or not isinstance(each.scalar, str) or "${" not in each.scalar:
            continue
        seen.add(id(each))
        text = each.scalar
        each.scalar = _expanded(text, each.place, environment, missing, problems)
        if _holds_variable(text):
            each.written = text
    return missing, problems


def escaped(text: str) -> str:
    """The text as it is written so that expanding it gives the text."""
    return text.replace("${", "$${")


def told(missing: list[Missing]) -> list[Problem]:
    """Each variable that is missing at each of its places."""
    words = {True: "empty", False: "not set"}
    return [Problem(each.place, f"the variable {each.name} is {words[each.is_empty]}") for each in missing]


def _holds_variable(text: str) -> bool:
    return any(match.group() != "$${" for match in _EXPRESSION.finditer(text))


def _expanded(
    text: str, place: Place, environment: Mapping[str, str], missing: list[Missing], problems: list[Problem]
) -> str:
    def replacement(match: re.Match[str]) -> str:
        if match.group() == "$${":
            return "${"
        inside = _INSIDE.fullmatch(match["inside"])
        if inside is None or not match["end"]:
            problems.append(
                Problem(place, "has a ${ that names no variable: write ${NAME} or ${NAME:-text}, or $${ for ${ itself")
            )
            return ""
        value = environment.get(inside["name"])
        if value:
            return value
        if inside["default"] is not None:
            return inside["default"]
        missing.append(Missing(inside["name"], place, value is not None))
        return match.group()

    return _EXPRESSION.sub(replacement, text)
