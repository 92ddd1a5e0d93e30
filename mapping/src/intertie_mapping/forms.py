"""Form bodies as documents: senders that post `application/x-www-form-urlencoded` still deliver records."""

from __future__ import annotations

from urllib.parse import parse_qsl

from intertie_mapping.documents import Document, parse, serialise
from intertie_mapping.errors import DocumentError, DocumentReason
from intertie_mapping.values import JsonObject

MAX_FIELDS = 10_000


def parse_form(body: bytes) -> Document:
    """The document of a form body. Raises DocumentError.

    JSON that was sent as a form (curl does it when nobody names a content type) is taken as JSON; a sole field
    `payload` that holds an object or array is taken as that document (GitHub's form hooks); anything else becomes an
    object of texts, a repeated field a list of them in order. The record's raw bytes are then the JSON made of the
    form.
    """
    if body.lstrip(b" \t\r\n")[:1] in (b"{", b"["):
        return parse(body)
    fields = _fields(body)
    payload = fields.get("payload")
    if len(fields) == 1 and isinstance(payload, str) and payload.lstrip(" \t\r\n")[:1] in ("{", "["):
        return parse(payload.encode())
    return parse(serialise(fields).encode())


def _fields(body: bytes) -> JsonObject:
    if not body.strip():
        raise DocumentError(DocumentReason.EMPTY_BODY)
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except UnicodeDecodeError:
        raise DocumentError(DocumentReason.INVALID_FORM, "The form body is not percent-encoded UTF-8.") from None
    except ValueError:
        raise DocumentError(DocumentReason.INVALID_FORM, "The form body has more than 10,000 fields.") from None
    fields: JsonObject = {}
    for name, text in pairs:
        if name not in fields:
            fields[name] = text
        elif isinstance(known := fields[name], list):
            known.append(text)
        else:
            fields[name] = [known, text]
    if not fields:
        raise DocumentError(DocumentReason.INVALID_FORM, "The form body has no field.")
    return fields
