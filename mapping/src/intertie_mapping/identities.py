"""The external id of a record: the text by which its sender will speak of it again."""

from __future__ import annotations

from decimal import Decimal

from intertie_mapping.documents import Record
from intertie_mapping.errors import MappingFault, Reason
from intertie_mapping.values import JsonValue, Missing

#: What `external_data_cache.external_id` holds, in characters; longer ids are refused, never cut.
MAX_LENGTH = 255

_FIELD = "external_id_field"
_CONTROLS = frozenset(map(chr, (*range(32), *range(127, 160))))


def identity(value: JsonValue | Missing) -> str | None:
    """The id as text: texts as they are, numbers with all their digits; None when missing or null.

    Raises MappingFault(invalid_external_id) for anything that could not be told apart or stored as it is.
    """
    if type(value) is str:
        text = value
    elif type(value) is int:
        text = str(value)
    elif value is None or isinstance(value, Missing):
        return None
    elif isinstance(value, float | Decimal):
        text = _decimal_text(value)
    else:
        kind = "true or false" if isinstance(value, bool) else "an object" if isinstance(value, dict) else "a list"
        raise MappingFault(Reason.INVALID_EXTERNAL_ID, _FIELD, f"The id is {kind}; it must be a text or a number.")
    if not text:
        raise MappingFault(Reason.INVALID_EXTERNAL_ID, _FIELD, "The id is an empty text.")
    if len(text) > MAX_LENGTH:
        raise MappingFault(
            Reason.INVALID_EXTERNAL_ID, _FIELD, f"The id has {len(text)} characters; at most 255 can be kept."
        )
    if not text.isprintable() and not _CONTROLS.isdisjoint(text):
        raise MappingFault(Reason.INVALID_EXTERNAL_ID, _FIELD, "The id has a control character.")
    return text


def content_identity(record: Record) -> str:
    """An id for a record that has none, from its bytes: the same bytes are the same record."""
    return "sha256:" + record.digest().hex()


def _decimal_text(number: float | Decimal) -> str:
    """5.0 and 5 are one id: senders whose language has only doubles write either."""
    if isinstance(number, float) and number.is_integer() and abs(number) < 2**53:
        return str(int(number))
    return str(number)
