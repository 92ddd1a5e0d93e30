"""An answer's content as JSON, without touching what is JSON already."""

from base64 import b64encode

import orjson

from intertie_ingest.apis.exchange import Answer
from intertie_ingest.apis.xml import InvalidXml, parse_xml
from intertie_ingest.errors import ExternalInvalid

NULL = b"null"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def json_of(answer: Answer) -> bytes:
    """The content as JSON: JSON as it came, byte by byte, so that no number changes; XML as `xml.parse_xml` has it;
    text as a text; nothing as null; anything else as {"content_type": …, "base64": …}.

    Raises ExternalInvalid for what is not what its type says.
    """
    body, media_type = answer.body, answer.media_type
    if not body.strip():
        return NULL
    if media_type == "application/json" or media_type.endswith("+json") or media_type == "text/json":
        return _json(body, answer.charset)
    if media_type in ("application/xml", "text/xml") or media_type.endswith("+xml"):
        return xml_as_json(body)
    if not media_type:
        return _guessed(body)
    if media_type.startswith("text/"):
        return orjson.dumps(_text(body, answer.charset))
    return _binary(body, media_type)


def xml_as_json(body: bytes) -> bytes:
    """An XML document as JSON. Raises ExternalInvalid."""
    try:
        return orjson.dumps(parse_xml(body))
    except InvalidXml as error:
        raise ExternalInvalid(f"the external system's answer is no XML that is taken: {error}") from None


def _json(body: bytes, charset: str | None) -> bytes:
    if charset and charset.lower() not in ("utf-8", "utf8", "us-ascii"):
        body = _text(body, charset).encode()
    body = body.removeprefix(_BYTE_ORDER_MARK).strip()
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        message = f"the external system's answer is not the JSON that it says it is (line {error.lineno})"
        raise ExternalInvalid(message) from None
    return body


def _guessed(body: bytes) -> bytes:
    try:
        return _json(body, None)
    except ExternalInvalid:
        pass
    try:
        return orjson.dumps(body.decode())
    except UnicodeDecodeError:
        return _binary(body, "application/octet-stream")


def _text(body: bytes, charset: str | None) -> str:
    try:
        return body.decode(charset or "utf-8", "replace")
    except LookupError:
        return body.decode("utf-8", "replace")


def _binary(body: bytes, media_type: str) -> bytes:
    return orjson.dumps({"content_type": media_type, "base64": b64encode(body).decode()})
