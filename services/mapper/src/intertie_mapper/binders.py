"""What binds the values of one column, made once for a mapping: what plainly fits passes at a glance, and all else goes
through `conversion`, which would have given the same.
"""

import sys
from collections.abc import Callable
from datetime import date
from functools import partial
from typing import TypeAlias

from intertie_mapper.columns import Column, Kind, SqlValue
from intertie_mapper.conversion import convert
from intertie_mapping.values import Value

Binder: TypeAlias = Callable[[Value], SqlValue]
"""From a mapped value to what is bound. Raises Misfit."""

_BYTES_A_CHARACTER = 4


def binder(column: Column) -> Binder:
    """The binder of a column."""
    otherwise = partial(convert, column)
    if column.kind is Kind.TEXT and not column.padded:
        return _text(column, otherwise)
    if column.kind is Kind.INTEGER and column.low is not None and column.high is not None:
        return _integer(column.low, column.high, otherwise)
    if column.kind is Kind.DATE:
        return _date(otherwise)
    return otherwise


def _text(column: Column, otherwise: Binder) -> Binder:
    most = sys.maxsize if column.max_characters is None else column.max_characters
    if column.max_bytes is not None:
        most = min(most, column.max_bytes // _BYTES_A_CHARACTER)
    takes_all = column.encoding is None

    def bind(value: Value) -> SqlValue:
        if type(value) is str and len(value) <= most and (takes_all or value.isascii()):
            return value
        return otherwise(value)

    return bind


def _integer(low: int, high: int, otherwise: Binder) -> Binder:
    def bind(value: Value) -> SqlValue:
        return value if type(value) is int and low <= value <= high else otherwise(value)

    return bind


def _date(otherwise: Binder) -> Binder:
    def bind(value: Value) -> SqlValue:
        if type(value) is str and len(value) == 10 and value[4] == "-" == value[7]:
            try:
                date.fromisoformat(value)
            except ValueError:
                return otherwise(value)
            return value
        return otherwise(value)

    return bind
