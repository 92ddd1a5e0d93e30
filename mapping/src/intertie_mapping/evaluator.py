"""The evaluator of `jsonata-python`, held to bounds, to exact integers, and to what depends on nothing but the record.

Steps are counted rather than time measured, because the same record must come to the same end on a busy machine; the
clock is only the last resort. The library's own bounds (`set_runtime_bounds`) start their clock when an expression is
compiled, and look neither at ranges nor at how much one step makes.
"""

from __future__ import annotations

import math
import re
import time
from typing import Any

from intertie_mapping.jsonata_library import Functions, JException, Jsonata, RegexFlags, Utils
from intertie_mapping.moments import MomentError, read_moment, unix_microseconds
from intertie_mapping.patterns import Pattern, TextTooLong

MAX_STEPS = 100_000
MAX_SECONDS = 2.0
MAX_DEPTH = 80
MAX_RANGE = 10_000
MAX_ITEMS = 100_000
MAX_TEXT = 1_000_000
MAX_TEXT_IN_ALL = 64_000_000
MAX_BITS = 14_000  # 4,214 digits; what has more than 4,300 could not be written as JSON

#: Functions that would make a mapping depend on more than its record, and on what.
REFUSED = {
    "now": "the clock",
    "millis": "the clock",
    "random": "chance",
    "shuffle": "chance",
    "eval": "text compiled at run time",
}

_INTEGER = re.compile(r"-?\d{1,4300}", re.ASCII)


class LimitReached(JException):  # type: ignore[misc]
    """A bound was hit. Of the library's kind, because `and` and `or` replace any other exception by "Unexpected"."""

    def __init__(self, message: str) -> None:
        """What the expression does too much of, as in "takes more than 5 steps"."""
        super().__init__("limit", 0)
        self.message = message


class Evaluator(Jsonata):  # type: ignore[misc]
    """A compiled expression. `run` changes nothing in it: each evaluation counts in a copy."""

    def __init__(self, text: str) -> None:
        """Raises JException and others of the parser, and PatternError."""
        super().__init__(text, _Regex)
        self.environment = _FUNCTIONS
        self.steps = self.depth = self.text = 0
        self.deadline = 0.0

    def run(self, record: Any) -> Any:
        """What `evaluate` gives, without walking the record first, and with nulls and lists as they are."""
        evaluation = Evaluator.__new__(Evaluator)
        evaluation.__dict__.update(self.__dict__)
        Jsonata.CURRENT.jsonata = evaluation  # $map and its like look here for the evaluator
        frame = Jsonata.Frame(_FUNCTIONS)
        frame.bindings = {"$": record, "__evaluate_entry": None, "__evaluate_exit": None}
        return evaluation.eval(self.ast, record, frame)

    def eval(self, expr: Any, input: Any, environment: Any) -> Any:
        """One step, counted and weighed."""
        self.depth += 1
        self.steps += 1
        if self.depth > MAX_DEPTH:
            raise LimitReached(f"is nested or recurses more than {MAX_DEPTH} deep")
        if self.steps & 0xFF == 0:
            self._look_at_the_clock()
        result = self._eval(expr, input, environment)
        self.depth -= 1
        if type(result) is str:
            self.text += len(result)
            if len(result) > MAX_TEXT or self.text > MAX_TEXT_IN_ALL:
                raise LimitReached(f"makes a text of more than {MAX_TEXT} characters")
        elif isinstance(result, list) and len(result) > MAX_ITEMS:
            raise LimitReached(f"makes a list of more than {MAX_ITEMS} items")
        return result

    def _look_at_the_clock(self) -> None:
        now = time.monotonic()
        self.deadline = self.deadline or now + MAX_SECONDS
        if self.steps > MAX_STEPS or now > self.deadline:
            raise LimitReached(f"takes more than {MAX_STEPS} steps or {MAX_SECONDS:g} seconds")

    def apply_inner(self, proc: Any, args: Any, input: Any, environment: Any) -> Any:
        """The library prints to standard output when there is no such function."""
        if proc is None:
            raise JException("T1006", 0)
        return super().apply_inner(proc, args, input, environment)

    def evaluate_range_expression(self, lhs: Any, rhs: Any) -> Any:
        """The library allows ten million items, at which no bound of its own looks."""
        if type(lhs) is int and type(rhs) is int and rhs - lhs >= MAX_RANGE:
            raise LimitReached(f"makes a range of more than {MAX_RANGE} numbers")
        return super().evaluate_range_expression(lhs, rhs)

    def evaluate_numeric_expression(self, lhs: Any, rhs: Any, op: str | None) -> Any:
        """Integers stay exact; the library computes everything in doubles."""
        if type(lhs) is int and type(rhs) is int and op in ("+", "-", "*"):
            if lhs.bit_length() + rhs.bit_length() > MAX_BITS:
                raise LimitReached("makes a number of more than 4,200 digits")
            return lhs + rhs if op == "+" else lhs - rhs if op == "-" else lhs * rhs
        return super().evaluate_numeric_expression(lhs, rhs, op)

    def evaluate_unary(self, expr: Any, input: Any, environment: Any) -> Any:
        """The same for the sign."""
        if expr.value != "-":
            return super().evaluate_unary(expr, input, environment)
        result = self.eval(expr.expression, input, environment)
        if result is not None and not Utils.is_numeric(result):
            raise JException("D1002", expr.position, expr.value, result)
        return None if result is None else -result

    def evaluate_equality_expression(self, lhs: Any, rhs: Any, op: str | None) -> Any:
        """Python compares an integer with a float exactly; the library makes floats of both first."""
        if lhs is None or rhs is None:
            return False
        return Utils.is_deep_equal(lhs, rhs) is (op == "=")

    def evaluate_string_concat(self, lhs: Any, rhs: Any) -> str:
        """With our `$string`, which writes integers with all their digits."""
        return (_Functions.string(lhs, None) or "") + (_Functions.string(rhs, None) or "")


