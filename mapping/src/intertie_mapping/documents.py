"""Strict parsing of a body's bytes into records, in one pass: what is not plainly JSON is refused, and no digit is
lost.

The standard library's scanner does the work, because it keeps integers exact and takes hooks; orjson turns integers of
2^64 and more into floats and lets the last of two equal keys win without a word, msgspec does the latter too.

Classes of which each delivery makes some are not frozen, though nothing changes them: a frozen one takes ten times as
long to make.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from json.decoder import JSONDecodeError, JSONDecoder
from typing import Any, TypeVar

from intertie_mapping.errors import DocumentError, DocumentReason, MappingFault, Reason
from intertie_mapping.values import JsonObject, JsonValue

_T = TypeVar("_T")

#: MariaDB refuses JSON columns that are nested 32 deep.
MAX_DEPTH = 31
#: How small a number may be: what is written with this exponent still has fewer digits than an integer may have.
MAX_EXPONENT = 4000

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)  # the closing quote is optional: else unclosed ones cost n²
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_WHITESPACE = re.compile(r"[ \t\n\r]*")
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_KINDS = {bool: "true or false", str: "a text", list: "an array", type(None): "null"}


@dataclass(slots=True)
class Record:
    """One record of a document: what one delivery says about one thing."""

    #: the record's bytes as they were received, without surrounding whitespace: numbers and order of keys untouched
    raw: bytes
    #: what they say; of equal keys the last
    value: JsonObject
    #: keys that stand twice in one object of the record, sorted; a push refuses them, a webhook's record is set aside
    duplicate_keys: tuple[str, ...] = ()

    def digest(self) -> bytes:
        """The SHA-256 of the record's bytes, 32 bytes."""
        return hashlib.sha256(self.raw).digest()

    def require_unique_keys(self) -> None:
        """Raise MappingFault(duplicate_key) if an object of the record has a key twice."""
        if self.duplicate_keys:
            keys = ", ".join(repr(key) for key in self.duplicate_keys[:5])
            message = f"The record has a key twice in one object: {keys}."
            raise MappingFault(Reason.DUPLICATE_KEY, self.duplicate_keys[0], message)


@dataclass(slots=True)
class Document:
    """A parsed body: an object, which is one record, or an array, which holds a record per element (or none)."""

    value: JsonObject | list[JsonObject]
    records: tuple[Record, ...]

    @property
    def is_array(self) -> bool:
        """Whether the body was an array, so that its answer lists the records."""
        return isinstance(self.value, list)

    @property
    def duplicate_keys(self) -> tuple[str, ...]:
        """Keys that stand twice in one object anywhere in the body, sorted."""
        return tuple(sorted({key for record in self.records for key in record.duplicate_keys}))


def parse(body: bytes, most_records: int | None = None) -> Document:
    """The document that a body holds. Raises DocumentError, whose reason and message are fit for the sender.

    With `most_records` an array is given up as soon as it proves to hold more: a megabyte of `{},` is 350,000 of them.
    """
    document = _strictly(partial(_document, most_records=most_records), body)
    if _may_have_surrogates(body):
        _refuse_surrogates(document.value)
    return document


def parse_record(body: bytes) -> Record:
    """The one record that a body is. Raises DocumentError as `parse` does, and also for an array."""
    record = _strictly(_single, body)
    if _may_have_surrogates(body):
        _refuse_surrogates(record.value)
    return record


def parse_value(text: str) -> JsonValue:
    """Any JSON value, as strictly, and equal keys refused. Raises DocumentError."""
    body = text.encode()
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH:
        _refuse_depth(body)
    value = _guarded(_any, text)
    if _may_have_surrogates(body):
        _refuse_surrogates(value)
    return value


def serialise(value: JsonValue) -> str:
    """The JSON text of a value, compact, in Unicode, keys in their order, with every digit of a Decimal."""
    try:
        return _encode(value)
    except TypeError:  # a Decimal: rare, for only numbers that no float can hold are parsed into one
        return _write(value)


def _strictly(scan: Callable[[str, list[str]], _T], body: bytes) -> _T:
    """What `scan` makes of the text of a body. Raises DocumentError."""
    text = _decode(body)
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH:
        _refuse_depth(body)
    return _guarded(scan, text)


def _guarded(scan: Callable[[str, list[str]], _T], text: str) -> _T:
    """What `scan` makes of a text, all that can go wrong in it as a DocumentError."""
    found: list[str] = []
    _found.keys = found
    try:
        return scan(text, found)
    except JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        problem = f"{error.msg.removesuffix(' at')} at {where}"
    except StopIteration as error:
        problem = f"no value where one is needed, {_place(text, error.value)}"
    except ValueError:  # int() refuses more than 4,300 digits, because its time grows with their square
        raise DocumentError(DocumentReason.INVALID_NUMBER, "A number has more than 4,300 digits.") from None
    except RecursionError:  # cannot come from the depth, which is checked; the caller's own stack may be deep
        raise DocumentError(DocumentReason.NESTED_TOO_DEEPLY) from None
    raise DocumentError(DocumentReason.INVALID_JSON, f"The body is not JSON: {problem}.")


def _any(text: str, found: list[str]) -> JsonValue:
    value, end = _scan(text, _skip(text, 0))
    _expect_end(text, end)
    if found:
        raise DocumentError(DocumentReason.INVALID_JSON, f"The body has the key {found[0]!r} twice in one object.")
    return value  # type: ignore[no-any-return]


