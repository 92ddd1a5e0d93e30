"""JSONata expressions with bounds: pure, stopped by the number of their steps, and never larger than they may be.

`jsonata-python` evaluates; this holds it to what a mapping may do. Steps are counted rather than time measured,
because the same record must come to the same end on a busy machine; the clock is only the last resort. What asks the
clock, chance or the process's time zone, or compiles text at run time, is refused: a mapping applied again must give
the same row.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

_limit = sys.getrecursionlimit()
from jsonata.functions import Functions  # type: ignore[import-untyped]  # noqa: E402
from jsonata.jexception import JException  # type: ignore[import-untyped]  # noqa: E402
from jsonata.jsonata import Jsonata  # type: ignore[import-untyped]  # noqa: E402
from jsonata.parser import Parser  # type: ignore[import-untyped]  # noqa: E402
from jsonata.regex_engine import RegexFlags  # type: ignore[import-untyped]  # noqa: E402
from jsonata.utils import Utils  # type: ignore[import-untyped]  # noqa: E402

# Importing it raises the process's recursion limit to 10,000, at which C code (the JSON scanner) can exhaust a
# thread's stack.
sys.setrecursionlimit(_limit)

from intertie_mapping.errors import MappingFault, Reason  # noqa: E402
from intertie_mapping.moments import MomentError, read_moment, unix_microseconds  # noqa: E402
from intertie_mapping.patterns import Pattern, PatternError, TextTooLong  # noqa: E402
from intertie_mapping.values import MISSING, JsonObject, JsonValue, Missing  # noqa: E402

MAX_SOURCE = 10_000
MAX_STEPS = 100_000
MAX_SECONDS = 2.0
MAX_DEPTH = 60
MAX_RANGE = 10_000
MAX_ITEMS = 100_000
MAX_TEXT = 1_000_000
MAX_TEXT_IN_ALL = 64_000_000
MAX_BITS = 14_000  # 4,214 digits; what has more than 4,300 could not be written as JSON

#: Functions that would make a mapping depend on more than its record.
REFUSED = {
    "now": "the clock",
    "millis": "the clock",
    "random": "chance",
    "shuffle": "chance",
    "eval": "text compiled at run time",
}


class ExpressionError(ValueError):
    """The expression cannot be compiled, or does what a mapping may not; the text says why."""


class _Limit(Exception):
    """A bound was hit while evaluating."""


class Expression:
    """A compiled expression. Evaluating changes nothing in it, so threads may share it."""

    __slots__ = ("_compiled", "_field", "_reason")

    def __init__(self, text: str, field: str = "", reason: Reason = Reason.EXPRESSION_FAILED) -> None:
        """`field` and `reason` are for the faults that evaluating raises. Raises ExpressionError."""
        if not text.strip():
            raise ExpressionError("an expression must not be empty")
        if len(text) > MAX_SOURCE:
            raise ExpressionError(f"an expression must not be longer than {MAX_SOURCE} characters")
        try:
            self._compiled = _Bounded(text, _regex)
        except JException as error:
            raise ExpressionError(f"not a JSONata expression: {_said(error)}") from None
        except PatternError as error:
            raise ExpressionError(str(error)) from None
        except RecursionError:
            raise ExpressionError("the expression is nested too deeply") from None
        except Exception:  # the parser stumbles over some malformed texts instead of reporting them
            raise ExpressionError("not a JSONata expression") from None
        if self._compiled.errors:
            raise ExpressionError(f"not a JSONata expression: {self._compiled.errors[0]}")
        for symbol in _symbols(self._compiled.ast):
            _refuse(symbol)
        self._field = field
        self._reason = reason

    def evaluate(self, record: JsonObject) -> JsonValue | Missing:
        """What the expression makes of a record without Decimals.

        Plain JSON, MISSING when it finds nothing. Raises MappingFault.
        """
        try:
            return _plain(self._compiled.run(record))
        except _Limit as error:
            raise MappingFault(Reason.EXPRESSION_LIMIT, self._field, f"The expression {error}.") from None
        except TextTooLong as error:
            raise MappingFault(Reason.EXPRESSION_LIMIT, self._field, f"In the expression {error}.") from None
        except RecursionError:
            raise MappingFault(Reason.EXPRESSION_LIMIT, self._field, "The expression recurses too deeply.") from None
        except JException as error:
            raise MappingFault(self._reason, self._field, f"The expression failed: {_said(error)}.") from None
        except Exception:  # the evaluator raises what its Python code happens to on odd values
            raise MappingFault(
                self._reason, self._field, "The expression cannot be evaluated for this record."
            ) from None

    def holds(self, record: JsonObject) -> bool:
        """Whether the expression is true of a record, as JSONata's $boolean has it.

        Nothing found is false. Raises MappingFault.
        """
        value = self.evaluate(record)
        if value is True or value is False:
            return value
        return not isinstance(value, Missing) and bool(Functions.to_boolean(value))


def without_decimals(record: JsonObject) -> JsonObject:
    """The record as expressions see it.

    Numbers that no float can hold become the nearest float. Usually the record itself.
    """
    return _floats(record) if _has_decimal(record) else record  # type: ignore[return-value]


class _Bounded(Jsonata):  # type: ignore[misc]
    """An evaluator that counts and weighs, and computes integers exactly."""

    def __init__(self, text: str, regex_engine: Any) -> None:
        super().__init__(text, regex_engine)
        for name in REFUSED:
            self.environment.bind(name, None)
        for name, function in _FUNCTIONS.items():
            self.environment.bind(name, function)

    def get_per_thread_instance(self) -> Jsonata:
        """The library copies an expression per thread for the sake of $eval and the clock, both refused here."""
        return self

    def run(self, record: JsonObject) -> Any:
        """Like `evaluate`, but that binds its input into the shared environment, and walks it first."""
        Jsonata.CURRENT.jsonata = self  # $map and its like look here for the evaluator
        frame = self.create_frame(self.environment)
        frame.bindings["$"] = record
        bounds = _Bounds()
        frame.bindings["__evaluate_entry"] = bounds.enter
        frame.bindings["__evaluate_exit"] = bounds.leave
        return self.eval(self.ast, record, frame)

    def eval(self, expr: Any, input: Any, environment: Any) -> Any:
        """The library's own saves and restores what only $eval reads."""
        return self._eval(expr, input, environment)

    def evaluate_range_expression(self, lhs: Any, rhs: Any) -> Any:
        """The library allows ten million items, for which no time limit is looked at."""
        if type(lhs) is int and type(rhs) is int and rhs - lhs >= MAX_RANGE:
            raise _Limit(f"makes a range of more than {MAX_RANGE} numbers")
        return super().evaluate_range_expression(lhs, rhs)

    def evaluate_numeric_expression(self, lhs: Any, rhs: Any, op: str | None) -> Any:
        """Integers stay exact; the library computes everything in doubles."""
        if type(lhs) is int and type(rhs) is int:
            if op == "+":
                return _sized(lhs + rhs)
            if op == "-":
                return _sized(lhs - rhs)
            if op == "*" and lhs.bit_length() + rhs.bit_length() <= MAX_BITS:
                return lhs * rhs
        return super().evaluate_numeric_expression(lhs, rhs, op)

    def evaluate_equality_expression(self, lhs: Any, rhs: Any, op: str | None) -> Any:
        """Python compares an integer with a float exactly; the library makes floats of both first."""
        if lhs is None or rhs is None:
            return False
        return Utils.is_deep_equal(lhs, rhs) is (op == "=")


