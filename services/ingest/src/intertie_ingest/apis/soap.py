"""SOAP: JSON into an envelope's body, and the answer's body back into JSON."""

import re
from decimal import Decimal
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from intertie_chassis.errors import InvalidArgument
from intertie_ingest.apis.xml import MOST_DEPTH, InvalidXml, parse_xml

_NAMESPACES = {
    "1.1": "http://schemas.xmlsoap.org/soap/envelope/",
    "1.2": "http://www.w3.org/2003/05/soap-envelope",
}
_LETTERS = r"A-Za-z_\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02ff\u0370-\u037d\u037f-\u1fff\u3001-\ud7ff"
_NAME = re.compile(rf"[{_LETTERS}][{_LETTERS}0-9.\u00b7-]{{0,199}}(:[{_LETTERS}][{_LETTERS}0-9.\u00b7-]{{0,199}})?")
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ACTION = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{0,1000}")


def envelope(data: Any, version: str) -> bytes:
    """The envelope whose body holds an object's members as elements.

    In an object `@name` is an attribute (also `@xmlns` and `@xmlns:p`), `#text` the element's own text, a list the same
    element several times, null an empty element. Raises InvalidArgument for what is no name or no text in XML.
    """
    if data is not None and not isinstance(data, dict):
        raise _fault("the body of a SOAP call must be an object: its members are the elements of the envelope's body")
    parts: list[str] = []
    for name, value in (data or {}).items():
        if name.startswith(("@", "#")):
            raise _fault("the envelope's body takes elements only")
        _element(name, value, parts, 1)
    content = "".join(parts)
    return (
        f'<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="{_NAMESPACES[version]}">'
        f"<soap:Body>{content}</soap:Body></soap:Envelope>"
    ).encode()


def headers(action: str, version: str) -> list[tuple[str, str]]:
    """The headers that say which operation is meant. Raises InvalidArgument for an action that no header can hold."""
    if not _ACTION.fullmatch(action):
        raise _fault("the action holds characters that a header cannot")
    if version == "1.1":
        return [("Content-Type", "text/xml; charset=utf-8"), ("SOAPAction", f'"{action}"')]
    parameter = f'; action="{action}"' if action else ""
    return [("Content-Type", f"application/soap+xml; charset=utf-8{parameter}")]


def body_of(document: bytes) -> Any:
    """The content of an answer's body: an object by the elements' names without prefix; null for an empty one.

    Raises InvalidXml.
    """
    parsed = parse_xml(document).get("Envelope")
    if not isinstance(parsed, dict) or "Body" not in parsed:
        raise InvalidXml("it is no SOAP envelope with a body")
    body = parsed["Body"]
    if not isinstance(body, dict):
        return None
    return {name: value for name, value in body.items() if not name.startswith(("@", "#"))} or None


def fault_of(body: Any) -> str | None:
    """What a body that is a fault says; None for any other."""
    fault = body.get("Fault") if isinstance(body, dict) else None
    if fault is None:
        return None
    if isinstance(fault, dict):
        reason = fault.get("faultstring") or (fault.get("Reason") or {}).get("Text")
        reason = reason[0] if isinstance(reason, list) and reason else reason
        reason = reason.get("#text") if isinstance(reason, dict) else reason
        if isinstance(reason, str):
            return reason
    return "a fault without a reason"


def _element(name: str, value: Any, parts: list[str], depth: int) -> None:
    if depth > MOST_DEPTH:
        raise _fault(f"the data is nested deeper than {MOST_DEPTH}")
    if not _NAME.fullmatch(name):
        raise _fault(f"{name[:50]!r} is no name of an XML element")
    if isinstance(value, list):
        for item in value:
            if isinstance(item, list):
                raise _fault(f"{name[:50]!r} is a list of lists, which has no form in XML")
            _element(name, item, parts, depth)
        return
    members = value if isinstance(value, dict) else {"#text": value}
    attributes, inner = [], []
    for key, item in members.items():
        if key.startswith("@"):
            if not _NAME.fullmatch(key[1:]):
                raise _fault(f"{key[:50]!r} is no name of an XML attribute")
            attributes.append(f" {key[1:]}={quoteattr(_text(item))}")
        elif key == "#text":
            inner.append(escape(_text(item)))
        else:
            _element(key, item, inner, depth + 1)
    parts.append(f"<{name}{''.join(attributes)}>{''.join(inner)}</{name}>")


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            if _NO_XML.search(value):
                raise _fault("a text holds characters that XML has no form for")
            return value
        case int() | float() | Decimal():
            return str(value)
    raise _fault("an attribute or #text must be a plain value")


def _fault(text: str) -> InvalidArgument:
    return InvalidArgument(text, violations=[("data", text)])