def _document(text: str, found: list[str], most_records: int | None = None) -> Document:
    position = _skip(text, 0)
    if text[position : position + 1] != "[":
        record = _single(text, found)
        return Document(record.value, (record,))
    records: list[Record] = []
    position = _skip(text, position + 1)
    if text[position : position + 1] == "]":
        _expect_end(text, position + 1)
        return Document([], ())
    while True:
        value, end = _scan(text, position)
        records.append(_record(text, position, end, value, found, f"Element {len(records)} of the body"))
        if most_records is not None and len(records) > most_records:
            raise DocumentError(
                DocumentReason.TOO_MANY_RECORDS,
                f"The array holds more than {most_records} records; send them in parts.",
            )
        found.clear()
        position = _skip(text, end)
        delimiter = text[position : position + 1]
        if delimiter == "]":
            _expect_end(text, position + 1)
            return Document([record.value for record in records], tuple(records))
        if delimiter != ",":
            raise JSONDecodeError("Expecting ',' delimiter", text, position)
        position = _skip(text, position + 1)


def _single(text: str, found: list[str]) -> Record:
    start = _skip(text, 0)
    value, end = _scan(text, start)
    _expect_end(text, end)
    return _record(text, start, end, value, found, "The body")


def _record(text: str, start: int, end: int, value: JsonValue, found: list[str], name: str) -> Record:
    if type(value) is not dict:
        kind = _KINDS.get(type(value), "a number")
        raise DocumentError(DocumentReason.NOT_AN_OBJECT, f"{name} is {kind}; a record must be a JSON object.")
    raw = text[start:end].encode()
    return Record(raw, value, tuple(sorted(set(found)))) if found else Record(raw, value)


def _skip(text: str, position: int) -> int:
    if text[position : position + 1] not in " \t\n\r":  # also false at the end: "" is in every text
        return position
    match = _WHITESPACE.match(text, position)
    return match.end() if match else position


def _expect_end(text: str, end: int) -> None:
    if end != len(text) and _skip(text, end) != len(text):
        raise JSONDecodeError("Something follows the document", text, _skip(text, end))


def _decode(body: bytes) -> str:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise DocumentError(
            DocumentReason.INVALID_ENCODING, f"The body is not UTF-8: byte {error.start} cannot stand there."
        ) from None
    if not text or text.isspace():
        raise DocumentError(DocumentReason.EMPTY_BODY)
    if text[0] == "\ufeff":
        raise DocumentError(
            DocumentReason.INVALID_ENCODING, "The body begins with a byte order mark; send plain UTF-8 without one."
        )
    if "\x00" in text[:2]:
        raise DocumentError(DocumentReason.INVALID_ENCODING, "The body seems to be UTF-16 or UTF-32; send UTF-8.")
    return text


def _refuse_depth(body: bytes) -> None:
    """Raise DocumentError if brackets outside of strings are nested too deep.

    Before parsing: the C scanner recurses.
    """
    depth = 0
    for bracket in _STRING.sub(b"", body).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise DocumentError(DocumentReason.NESTED_TOO_DEEPLY)


def _may_have_surrogates(body: bytes) -> bool:
    return b"\\u" in body and _SURROGATE_ESCAPE.search(body) is not None


def _refuse_surrogates(value: Any) -> None:
    try:
        serialise(value).encode()
    except UnicodeEncodeError:
        raise DocumentError(DocumentReason.INVALID_TEXT) from None


def _place(text: str, position: int) -> str:
    return f"line {text.count(chr(10), 0, position) + 1}, column {position - text.rfind(chr(10), 0, position)}"


class _Found(threading.local):
    """The repeated keys of the parse that this thread is in; the scanner's hooks know no parse."""

    keys: list[str]


_found = _Found()


def _object(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                _found.keys.append(key)
            seen.add(key)
    return value


def _number(text: str) -> float | Decimal:
    value = float(text)
    if len(text) <= 16 and "e" not in text and "E" not in text:
        return value  # at most 15 significant digits: a double's shortest text gives them back
    if value in (float("inf"), float("-inf")):
        raise DocumentError(DocumentReason.INVALID_NUMBER, "A number is larger than a double can hold.")
    if len(text) > 4300:
        raise DocumentError(DocumentReason.INVALID_NUMBER, "A number has more than 4,300 digits.")
    if value == 0.0 and abs(_exponent_of(text)) > MAX_EXPONENT:
        # Written out it would fill memory, and of exponents beyond 18 digits Decimal makes an error of its own.
        raise DocumentError(DocumentReason.INVALID_NUMBER, f"A number has an exponent beyond {MAX_EXPONENT:,}.")
    exact = Decimal(text)
    return value if Decimal(repr(value)) == exact else exact


def _exponent_of(text: str) -> int:
    digits = text.lower().partition("e")[2]
    return int(digits) if digits else 0  # at most 4,300 digits, which int() takes


def _constant(name: str) -> float:
    raise DocumentError(DocumentReason.INVALID_NUMBER, f"{name} is not a number of JSON.")


def _write(value: JsonValue) -> str:
    if type(value) is dict:
        return "{" + ",".join(f"{_encode(key)}:{_write(item)}" for key, item in value.items()) + "}"
    if type(value) is list:
        return "[" + ",".join(map(_write, value)) + "]"
    return str(value) if isinstance(value, Decimal) else _encode(value)


_scan = JSONDecoder(object_pairs_hook=_object, parse_float=_number, parse_constant=_constant).scan_once  # type: ignore[attr-defined]
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