class _Bounds:
    """What one evaluation has used up so far."""

    __slots__ = ("depth", "started", "steps", "text")

    def __init__(self) -> None:
        self.steps = self.depth = self.text = 0
        self.started = 0.0

    def enter(self, expr: Any, input: Any, environment: Any) -> None:
        """Called by the evaluator before each step."""
        self.steps += 1
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _Limit(f"is nested or recurses more than {MAX_DEPTH} deep")
        if self.steps & 0xFF == 0:
            now = time.monotonic()
            self.started = self.started or now
            if self.steps > MAX_STEPS or now - self.started > MAX_SECONDS:
                raise _Limit(f"takes more than {MAX_STEPS} steps or {MAX_SECONDS:g} seconds")

    def leave(self, expr: Any, input: Any, environment: Any, result: Any) -> None:
        """Called by the evaluator after each step."""
        self.depth -= 1
        if type(result) is str:
            self.text += len(result)
            if len(result) > MAX_TEXT or self.text > MAX_TEXT_IN_ALL:
                raise _Limit(f"makes a text of more than {MAX_TEXT} characters")
        elif isinstance(result, list) and len(result) > MAX_ITEMS:
            raise _Limit(f"makes a list of more than {MAX_ITEMS} items")


class _Functions(Functions):  # type: ignore[misc]
    """Functions that could make much out of little in one step, or that ask the process for its zone."""

    @staticmethod
    def pad(string: Any, width: Any, char: Any) -> Any:
        if isinstance(width, int | float) and abs(width) > MAX_TEXT:
            raise _Limit(f"makes a text of more than {MAX_TEXT} characters")
        return Functions.pad(string, width, char)

    @staticmethod
    def join(strings: Any, separator: Any) -> Any:
        if isinstance(strings, list):
            length = sum(len(text) for text in strings if isinstance(text, str))
            if length + len(strings) * len(separator or "") > MAX_TEXT:
                raise _Limit(f"makes a text of more than {MAX_TEXT} characters")
        return Functions.join(strings, separator)

    @staticmethod
    def replace(string: Any, pattern: Any, replacement: Any, limit: Any) -> Any:
        if (
            isinstance(string, str)
            and isinstance(replacement, str)
            and (len(string) + 1) * len(replacement) > 20 * MAX_TEXT
        ):
            raise _Limit(f"makes a text of more than {MAX_TEXT} characters")
        return Functions.replace(string, pattern, replacement, limit)

    @staticmethod
    def string(arg: Any, prettify: Any) -> Any:
        if isinstance(arg, list | dict):
            _plain(arg)  # refuses what shares parts of itself so often that its text would be huge
        return Functions.string(arg, prettify)

    @staticmethod
    def datetime_to_millis(timestamp: Any, picture: Any) -> Any:
        """Without a zone, UTC; the library takes the process's."""
        if isinstance(timestamp, str) and picture is None and not timestamp.isdigit():
            try:
                return unix_microseconds(read_moment(timestamp).when) // 1000
            except MomentError as error:
                raise JException("D3110", 0, str(error)) from None
        return Functions.datetime_to_millis(timestamp, picture)


