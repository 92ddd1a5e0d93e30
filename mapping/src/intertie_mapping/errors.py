"""What can be wrong with a document, a record or a mapping, in closed sets of reasons to act on."""

from __future__ import annotations

import enum
from collections.abc import Iterable


class _Explained(enum.StrEnum):
    """A reason with a sentence that says what it means; `docs/errors.md` is made from these."""

    #: what it means and what to do, in one sentence or two
    sentence: str

    def __new__(cls, value: str, sentence: str) -> _Explained:
        """A member whose value is the reason's name."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member


class DocumentReason(_Explained):
    """Why a body is not a document that we take."""

    EMPTY_BODY = "empty_body", "The body is empty; it must hold a JSON object or an array of objects."
    INVALID_ENCODING = "invalid_encoding", "The body is not UTF-8 without a byte order mark."
    INVALID_JSON = "invalid_json", "The body is not JSON; the message says where it stops being so."
    INVALID_NUMBER = (
        "invalid_number",
        "A number is NaN, infinite, beyond a double's range, or longer than 4,300 digits.",
    )
    INVALID_TEXT = "invalid_text", "A text holds half of a surrogate pair, which no Unicode text can."
    NESTED_TOO_DEEPLY = "nested_too_deeply", "Objects and arrays are nested more than 31 deep, too deep to be stored."
    NOT_AN_OBJECT = "not_an_object", "The body is neither an object nor an array of objects, so it holds no record."
    TOO_MANY_RECORDS = "too_many_records", "The array holds more records than are taken at once; send them in parts."
    INVALID_FORM = "invalid_form", "The form body cannot be decoded, or it has more than 10,000 fields."


class Reason(_Explained):
    """Why a record is set aside. A replay takes it again once the mapping or the record has been mended."""

    DUPLICATE_KEY = "duplicate_key", "An object in the record has a key twice, so which value was meant is unknown."
    INVALID_EXTERNAL_ID = (
        "invalid_external_id",
        "The record's id is no text or number, or it is empty, longer than 255 characters, or has control characters.",
    )
    MISSING_VERSION = (
        "missing_version",
        "The mapping has a version_field and the record no value there, so whether it is newer cannot be told.",
    )
    INVALID_VERSION = (
        "invalid_version",
        "The record's version is no number, time or text of at most 250 characters, so it cannot be put in order.",
    )
    FILTER_FAILED = "filter_failed", "The mapping's filter could not be evaluated for this record."
    EXPRESSION_FAILED = "expression_failed", "An expression could not be evaluated for this record."
    EXPRESSION_LIMIT = (
        "expression_limit",
        "An expression took too many steps, too much time, or made too large a value, and was stopped.",
    )
    NOT_TEXT = "not_text", "A transformation needs a text or a number and got something else."
    NOT_A_NUMBER = "not_a_number", "A transformation needs a number and got something that is not one."
    NOT_A_BOOLEAN = "not_a_boolean", "A transformation needs true or false and got something that is neither."
    NOT_A_LIST = "not_a_list", "A transformation needs a list and got something else."
    BAD_DATETIME = "bad_datetime", "A date or time cannot be read, or does not exist in the calendar."
    NOT_IN_LOOKUP = "not_in_lookup", "A lookup has no entry for the value, and no default."
    INVALID_JSON = "invalid_json", "A text that should hold JSON does not."
    OUT_OF_RANGE = "out_of_range", "A number is too large or too small for what it is wanted for."
    TOO_LONG = "too_long", "A value is longer than the place or the pattern that it is meant for allows."


class MappingError(Exception):
    """Something is wrong with a document, a record or a mapping."""


class DocumentError(MappingError):
    """The body is not a document that can be taken.

    A push or webhook answers 400 with `message`, which names the place and never repeats more than a key of the body.
    """

    def __init__(self, reason: DocumentReason, message: str | None = None) -> None:
        """The reason, and what exactly is wrong when more can be said than the reason's sentence."""
        self.reason = reason
        self.message = message or reason.sentence
        super().__init__(self.message)


class MappingFault(MappingError):
    """The record does not fit its mapping and is to be set aside; its delivery stays accepted."""

    def __init__(self, reason: Reason, field: str, message: str | None = None) -> None:
        """The reason; the column or the configuration's key (such as `filter`) at fault; and a text for people."""
        self.reason = reason
        self.field = field
        self.message = message or reason.sentence
        super().__init__(f"{field}: {self.message}" if field else self.message)


class ConfigurationFault(MappingError):
    """The mapping's configuration has problems, all of which are named.

    `problems` holds (path into the configuration, text) pairs, as in ("transformations.date[1].format", "…").
    """

    def __init__(self, problems: Iterable[tuple[str, str]]) -> None:
        """All problems, at least one, in the order of the configuration."""
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{path}: {text}" if path else text for path, text in self.problems))
