"""JSONata expressions: compiled and checked once, then evaluated to plain JSON that depends on the record alone."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from intertie_mapping.errors import MappingFault, Reason
from intertie_mapping.evaluator import MAX_RANGE, REFUSED, Evaluator, LimitReached, weigh
from intertie_mapping.jsonata_library import Functions, JException, Parser, Utils
from intertie_mapping.patterns import PatternError
from intertie_mapping.values import MISSING, JsonObject, JsonValue, Missing

MAX_LENGTH = 10_000
MAX_DEPTH = 31  # of results: what MariaDB takes as JSON

_SCALARS = frozenset({str, int, float, bool})
_CONTAINING_DECIMALS = frozenset({dict, list, Decimal})


class ExpressionError(ValueError):
    """The text is no expression, or does what a mapping may not; the error's text says why."""


class Expression:
    """A compiled expression. Evaluating changes nothing in it, so threads and tasks may share it."""

    __slots__ = ("_evaluator", "_field", "_reason")

    def __init__(self, text: str, field: str = "", reason: Reason = Reason.EXPRESSION_FAILED) -> None:
        """`field` and `reason` are for the faults that evaluating raises. Raises ExpressionError."""
        if not text.strip():
            raise ExpressionError("an expression must not be empty")
        if len(text) > MAX_LENGTH:
            raise ExpressionError(f"an expression must not be longer than {MAX_LENGTH} characters")
        try:
            self._evaluator = Evaluator(text)
        except JException as error:
            raise ExpressionError(f"not a JSONata expression: {_said(error)}") from None
        except PatternError as error:
            raise ExpressionError(str(error)) from None
        except RecursionError:
            raise ExpressionError("the expression is nested too deeply") from None
        except Exception:  # the parser stumbles over some malformed texts instead of reporting them
            raise ExpressionError("not a JSONata expression") from None
        for symbol in _symbols(self._evaluator.ast):
            _refuse(symbol)
        self._field = field
        self._reason = reason

    def evaluate(self, record: JsonObject) -> JsonValue | Missing:
        """What the expression makes of a record without Decimals: plain JSON, MISSING when it finds nothing.

        Raises MappingFault: expression_limit when a bound was hit, else the reason that the expression was given.
        """
        try:
            return _plain(self._evaluator.run(record))
        except LimitReached as error:
            message = f"The expression {error.message}."
            raise MappingFault(Reason.EXPRESSION_LIMIT, self._field, message) from None
        except RecursionError:
            message = "The expression recurses too deeply."
            raise MappingFault(Reason.EXPRESSION_LIMIT, self._field, message) from None
        except JException as error:
            raise MappingFault(self._reason, self._field, f"The expression failed: {_said(error)}.") from None
        except Exception:  # the evaluator raises whatever its Python code does on values that it did not expect
            message = "The expression cannot be evaluated for this record."
            raise MappingFault(self._reason, self._field, message) from None

    def holds(self, record: JsonObject) -> bool:
        """Whether the expression is true of a record, as $boolean has it.

        Nothing found is false. Raises MappingFault.
        """
        value = self.evaluate(record)
        if value is True or value is False:
            return value
        return not isinstance(value, Missing) and bool(Functions.to_boolean(value))


def without_decimals(record: JsonObject) -> JsonObject:
    """The record as expressions see it.

    A number that no float can hold is the nearest one. Usually the record itself.
    """
    return _floats(record) if _has_decimal(record) else record  # type: ignore[return-value]


class _NoColumnHolds(JException):  # type: ignore[misc]
    """The result is a function."""

    def __str__(self) -> str:
        return "the result is a function, which no column can hold"


def _plain(value: Any) -> JsonValue | Missing:
    """The evaluator's result as plain JSON of our own, sharing nothing with the record. Raises JException."""
    if value is None:
        return MISSING
    if type(value) in (dict, list) or isinstance(value, list):
        weigh(value)
    return _copied(value, 0)


def _copied(value: Any, depth: int) -> JsonValue:
    if type(value) in _SCALARS:
        if type(value) is float and not float("-inf") < value < float("inf"):
            raise JException("D1001", 0, value)
        return value  # type: ignore[no-any-return]
    if value is None or value is Utils.NULL_VALUE:
        return None
    if depth >= MAX_DEPTH:
        raise LimitReached(f"makes a value that is nested more than {MAX_DEPTH} deep")
    if isinstance(value, dict):
        return {key: _copied(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item, depth + 1) for item in value]
    raise _NoColumnHolds("T2006", 0)


def _refuse(symbol: Parser.Symbol) -> None:
    """Raise ExpressionError for a step that may not be, so far as the text alone tells."""
    kind, value = getattr(symbol, "type", None), getattr(symbol, "value", None)
    if kind == "variable" and value in REFUSED:
        raise ExpressionError(f"${value} depends on {REFUSED[value]}; a mapping must give the same row each time")
    if kind == "binary" and value == "..":
        first, last = _literal(symbol.lhs), _literal(symbol.rhs)
        if first is not None and last is not None and last - first >= MAX_RANGE:
            raise ExpressionError(f"a range must not have more than {MAX_RANGE} numbers")


def _literal(symbol: Any) -> float | None:
    kind, value = getattr(symbol, "type", None), getattr(symbol, "value", None)
    return value if kind == "number" and isinstance(value, int | float) else None


def _symbols(root: Any) -> Iterator[Parser.Symbol]:
    """All symbols of a parsed expression."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Parser.Symbol):
            yield value
            waiting.extend(item for name, item in vars(value).items() if name != "_outer_instance")
        elif isinstance(value, list | tuple):
            waiting.extend(value)


def _has_decimal(value: JsonValue) -> bool:
    if type(value) is dict:
        return any(_has_decimal(item) for item in value.values() if type(item) in _CONTAINING_DECIMALS)
    if type(value) is list:
        return any(_has_decimal(item) for item in value if type(item) in _CONTAINING_DECIMALS)
    return type(value) is Decimal


def _floats(value: JsonValue) -> JsonValue:
    if type(value) is dict:
        return {key: _floats(item) for key, item in value.items()}
    if type(value) is list:
        return [_floats(item) for item in value]
    return float(value) if type(value) is Decimal else value


def _said(error: JException) -> str:
    """The library's sentence, which speaks of the expression; cut, because it may quote values."""
    text = " ".join(str(error).split()).rstrip(".")
    return text if len(text) <= 200 else text[:197] + "..."