_FUNCTIONS = {
    name: Jsonata.function(name, signature, _Functions, method)
    for name, signature, method in (
        ("pad", "<s-ns?:s>", "pad"),
        ("join", "<a<s>s?:s>", "join"),
        ("replace", "<s-(sf)(sf)n?:s>", "replace"),
        ("string", "<x-b?:s>", "string"),
        ("toMillis", "<s-s?:n>", "datetime_to_millis"),
    )
}


def _regex(pattern: str, flags: RegexFlags) -> Pattern:
    options = re.RegexFlag.NOFLAG
    if flags.case_insensitive:
        options |= re.IGNORECASE
    if flags.multiline:
        options |= re.MULTILINE
    return Pattern(pattern, options)


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
    value = getattr(symbol, "value", None)
    if getattr(symbol, "type", None) == "number" and isinstance(value, int | float):
        return value
    if getattr(symbol, "type", None) == "unary" and value == "-":
        inner = _literal(getattr(symbol, "expression", None))
        return None if inner is None else -inner
    return None


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


def _plain(value: Any) -> JsonValue | Missing:
    """The evaluator's result as plain JSON of our own, sharing nothing with the record. Raises _Limit."""
    if value is None:
        return MISSING
    if type(value) in (str, int, float, bool):
        return _scalar(value)
    budget = [MAX_ITEMS, MAX_TEXT]
    return _copied(value, budget, 0)


def _scalar(value: Any) -> JsonValue:
    if type(value) is float and (value != value or value in (float("inf"), float("-inf"))):
        raise JException("D1001", 0, value)
    return value  # type: ignore[no-any-return]


def _copied(value: Any, budget: list[int], depth: int) -> JsonValue:
    budget[0] -= 1
    if type(value) is str:
        budget[1] -= len(value)
    if budget[0] < 0 or budget[1] < 0 or depth > 31:
        raise _Limit(f"makes more than {MAX_ITEMS} items, {MAX_TEXT} characters, or nests more than 31 deep")
    if value is None or value is Utils.NULL_VALUE:
        return None
    if type(value) in (str, int, float, bool):
        return _scalar(value)
    if isinstance(value, dict):
        return {key: _copied(item, budget, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item, budget, depth + 1) for item in value]
    raise _Unplain


class _Unplain(JException):  # type: ignore[misc]
    """The result is a function, which no column can hold."""

    def __init__(self) -> None:
        super().__init__("T2008", 0)


def _sized(number: int) -> int:
    if number.bit_length() > MAX_BITS:
        raise _Limit("makes a number of more than 4,200 digits")
    return number


def _has_decimal(value: JsonValue) -> bool:
    if type(value) is dict:
        return any(_has_decimal(item) for item in value.values() if type(item) in _CONTAINING)
    if type(value) is list:
        return any(_has_decimal(item) for item in value if type(item) in _CONTAINING)
    return type(value) is Decimal


_CONTAINING = frozenset({dict, list, Decimal})


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