class _Regex(Pattern):
    """A regular expression in an expression."""

    def __init__(self, pattern: str, flags: RegexFlags) -> None:
        options = re.IGNORECASE if flags.case_insensitive else re.RegexFlag.NOFLAG
        super().__init__(pattern, options | re.MULTILINE if flags.multiline else options)

    def _checked(self, string: str) -> str:
        try:
            return super()._checked(string)
        except TextTooLong as error:
            raise LimitReached(f"has a pattern that cannot be tried: {error}") from None


class _Functions(Functions):  # type: ignore[misc]
    """Functions that could make much out of little in one step, lose digits, or ask the process for its zone."""

    @staticmethod
    def pad(string: Any, width: Any, char: Any) -> Any:
        if isinstance(width, int | float) and abs(width) * max(len(char or ""), 1) > MAX_TEXT:
            raise LimitReached(f"makes a text of more than {MAX_TEXT} characters")
        return Functions.pad(string, width, char)

    @staticmethod
    def join(strings: Any, separator: Any) -> Any:
        if isinstance(strings, list):
            length = sum(len(text) for text in strings if isinstance(text, str))
            if length + len(strings) * len(separator or "") > MAX_TEXT:
                raise LimitReached(f"makes a text of more than {MAX_TEXT} characters")
        return Functions.join(strings, separator)

    @staticmethod
    def replace(string: Any, pattern: Any, replacement: Any, limit: Any) -> Any:
        lengths = [len(text) if isinstance(text, str) else 0 for text in (string, replacement)]
        if (lengths[0] + 1) * lengths[1] > 20 * MAX_TEXT:
            raise LimitReached(f"makes a text of more than {MAX_TEXT} characters")
        return Functions.replace(string, pattern, replacement, limit)

    @staticmethod
    def string(arg: Any, prettify: Any) -> Any:
        if type(arg) is int:
            return str(arg)
        if isinstance(arg, list | dict):
            weigh(arg)
        return Functions.string(arg, prettify)

    @staticmethod
    def number(arg: Any) -> Any:
        if isinstance(arg, str):
            if _INTEGER.fullmatch(arg):
                return int(arg)
            try:
                result = Functions.number(arg)
            except ValueError:
                result = math.nan
            if not math.isfinite(result):
                raise JException("D3030", 0, arg)
            return result
        return Functions.number(arg)

    @staticmethod
    def sum(args: Any) -> Any:
        if isinstance(args, list) and all(type(item) is int for item in args):
            return sum(args)
        return Functions.sum(args)

    @staticmethod
    def datetime_to_millis(timestamp: Any, picture: Any) -> Any:
        if isinstance(timestamp, str) and picture is None:
            try:
                return unix_microseconds(read_moment(timestamp).when) // 1000
            except MomentError:
                raise JException("D3110", 0, timestamp) from None
        return Functions.datetime_to_millis(timestamp, picture)


class _Native(Jsonata.JNativeFunction):  # type: ignore[misc]
    """A function of the library that leaves integers as they are; its own makes floats of those beyond 2^53."""

    def call(self, input: Any, args: Any) -> Any:
        given = list(args)
        given.extend([None] * (self.nargs - len(given)))
        result = self.method(*given)
        if type(result) is float:
            if not math.isfinite(result):
                raise JException("D1001", 0, result)
            return int(result) if result.is_integer() and abs(result) < 1e21 else result
        return result


def weigh(value: Any) -> None:
    """Raise LimitReached if a value, which may contain parts of itself many times, is too large to be written out."""
    budget = [MAX_ITEMS, MAX_TEXT]
    waiting = [value]
    while waiting:
        item = waiting.pop()
        budget[0] -= 1
        if type(item) is str:
            budget[1] -= len(item)
        elif isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, list):
            if len(item) > budget[0]:
                budget[0] = -1
            else:
                waiting.extend(item)
        if min(budget) < 0:
            raise LimitReached(f"makes more than {MAX_ITEMS} items or {MAX_TEXT} characters")


def _functions() -> Jsonata.Frame:
    """The frame of all functions that an expression may call."""
    frame = Jsonata.Frame(None)
    for name, known in Jsonata.static_frame.bindings.items():
        if name in REFUSED:
            continue
        native = _Native.__new__(_Native)
        native.__dict__.update(known.__dict__)
        replaced = vars(_Functions).get(known.method.__name__)
        if replaced is not None:
            native.method = getattr(_Functions, known.method.__name__)
        frame.bindings[name] = native
    return frame


_FUNCTIONS = _functions()
