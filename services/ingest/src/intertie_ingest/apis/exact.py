"""JSON whose numbers stay as they were written, so that parts of a document can be cut out without changing them."""

import json
from decimal import Decimal
from functools import lru_cache
from typing import Any

import orjson

from intertie_ingest.errors import ExternalInvalid
from intertie_mapping.paths import compile_path
from intertie_mapping.values import MISSING, Missing

_EXACT_DIGITS = 18
_MOST_DIGITS = 4000
#: the same few paths are asked of every record
_reader = lru_cache(256)(compile_path)


class Literal:
    """A number's digits, or an object that has a key twice: kept as text, because no value holds all of it."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    @property
    def is_object(self) -> bool:
        """Whether it is an object, and no number."""
        return self.text.startswith("{")


def parse(document: bytes) -> Any:
    """A document that is known to be JSON, with a `Literal` for every number that is no short integer.

    Raises ExternalInvalid when it is nested too deep.
    """
    try:
        return _DECODER.decode(document.decode())
    except RecursionError:
        raise ExternalInvalid("the external system's answer is nested too deep") from None


def dump(value: Any) -> bytes:
    """The text of a part of a parsed document: every digit and key as it was. Raises ExternalInvalid."""
    try:
        return orjson.dumps(value, default=_fragment)
    except TypeError:
        raise ExternalInvalid("the external system's answer is nested too deep, or is no Unicode") from None


def plain(value: Any) -> Any:
    """The value of a leaf; a number is an int or a Decimal, and None when it is beyond all bounds."""
    if not isinstance(value, Literal):
        return value
    if value.is_object or len(value.text) > _MOST_DIGITS:
        return None
    try:
        return int(value.text) if value.text.lstrip("-").isdigit() else Decimal(value.text)
    except ArithmeticError:  # an exponent of twenty digits
        return None


def find(document: Any, path: str) -> Any | Missing:
    """What is at a source path of a parsed document, which may be an array. MISSING when nothing is."""
    if not isinstance(document, dict) and not path.startswith("["):
        return MISSING
    return _reader(path)(document)


def _object(pairs: list[tuple[str, Any]]) -> Any:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    members = ",".join(f"{orjson.dumps(key).decode()}:{dump(item).decode()}" for key, item in pairs)
    return Literal(f"{{{members}}}")


def _integer(text: str) -> Any:
    return int(text) if len(text) <= _EXACT_DIGITS else Literal(text)


def _fragment(value: Any) -> Any:
    if isinstance(value, Literal):
        return orjson.Fragment(value.text)
    raise TypeError


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=Literal)
