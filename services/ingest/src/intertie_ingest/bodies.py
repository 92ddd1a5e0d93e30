"""The bodies of deliveries as documents; what cannot be one is the sender's mistake."""

from collections.abc import Callable

from intertie_chassis.errors import InvalidArgument
from intertie_ingest import errors
from intertie_ingest.media_types import MediaType
from intertie_mapping.documents import Document, Record, parse
from intertie_mapping.errors import DocumentError, DocumentReason
from intertie_mapping.forms import parse_form

MOST_RECORDS = 5000


def document_of(body: bytes, kind: MediaType = MediaType.JSON) -> Document:
    """What the body says. Raises InvalidJson, or InvalidArgument for too many records."""
    parser: Callable[[bytes], Document] = _json if kind is MediaType.JSON else parse_form
    try:
        return parser(body)
    except DocumentError as error:
        if error.reason is DocumentReason.TOO_MANY_RECORDS:
            raise InvalidArgument(error.message, violations=[("body", error.message)]) from None
        raise errors.InvalidJson(error.message, metadata={"fault": str(error.reason)}) from None


def refuse_repeated_keys(record: Record) -> None:
    """Raises DuplicateKey when an object of the record has a key twice."""
    if record.duplicate_keys:
        keys = ", ".join(repr(key) for key in record.duplicate_keys[:5])
        raise errors.DuplicateKey(f"An object in the body has a key twice: {keys}.")


def _json(body: bytes) -> Document:
    # What a delivery costs must not depend on how small its records are.
    return parse(body, MOST_RECORDS)
