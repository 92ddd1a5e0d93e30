"""Checks the fields of a request and collects everything that is wrong with them, to be told in one answer."""

import unicodedata
from collections.abc import Callable, Iterable, Sequence

from intertie_chassis.errors import InvalidArgument
from intertie_mapping import documents
from intertie_mapping.errors import DocumentError
from intertie_mapping.values import JsonObject, JsonValue

#: bytes of a config_json or query_permissions; a mapping_config may hold lookups and so more
MOST_DOCUMENT = 64 * 1024
_MOST_TEXT = 65_535  # of a MySQL TEXT column, in bytes


class Fields:
    """What is wrong with the message at `at` (``connection``) so far."""

    def __init__(self, at: str) -> None:
        self._at = at
        self._found: list[tuple[str, str]] = []

    def refuse(self, field: str, text: str) -> None:
        """Note that a field is wrong."""
        self._found.append((f"{self._at}.{field}" if self._at else field, text))

    def refuse_as(self, name: str, text: str) -> None:
        """Note that a field beside the message is wrong."""
        self._found.append((name, text))

    def refuse_path(self, path: str, text: str) -> None:
        """Note that the update mask names what it cannot."""
        self._found.append(("update_mask", f"{path!r} {text}"))

    def require_none(self, error: type[InvalidArgument] = InvalidArgument) -> None:
        """Raises `error` with everything that was noted, if anything was."""
        if self._found:
            what = "; ".join(f"{field} {text}" for field, text in self._found[:3])
            more = f"; and {len(self._found) - 3} more" if len(self._found) > 3 else ""
            raise error(what + more, violations=self._found)

    def name(self, field: str, value: str, *, most: int = 100) -> str:
        """A name that stands in URLs and columns."""
        if not 1 <= len(value) <= most:
            self.refuse(field, f"must have 1 to {most} characters")
        elif "/" in value or value in (".", "..") or _has_control(value):
            self.refuse(field, "must not be . or .. and must not hold / or control characters")
        elif value != value.strip():
            self.refuse(field, "must not begin or end with a space")
        return value

    def text(self, field: str, value: str, most: int | None = None) -> str:
        """A text for one column: of so many characters, or as long as a TEXT column takes."""
        if most is not None and len(value) > most:
            self.refuse(field, f"must have at most {most} characters")
        elif len(value.encode()) > _MOST_TEXT:
            self.refuse(field, f"must have at most {_MOST_TEXT} bytes")
        elif "\0" in value:
            self.refuse(field, "must not hold a NUL character")
        return value

    def word(self, field: str, value: str, words: Sequence[str], default: str = "") -> str:
        """One of some words; the default for an empty text, where there is one."""
        chosen = value or default
        if chosen not in words:
            self.refuse(field, f"must be one of {', '.join(words)}")
        return chosen

    def document(self, field: str, body: bytes, *, most: int = MOST_DOCUMENT) -> JsonObject | None:
        """The JSON object in a field of bytes; None when it is not one."""
        if len(body) > most:
            self.refuse(field, f"must have at most {most // 1024} KiB")
            return None
        try:
            document = documents.parse(body)
        except DocumentError as error:
            self.refuse(field, f"is not a JSON object: {error.message}")
            return None
        if document.duplicate_keys:
            self.refuse(field, f"has a key twice: {', '.join(document.duplicate_keys[:5])}")
        elif isinstance(document.value, dict):
            return document.value
        else:
            self.refuse(field, "must be a JSON object, not an array")
        return None

    def json(self, field: str, body: bytes, check: Callable[[JsonValue], Iterable[tuple[str, str]]]) -> None:
        """Note what is wrong with any JSON in a field of bytes, and what `check` finds wrong with its value."""
        if len(body) > MOST_DOCUMENT:
            self.refuse(field, f"must have at most {MOST_DOCUMENT // 1024} KiB")
            return
        try:
            value = documents.parse_value(body.decode())
        except UnicodeDecodeError:
            self.refuse(field, "is not UTF-8")
        except DocumentError as error:
            self.refuse(field, f"is not JSON: {error.message}")
        else:
            self.problems(field, check(value))

    def problems(self, field: str, problems: Iterable[tuple[str, str]]) -> None:
        """Note problems found inside a document: pairs of a path in it and a text."""
        for path, text in problems:
            self.refuse(f"{field}.{path}" if path else field, text)

    def checked(self, field: str, is_fine: Callable[[], bool], text: str) -> None:
        """Note `text` unless `is_fine`; a ValueError means no."""
        try:
            fine = is_fine()
        except ValueError:
            fine = False
        if not fine:
            self.refuse(field, text)


def _has_control(text: str) -> bool:
    return any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text)
