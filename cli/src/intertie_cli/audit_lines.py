"""The lines of an audit export, as JSON lines or CSV: made of canonical bytes, and turned into them again.

One column a value. In CSV `types` has a letter for each value of the canonical bytes, so that NULL is not taken for an
empty text nor a number for a text. docs/audit-exports.md describes both forms.
"""

import csv
import io
import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha256

from intertie_chassis.chain_format import ENTRY_COLUMNS, canonical_bytes, values_of

PREFIX = ("sequence", "kind", "sealed_at")
DIGESTS = ("request_payload_sha256", "response_payload_sha256")
PAYLOADS = ("request_payload", "response_payload")
COLUMNS = (*PREFIX, *ENTRY_COLUMNS, *DIGESTS, "note", *PAYLOADS)
"""What a line has, in this order; in CSV `types` follows, and the header names them."""

_OF_ENTRY = (*PREFIX, *ENTRY_COLUMNS, *DIGESTS)
_OF_NOTE = (*PREFIX, "note")
_HEADER = (*COLUMNS, "types")
_LETTERS = {int: "i", str: "t", type(None): "n"}
_SPECIAL = frozenset('",\r\n')
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_EMPTY = sha256(b"").hexdigest()
_MOST_DIGITS = 20
csv.field_size_limit(2**31 - 1)

Value = str | int | None


class Form(StrEnum):
    """How a file is written."""

    JSONL = "jsonl"
    CSV = "csv"


class Unreadable(Exception):
    """The bytes are no line of an export."""


@dataclass(frozen=True, slots=True)
class Line:
    """One entry, or one note of the chain."""

    #: as in canonical bytes: the link's prefix, then the entry's columns and digests, or the words of a note
    values: tuple[Value, ...]
    #: as they are stored; None: not there, or not given
    request_payload: str | None = None
    response_payload: str | None = None

    @classmethod
    def of(cls, values: list[object], request: str = "", response: str = "") -> "Line":
        """Of values as they stand in canonical bytes, and payloads (empty: not there, unless an empty one was sealed).

        Raises ValueError when these are neither an entry nor a note.
        """
        if len(values) not in (len(_OF_ENTRY), len(_OF_NOTE)) or not all(type(value) in _LETTERS for value in values):
            raise ValueError("neither an entry nor a note")
        line = cls(tuple(values))  # type: ignore[arg-type]
        if type(line.values[0]) is not int or (line.is_entry and type(line.values[len(PREFIX)]) is not int):
            raise ValueError("without a place or a number")
        if not _is_text("".join(value for value in (*line.values, request, response) if isinstance(value, str))):
            raise ValueError("not a text in UTF-8")
        if not line.is_entry:
            return line
        first, second = line.digests
        return replace(
            line,
            request_payload=request or ("" if first == _EMPTY else None),
            response_payload=response or ("" if second == _EMPTY else None),
        )

    @property
    def sequence(self) -> int:
        """The place in the chain."""
        return int(self.values[0] or 0)

    @property
    def kind(self) -> Value:
        """`entry`, `found`, or that of a note."""
        return self.values[1]

    @property
    def is_entry(self) -> bool:
        """Whether it is a row of the log; else it is a note."""
        return len(self.values) == len(_OF_ENTRY)

    @property
    def entry_id(self) -> int | None:
        """The number in the log; None of a note."""
        return int(self.values[len(PREFIX)] or 0) if self.is_entry else None

    @property
    def canonical(self) -> bytes:
        """The canonical bytes; of an entry of a `found` link they are not what was sealed, see `row`."""
        return canonical_bytes(self.values)

    @property
    def row(self) -> bytes:
        """The canonical bytes of the entry's own columns."""
        return canonical_bytes(self.values[len(PREFIX) : -len(DIGESTS)])

    @property
    def digests(self) -> tuple[Value, Value]:
        """SHA-256 of the payloads when they were sealed, in hex; None: there was none."""
        return self.values[-2], self.values[-1]

    @property
    def payloads(self) -> tuple[str | None, str | None]:
        """The payloads, as they are in the file."""
        return self.request_payload, self.response_payload

    @property
    def withheld(self) -> list[str]:
        """The payloads that were sealed and are not in the file: expired, or too large."""
        return self._payloads(lambda payload, digest: payload is None and digest is not None)

    @property
    def altered_payloads(self) -> list[str]:
        """The payloads in the file that are not what was sealed."""
        return self._payloads(lambda payload, digest: payload is not None and _digest(payload) != digest)

    def _payloads(self, wanted: Callable[[str | None, Value], bool]) -> list[str]:
        if not self.is_entry:
            return []
        both = zip(PAYLOADS, self.payloads, self.digests, strict=True)
        return [name for name, payload, digest in both if wanted(payload, digest)]


