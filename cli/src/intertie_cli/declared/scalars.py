"""What a plain scalar of YAML is: a text, a number, true, false or null, and never something that readers disagree on.

YAML 1.1 and 1.2 read some words differently: `no` is false or a text, `0777` is 511 or 777, `1e3` a text or 1000. Who
wrote them meant one of the two, and nobody knows which: they are refused with a hint. What only old readers take for
something else than a text, but nobody means as such (`2026-01-01`, `12:30`), is the text that it looks like.
"""

import math
import re
from decimal import Decimal
from typing import Any

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
_WORDS = re.compile(r"(?:y|n|yes|no|on|off)", re.IGNORECASE)
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_OCTAL = re.compile(r"[-+]?0[0-9_]+|0o[0-7]+")
_HEXADECIMAL = re.compile(r"[-+]?0x[0-9a-fA-F_]+|[-+]?0b[01_]+")
_GROUPED = re.compile(r"[-+]?[0-9][0-9_]*_[0-9_]*(?:\.[0-9_]*)?")
# With a point and a sign of the exponent it is a number to all readers.
_FRACTION = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+][0-9]+)?")
_OTHER_FRACTION = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+")
_NO_NUMBER = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_MOST_DIGITS = 400


class Ambiguous(ValueError):
    """A scalar that does not say what it is; the text says what to write instead."""


def value_of(text: str) -> Any:
    """What a plain scalar is. Raises Ambiguous."""
    if _NULL.fullmatch(text):
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _WORDS.fullmatch(text):
        raise Ambiguous("is true or false to some readers of YAML and text to others: write true or false, or quote it")
    if _WHOLE.fullmatch(text):
        if len(text) > _MOST_DIGITS:
            raise Ambiguous(f"is a number of more than {_MOST_DIGITS} digits: quote it if it is a text")
        return int(text)
    if _FRACTION.fullmatch(text):
        return _fraction(text)
    if _OCTAL.fullmatch(text):
        raise Ambiguous("is another number in each version of YAML: quote it if it is text, or leave out the zeros")
    if _NO_NUMBER.fullmatch(text):
        raise Ambiguous("is no number that JSON has: quote it if it is a text")
    if any(form.fullmatch(text) for form in (_HEXADECIMAL, _GROUPED, _OTHER_FRACTION)):
        raise Ambiguous("is a number to some readers of YAML and text to others: write it as 1000 or 0.5, or quote it")
    return text


def _fraction(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or Decimal(repr(value)) != Decimal(text):
        raise Ambiguous("is a number with more digits than a number keeps: quote it, so that none is lost")
    return value


def is_plain_text(text: str) -> bool:
    """Whether a text may stand without quotes and is read as itself."""
    try:
        return isinstance(value_of(text), str)
    except Ambiguous:
        return False
