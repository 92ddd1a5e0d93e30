"""Transformations to numbers and of numbers, exact: they compute in decimals, never in floats."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal, DecimalException

from intertie_mapping.errors import Reason
from intertie_mapping.moments import shown
from intertie_mapping.transformations.specification import (
    Argument,
    ArgumentError,
    Function,
    Kind,
    Refusal,
    Specification,
)
from intertie_mapping.values import Value

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)
#: Wide enough for any DECIMAL column (65 digits) and any product of two.
_ARITHMETIC = Context(prec=200, rounding=ROUND_HALF_UP)
_TRUE = frozenset({"true", "yes", "on", "y", "t", "1"})
_FALSE = frozenset({"false", "no", "off", "n", "f", "0"})


def _read(value: Value) -> int | Decimal:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | Decimal):
        return value
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, str):
        text = value.strip()
        if len(text) <= 4300 and _NUMBER.fullmatch(text):
            return int(text) if text.lstrip("+-").isdigit() else Decimal(text)
        raise Refusal(Reason.NOT_A_NUMBER, f"{shown(value)} is not a number.")
    raise Refusal(Reason.NOT_A_NUMBER)


def _number(decimal_point: str, grouping: str) -> Function:
    for name, text in (("decimal_point", decimal_point), ("grouping", grouping)):
        if len(text) > 1 or text.isdigit() or (name == "decimal_point" and not text):
            raise ArgumentError("must be one character that is no digit", name)
    if decimal_point == grouping:
        raise ArgumentError("must differ from decimal_point", "grouping")

    def number(value: Value) -> Value:
        if isinstance(value, str):
            if decimal_point != "." and "." in value and grouping != ".":
                raise Refusal(Reason.NOT_A_NUMBER, f"{shown(value)} is not a number.")
            value = value.replace(grouping, "") if grouping else value
            value = value.replace(decimal_point, ".")
        return _read(value)

    return number


def _integer() -> Function:
    def integer(value: Value) -> Value:
        number = _read(value)
        if isinstance(number, int):
            return number
        if number.adjusted() > 4300:
            raise Refusal(Reason.OUT_OF_RANGE)
        if number != number.to_integral_value():
            message = f"{shown(str(number))} is no whole number; put `round` before `integer` if it may be."
            raise Refusal(Reason.NOT_A_NUMBER, message)
        return int(number)

    return integer


def _decimal(places: int) -> Function:
    exponent = _exponent(places)

    def decimal(value: Value) -> Value:
        return _computed(lambda: Decimal(_read(value)).quantize(exponent, context=_ARITHMETIC))

    return decimal


def _round(places: int) -> Function:
    exponent = _exponent(places)

    def rounded(value: Value) -> Value:
        number = _read(value)
        if isinstance(number, int):
            return number
        result = _computed(lambda: number.quantize(exponent, context=_ARITHMETIC))
        return int(result) if places == 0 else result

    return rounded


def _absolute() -> Function:
    def absolute(value: Value) -> Value:
        number = _read(value)
        return abs(number) if isinstance(number, int) else number.copy_abs()  # abs() would round to the context

    return absolute


def _multiply(by: int | float | Decimal) -> Function:
    factor = _read(by)

    def multiply(value: Value) -> Value:
        number = _read(value)
        if isinstance(number, int) and isinstance(factor, int):
            return number * factor
        return _computed(lambda: _ARITHMETIC.multiply(Decimal(number), Decimal(factor)))

    return multiply


def _add(amount: int | float | Decimal) -> Function:
    summand = _read(amount)

    def add(value: Value) -> Value:
        number = _read(value)
        if isinstance(number, int) and isinstance(summand, int):
            return number + summand
        return _computed(lambda: _ARITHMETIC.add(Decimal(number), Decimal(summand)))

    return add


def _boolean() -> Function:
    def boolean(value: Value) -> Value:
        if isinstance(value, bool):
            return value
        if isinstance(value, int | float | Decimal) and value in (0, 1):
            return bool(value)
        text = value.strip().lower() if isinstance(value, str) else None
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        raise Refusal(Reason.NOT_A_BOOLEAN, "The value is neither true, yes, on, 1 nor false, no, off, 0.")

    return boolean


def _exponent(places: int) -> Decimal:
    if not 0 <= places <= 30:
        raise ArgumentError("must be from 0 to 30", "places")
    return Decimal(1).scaleb(-places)


def _computed(compute: Callable[[], Decimal]) -> Decimal:
    try:
        return compute()
    except DecimalException:  # more than 200 digits
        raise Refusal(Reason.OUT_OF_RANGE, "The number has too many digits to compute with.") from None


NUMBERS = (
    Specification(
        "number",
        "Reads a number exactly: whole ones as integers, others as decimals.",
        _number,
        {
            "decimal_point": Argument(Kind.TEXT, "the character before the fraction", "."),
            "grouping": Argument(Kind.TEXT, 'the character between groups of digits, such as "," in 1,234.50', ""),
        },
    ),
    Specification("integer", "Reads a whole number; one with a fraction is a fault.", _integer),
    Specification(
        "decimal",
        "Reads a number with so many places after the point, rounding half away from zero.",
        _decimal,
        {"places": Argument(Kind.INTEGER, "the places, 0 to 30", 2)},
    ),
    Specification("boolean", "Reads true, yes, on, y, t, 1 and false, no, off, n, f, 0, in any case.", _boolean),
    Specification(
        "round",
        "Rounds half away from zero.",
        _round,
        {"places": Argument(Kind.INTEGER, "the places to keep after the point, 0 to 30", 0)},
    ),
    Specification("absolute", "Takes the sign away.", _absolute),
    Specification("multiply", "Multiplies, exactly.", _multiply, {"by": Argument(Kind.NUMBER, "the factor")}),
    Specification(
        "add", "Adds, exactly.", _add, {"amount": Argument(Kind.NUMBER, "what to add; negative to subtract")}
    ),
)