def of_canonical(canonical: bytes, request: str = "", response: str = "") -> Line:
    """The line of an entry or a note, of its canonical bytes and its payloads. Raises ValueError."""
    line = Line.of(values_of(canonical), request, response)
    if line.canonical != canonical:
        raise ValueError("not as canonical bytes are written")
    return line


def written(line: Line, form: Form, *, is_safe: bool = False) -> bytes:
    """The line as it stands in a file, with its end.

    `is_safe`: a text that a spreadsheet would take for a formula gets an apostrophe before it; then the bytes that were
    sealed cannot be made of it again.
    """
    values: dict[str, Value] = dict.fromkeys(COLUMNS)
    values |= zip(_OF_ENTRY if line.is_entry else _OF_NOTE, line.values, strict=True)
    values |= zip(PAYLOADS, line.payloads, strict=True)
    if form is Form.CSV:
        values["types"] = "".join(_LETTERS[type(value)] for value in line.values)
        if is_safe:
            values = {name: _harmless(value) for name, value in values.items()}
        text = ",".join(_cell("" if value is None else str(value)) for value in values.values()) + "\r\n"
    else:
        text = json.dumps(values, ensure_ascii=False, separators=(",", ":")) + "\n"
    return text.encode()


def header(form: Form) -> bytes:
    """What a file begins with."""
    return (",".join(_HEADER) + "\r\n").encode() if form is Form.CSV else b""


def read_jsonl(raw: bytes) -> Line:
    """The line of a JSON lines file. Raises Unreadable."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        raise Unreadable("is not JSON") from None
    if not isinstance(document, dict) or set(document) != set(COLUMNS):
        raise Unreadable("has not the members of an export")
    is_note = document["note"] is not None
    payloads = [document[name] or "" for name in PAYLOADS]
    if not all(isinstance(payload, str) for payload in payloads):
        raise Unreadable("has a payload that is no text")
    return _line([document[name] for name in (_OF_NOTE if is_note else _OF_ENTRY)], *payloads)


def read_cells(cells: list[str]) -> Line:
    """The line of a CSV record. Raises Unreadable."""
    if len(cells) != len(_HEADER):
        raise Unreadable(f"has {len(cells)} cells instead of {len(_HEADER)}")
    values = dict(zip(_HEADER, cells, strict=True))
    types = values["types"]
    if len(types) not in (len(_OF_ENTRY), len(_OF_NOTE)):
        raise Unreadable("has the types of neither an entry nor a note")
    names = _OF_ENTRY if len(types) == len(_OF_ENTRY) else _OF_NOTE
    found = [_typed(values[name], letter) for name, letter in zip(names, types, strict=True)]
    return _line(found, values["request_payload"], values["response_payload"])


def records(lines: Iterator[bytes]) -> Iterator[tuple[bytes, Callable[[], Line]]]:
    """The records of a CSV file behind its header: the bytes of each, and what reads them.

    Where a record cannot be told from the next one, its first line alone is taken for one, and reading it raises
    Unreadable.
    """
    waiting: deque[bytes] = deque()
    while True:
        taken: list[bytes] = []
        try:
            cells = next(csv.reader(_texts(lines, waiting, taken), strict=True), [])
        except (csv.Error, UnicodeDecodeError):
            cells = []
        if not taken:
            return
        if len(cells) != len(_HEADER):
            waiting.extendleft(reversed(taken[1:]))
            del taken[1:]
        yield b"".join(taken), lambda cells=cells: read_cells(cells)  # type: ignore[misc]


def physical_lines(file: io.BufferedIOBase) -> Iterator[bytes]:
    """The lines of a file with their ends."""
    yield from iter(file.readline, b"")


def _texts(lines: Iterator[bytes], waiting: deque[bytes], taken: list[bytes]) -> Iterator[str]:
    """The lines as texts, first those that wait; each one is noted that is taken."""
    while True:
        line = waiting.popleft() if waiting else next(lines, b"")
        if not line:
            return
        taken.append(line)
        yield line.decode()


def _line(values: list[object], request: str, response: str) -> Line:
    try:
        return Line.of(values, request, response)
    except ValueError as error:
        raise Unreadable(f"is {error}") from None


def _typed(text: str, letter: str) -> object:
    if letter == "i" and len(text) <= _MOST_DIGITS and text.removeprefix("-").isdecimal():
        return int(text)
    if letter == "t":
        return text
    if letter == "n":
        return None
    raise Unreadable("has a value that is not of its type")


def _is_text(text: str) -> bool:
    """Whether it can be written: JSON can spell halves of characters, which no text has."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _digest(payload: str) -> str:
    return sha256(payload.encode()).hexdigest()


def _harmless(value: Value) -> Value:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _cell(text: str) -> str:
    if _SPECIAL.isdisjoint(text):
        return text
    return '"' + text.replace('"', '""') + '"'
