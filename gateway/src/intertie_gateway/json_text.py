"""JSON as text: validated strictly, and walked with the place of each value, so that a part can be cut out as it came.

A parse into Python objects and back would change numbers (orjson turns integers from 2^64 into floats), so documents
inside a request are never rebuilt: their slice of the body goes on.
"""

import json
import re
from collections.abc import Callable
from json.decoder import scanstring  # type: ignore[attr-defined]
from json.scanner import make_scanner
from typing import Any

import orjson

from intertie_chassis.errors import InvalidArgument

DEEPEST = 31
"""MariaDB refuses JSON nested deeper."""

_SPACE = re.compile(r"[ \t\n\r]*")
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"')
_BRACKETS = re.compile(r"[\[\]{}]")


class InvalidJson(InvalidArgument):
    """the body is not JSON as it is taken here: UTF-8, no NaN or Infinity, nested at most 31 deep"""

    reason = "INVALID_JSON"


class DuplicateKey(InvalidArgument):
    """an object in the body has a key twice"""

    reason = "DUPLICATE_KEY"


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise DuplicateKey(f"an object in the body has the key {key[:100]!r} twice")
            seen.add(key)
    return found


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise InvalidJson("a number in the body is too large")
    return number


def _no_constant(text: str) -> Any:
    raise InvalidJson(f"{text} is no JSON")


# The C scanner of the standard library: unlike orjson it tells where a value ends, and keeps integers whole.
_rules = json.JSONDecoder(object_pairs_hook=_pairs, parse_float=_finite, parse_constant=_no_constant)
_scan = make_scanner(_rules)  # type: ignore[arg-type]


class JsonText:
    """A valid JSON document of a request."""

    def __init__(self, body: bytes) -> None:
        """Raises InvalidJson when the body is not a JSON document in UTF-8."""
        if not body:
            raise InvalidJson("the body is empty; send a JSON object")
        try:
            # First by orjson: fast, and strict about UTF-8, lone surrogates, byte order marks and what follows.
            orjson.loads(body)
            self.text = body.decode("utf-8")
        except ValueError as error:
            raise InvalidJson(f"the body is not JSON: {_place(error)}") from None
        check_depth(self.text)

    def start(self) -> int:
        """Where the document begins."""
        return self.skip(0)

    def skip(self, at: int) -> int:
        """The next place that is not white space."""
        match = _SPACE.match(self.text, at)
        return match.end() if match else at

    def value(self, at: int) -> tuple[Any, int]:
        """The value that begins at a place, and where it ends. Raises InvalidArgument for a key twice or a number that
        no parser keeps (1e999, integers of more than 4300 digits).
        """
        try:
            value, end = _scan(self.text, at)
        except RecursionError:
            raise InvalidJson(f"the body is nested deeper than {DEEPEST}") from None
        except (ValueError, StopIteration):
            # orjson has let it pass, so it is an integer that Python refuses to make.
            raise InvalidJson("a number in the body has too many digits") from None
        return value, end

    def raw(self, at: int) -> tuple[bytes, int]:
        """The value that begins at a place, byte for byte, and where it ends; it has been checked as by `value`."""
        _, end = self.value(at)
        return self.text[at:end].encode("utf-8"), end

    def object(self, at: int, member: Callable[[str, int], int]) -> int:
        """Walks the object at a place and gives its end.

        Args:
            member: is told each key and where its value begins; gives the value's end.
        """
        text = self.text
        at = self.skip(at + 1)
        while text[at] != "}":
            key, end = scanstring(text, at + 1, True)
            end = member(key, self.skip(self.skip(end) + 1))
            at = self.skip(end)
            if text[at] == ",":
                at = self.skip(at + 1)
        return at + 1

    def array(self, at: int, element: Callable[[int], int]) -> int:
        """Walks the array at a place and gives its end.

        Args:
            element: is told where each element begins; gives its end.
        """
        text = self.text
        at = self.skip(at + 1)
        while text[at] != "]":
            at = self.skip(element(at))
            if text[at] == ",":
                at = self.skip(at + 1)
        return at + 1


def check_depth(text: str) -> None:
    """Raises InvalidJson when arrays and objects are nested more than 31 deep."""
    if text.count("[") + text.count("{") <= DEEPEST:
        return
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub("", text)):
        if bracket in "[{":
            depth += 1
            if depth > DEEPEST:
                raise InvalidJson(f"the body is nested deeper than {DEEPEST}")
        else:
            depth -= 1


def _place(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}, column {error.colno}"
    return "not UTF-8"
