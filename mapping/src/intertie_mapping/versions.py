"""Versions of records as texts whose plain binary comparison is the order of the versions.

A key begins with its kind: `n` for numbers, `t` for times, `x` for other texts. Keys of different kinds compare by
that letter, so a sender that goes over from counting to timestamps keeps moving forward. Keys are compared byte by
byte in UTF-8 (a binary collation without padding).
"""

from __future__ import annotations

import re
from decimal import Decimal

from intertie_mapping.errors import MappingFault, Reason
from intertie_mapping.moments import MomentError, looks_like_moment, read_moment
from intertie_mapping.values import JsonValue, Missing

#: What a column for a key must hold, in characters.
MAX_KEY_LENGTH = 255

_FIELD = "version_field"
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?", re.ASCII)
_NINES_COMPLEMENT = str.maketrans("0123456789", "9876543210")


def version_key(value: JsonValue | Missing) -> str:
    """The key of a version. Raises MappingFault(missing_version or invalid_version).

    Numbers, also written as text, are compared by value at any size; dates and timestamps as the time they denote, in
    UTC when a zone is given, to the last digit of the fraction, a date alone being its midnight; any other text
    character by character.
    """
    if isinstance(value, str):
        return _text_key(value)
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return _checked("n" + _number_key(value if isinstance(value, int | Decimal) else Decimal(repr(value))))
    if value is None or isinstance(value, Missing):
        raise MappingFault(Reason.MISSING_VERSION, _FIELD)
    raise MappingFault(Reason.INVALID_VERSION, _FIELD, "A version must be a number, a time or a text.")


def _text_key(text: str) -> str:
    text = text.strip()
    if not text:
        raise MappingFault(Reason.MISSING_VERSION, _FIELD, "The version is an empty text.")
    if len(text) > 1000:
        raise MappingFault(Reason.INVALID_VERSION, _FIELD)
    if _NUMBER.fullmatch(text):
        return _checked("n" + _number_key(Decimal(text)))
    if looks_like_moment(text):
        try:
            moment = read_moment(text)
        except MomentError as error:
            message = f"The version cannot be put in order: {error}."
            raise MappingFault(Reason.INVALID_VERSION, _FIELD, message) from None
        second = moment.when.isoformat(timespec="seconds")
        return f"t{second}.{moment.fraction}" if moment.fraction else f"t{second}"
    return _checked("x" + text)


def _number_key(number: int | Decimal) -> str:
    """0 is `1`, positives begin with `2`, negatives with `0`; then the exponent, then the digits, complemented when
    negative.

    The digits have no trailing zeros, so 0.12 < 0.123 compares as a prefix; for negatives a final `~`, above every
    digit, turns that around.
    """
    if not isinstance(number, int):
        sign, digit_tuple, exponent = number.as_tuple()
        digits = "".join(map(str, digit_tuple))
        power = int(exponent)
    else:
        sign, digits, power = (1 if number < 0 else 0), str(abs(number)), 0
    digits = digits.lstrip("0")
    if not digits:
        return "1"
    scale = power + len(digits) + 50_000  # the number is 0.digits × 10^(scale - 50,000)
    digits = digits.rstrip("0")
    if sign:
        return f"0{99_999 - scale:05}{digits.translate(_NINES_COMPLEMENT)}~"
    return f"2{scale:05}{digits}"


def _checked(key: str) -> str:
    if len(key) > MAX_KEY_LENGTH:
        raise MappingFault(Reason.INVALID_VERSION, _FIELD, "The version is longer than 250 characters.")
    return key
