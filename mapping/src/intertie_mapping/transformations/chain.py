"""The chain of transformations that a column's value goes through, from its configuration to one function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from intertie_mapping.errors import MappingFault
from intertie_mapping.transformations.dates import DATES
from intertie_mapping.transformations.numbers import NUMBERS
from intertie_mapping.transformations.specification import (
    REQUIRED,
    ArgumentError,
    Function,
    Refusal,
    Specification,
)
from intertie_mapping.transformations.structures import STRUCTURES
from intertie_mapping.transformations.texts import TEXTS
from intertie_mapping.values import MISSING, JsonValue, Missing, Value

#: All transformations by name, in the order of the reference.
CATALOGUE: dict[str, Specification] = {one.name: one for one in (*TEXTS, *NUMBERS, *DATES, *STRUCTURES)}

MAX_STEPS = 20

#: From what a source gave to what the column gets; MISSING stays MISSING unless a `default` is in the chain.
Chain: TypeAlias = Callable[["JsonValue | Missing"], "Value | Missing"]


@dataclass(frozen=True, slots=True)
class Step:
    """One transformation with its arguments, checked and made."""

    specification: Specification
    function: Function


def parse_steps(value: JsonValue) -> tuple[tuple[Step, ...], list[tuple[str, str]]]:
    """The steps that a configuration gives for a column, and its problems as (path inside of it, text).

    A step is a name, or an object with `name` and arguments; the configuration is one step or a list of them.
    """
    listed = isinstance(value, list)
    wanted = value if isinstance(value, list) else [value]
    if len(wanted) > MAX_STEPS:
        return (), [("", f"a column must not have more than {MAX_STEPS} transformations")]
    steps: list[Step] = []
    problems: list[tuple[str, str]] = []
    for place, one in enumerate(wanted):
        path = f"[{place}]" if listed else ""
        name = one.get("name") if isinstance(one, dict) else one
        if not isinstance(name, str):
            problems.append((path, 'a transformation is a name, or an object with a "name" and its arguments'))
        elif name not in CATALOGUE:
            problems.append((path, f"there is no transformation {name!r}; there are {', '.join(CATALOGUE)}"))
        else:
            given = {key: item for key, item in one.items() if key != "name"} if isinstance(one, dict) else {}
            step, found = _step(CATALOGUE[name], given)
            problems.extend((f"{path}.{argument}" if argument else path, text) for argument, text in found)
            if step is not None:
                steps.append(step)
    return tuple(steps), problems


def compile_chain(column: str, steps: tuple[Step, ...]) -> Chain | None:
    """The function of a column's steps, None if there are none. It raises MappingFault that names the column."""
    if not steps:
        return None
    functions = [_nullable(step) for step in steps]
    revives = any(step.specification.takes_null for step in steps)

    def transform(value: JsonValue | Missing) -> Value | Missing:
        if value is MISSING:
            if not revives:
                return MISSING
            value = None
        result: Value = value
        try:
            for function in functions:
                result = function(result)
        except Refusal as refusal:
            raise MappingFault(refusal.reason, column, refusal.message) from None
        return result

    return transform


def _nullable(step: Step) -> Function:
    function = step.function
    if step.specification.takes_null:
        return function

    def one(value: Value) -> Value:
        return None if value is None else function(value)

    if not step.specification.elementwise:
        return one

    def each(value: Value) -> Value:
        if type(value) is list:
            return [one(item) for item in value]  # type: ignore[misc]
        return one(value)

    return each


def _step(specification: Specification, given: dict[str, JsonValue]) -> tuple[Step | None, list[tuple[str, str]]]:
    problems: list[tuple[str, str]] = []
    known = specification.arguments
    for name in given.keys() - known.keys():
        allowed = ", ".join(known) if known else "none"
        problems.append((name, f"{specification.name} has no such argument; it takes {allowed}"))
    arguments: dict[str, object] = {}
    for name, argument in known.items():
        if name in given:
            arguments[name] = given[name]
            if not argument.kind.admits(given[name]):
                problems.append((name, f"must be {argument.kind.value}"))
        elif argument.default is REQUIRED:
            problems.append((name, f"{specification.name} needs it: {argument.sentence}"))
        else:
            arguments[name] = argument.default
    if problems:
        return None, sorted(problems)
    try:
        return Step(specification, specification.make(**arguments)), []
    except ArgumentError as error:
        return None, [(error.argument, str(error))]
