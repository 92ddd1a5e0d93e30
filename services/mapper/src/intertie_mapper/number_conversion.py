"""Numbers for SQL columns: exact or refused, never cut, rounded or wrapped without a word."""

import re
from decimal import Context, Decimal

from intertie_mapper.columns import Column, SqlValue
from intertie_mapper.errors import TargetReason
from intertie_mapper.misfits import Misfit
from intertie_mapping.errors import Reason
from intertie_mapping.values import Value

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_WIDE = Context(prec=4400)
_LARGEST_SINGLE = 3.4028234663852886e38


def number(value: Value) -> int | float | Decimal:
    """The number that a value is or that a text plainly writes. Raises Misfit(not_a_number)."""
    kind = type(value)
    if kind is int or kind is float or kind is Decimal:
        return value  # type: ignore[return-value]
    if kind is bool:
        return int(value)  # type: ignore[arg-type]
    if isinstance(value, str):
        text = value.strip()
        if len(text) <= 4300:
            if _INTEGER.fullmatch(text):
                return int(text)
            if _NUMBER.fullmatch(text):
                return Decimal(text)
        raise Misfit(Reason.NOT_A_NUMBER, "it is not a number")
    raise Misfit(TargetReason.WRONG_TYPE, "a number is needed")


def to_integer(column: Column, value: Value) -> SqlValue:
    """An integer in the column's range; 5.0 is 5, 5.5 is refused."""
    found = number(value)
    if type(found) is not int:
        if isinstance(found, float) and not found.is_integer():
            raise Misfit(TargetReason.FRACTION_LOST, "it is not a whole number; the transformation round makes it fit")
        if isinstance(found, Decimal) and abs(found.adjusted()) > 400 and found:
            raise Misfit(Reason.OUT_OF_RANGE, _range(column))
        whole = int(found)
        if whole != found:
            raise Misfit(TargetReason.FRACTION_LOST, "it is not a whole number; the transformation round makes it fit")
        found = whole
    if (column.low is not None and found < column.low) or (column.high is not None and found > column.high):
        raise Misfit(Reason.OUT_OF_RANGE, _range(column))
    return found


def to_boolean(column: Column, value: Value) -> SqlValue:
    """1 or 0 for true and false, also as text; other integers as far as the column (TINYINT) takes them."""
    if type(value) is bool:
        return int(value)
    if isinstance(value, str):
        word = value.strip().lower()
        if word in ("true", "false"):
            return int(word == "true")
        if not _INTEGER.fullmatch(word):
            raise Misfit(Reason.NOT_A_BOOLEAN, "it is neither true nor false")
    return to_integer(column, value)


def to_decimal(column: Column, value: Value) -> SqlValue:
    """The exact digits, as text with the column's scale; more digits than it keeps are refused."""
    found = number(value)
    exact = found if isinstance(found, Decimal) else Decimal(repr(found))
    if column.low is not None and exact < column.low:
        raise Misfit(Reason.OUT_OF_RANGE, "the column takes no negative numbers")
    precision = column.precision
    if precision is None:
        return _fitting_double(exact) if column.embedded else str(exact)
    if exact and exact.adjusted() >= precision - column.scale:
        raise Misfit(Reason.OUT_OF_RANGE, f"the column takes {precision - column.scale} digits before the point")
    if exact and exact.adjusted() < -column.scale - 1:
        raise Misfit(TargetReason.FRACTION_LOST, _decimals(column))
    fitted = exact.quantize(Decimal(1).scaleb(-column.scale), context=_WIDE)
    if fitted != exact:
        raise Misfit(TargetReason.FRACTION_LOST, _decimals(column))
    if not fitted:
        fitted = abs(fitted)  # no "-0.00"
    return _fitting_double(fitted) if column.embedded else f"{fitted:f}"


def to_float(column: Column, value: Value) -> SqlValue:
    """The nearest double; beyond its range (or that of a four-byte FLOAT) refused."""
    try:
        found = float(number(value))
    except OverflowError:
        found = float("inf")
    if column.low is not None and found < column.low:
        raise Misfit(Reason.OUT_OF_RANGE, "the column takes no negative numbers")
    if found in (float("inf"), float("-inf")) or (column.single and abs(found) > _LARGEST_SINGLE):
        raise Misfit(Reason.OUT_OF_RANGE, "it is too large for the column")
    return found


def _fitting_double(exact: Decimal) -> SqlValue:
    """SQLite has no decimals: an integer, or a double whose shortest text is the number."""
    if exact == exact.to_integral_value() and abs(exact) < 2**63:
        return int(exact)
    nearest = float(exact)
    if Decimal(repr(nearest)) != exact:
        raise Misfit(TargetReason.FRACTION_LOST, "SQLite keeps 15 digits")
    return nearest


def _range(column: Column) -> str:
    return f"the column takes {column.low} to {column.high}"


def _decimals(column: Column) -> str:
    return f"the column keeps {column.scale} decimals; the transformation round makes it fit"
