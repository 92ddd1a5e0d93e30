"""How a transformation is declared: its name, what it does, its arguments, and how it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from enum import Enum
from typing import Any, TypeAlias

from intertie_mapping.errors import MappingError, Reason
from intertie_mapping.values import JsonValue, Value

#: From a value that is not null to what it becomes. Raises Refusal.
Function: TypeAlias = Callable[[Any], Value]


class Refusal(MappingError):
    """A transformation cannot take the value; the chain makes a MappingFault of it that names the column."""

    def __init__(self, reason: Reason, message: str | None = None) -> None:
        """The reason, and a sentence for people."""
        self.reason = reason
        self.message = message or reason.sentence
        super().__init__(self.message)


class ArgumentError(ValueError):
    """The arguments cannot be; the text says why. `argument` is the one at fault, if it is one."""

    def __init__(self, message: str, argument: str = "") -> None:
        self.argument = argument
        super().__init__(message)


class Kind(Enum):
    """What an argument must be, and the words that say so."""

    TEXT = "a text"
    INTEGER = "an integer"
    NUMBER = "a number"
    BOOLEAN = "true or false"
    OBJECT = "an object"
    LIST = "a list"
    ANY = "any value"

    def admits(self, value: JsonValue) -> bool:
        """Whether a value of the configuration is of this kind."""
        if self is Kind.ANY:
            return True
        if isinstance(value, bool):
            return self is Kind.BOOLEAN
        return isinstance(value, _TYPES.get(self, ()))


_TYPES: dict[Kind, Any] = {
    Kind.TEXT: str,
    Kind.INTEGER: int,
    Kind.NUMBER: int | float | Decimal,
    Kind.OBJECT: dict,
    Kind.LIST: list,
}

#: The default of an argument that has none.
REQUIRED: Any = object()
#: The default of an argument whose absence means something of its own.
ABSENT: Any = object()


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a transformation."""

    kind: Kind
    sentence: str
    #: REQUIRED, ABSENT, or the value that it has when it is not given
    default: Any = REQUIRED


@dataclass(frozen=True, slots=True)
class Specification:
    """A transformation."""

    name: str
    #: what it does, for the reference
    sentence: str
    #: from checked arguments to the function, raising ArgumentError
    make: Callable[..., Function]
    arguments: Mapping[str, Argument] = field(default_factory=dict)
    #: whether a list is transformed element by element
    elementwise: bool = True
    #: whether it is also given null, which others pass on untouched
    takes_null: bool = False


def as_text(value: Value) -> str:
    """A text, or a number or date written as one. Raises Refusal(not_text)."""
    if type(value) is str:
        return value
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, date | time):
        return str(value)  # ISO 8601, with a space between date and time
    kind = "true or false" if isinstance(value, bool) else "an object" if isinstance(value, dict) else "a list"
    raise Refusal(Reason.NOT_TEXT, f"A text is needed, and this is {kind}.")
