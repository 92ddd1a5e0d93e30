"""XML that others wrote, as JSON: no document type, no entities, and bounds on what it may hold."""

from typing import Any
from xml.parsers import expat

import xmltodict

MOST_DEPTH = 100
MOST_ELEMENTS = 500_000


class InvalidXml(ValueError):
    """It is not XML as we take it; the text says why, for people."""


class _NoNamespaces(dict[str, str]):
    """Every namespace's short name is none: names lose their prefix, whichever the server chose."""

    def __missing__(self, namespace: str) -> str:
        return ""


def parse_xml(body: bytes) -> dict[str, Any]:
    """The document as one object: elements by local name, repeated ones as a list, attributes as `@name`, the text
    beside attributes or elements as `#text`, an empty element as null. All values are texts; comments are left out.

    Raises InvalidXml.
    """
    _check(body)
    try:
        parsed: dict[str, Any] = xmltodict.parse(
            body,
            process_namespaces=True,
            namespaces=_NoNamespaces(),
            postprocessor=_without_declarations,
        )
        return parsed
    except (expat.ExpatError, ValueError, LookupError):
        raise InvalidXml("it is not well-formed XML") from None


def _without_declarations(_path: Any, key: str, value: Any) -> Any:
    return None if key == "@xmlns" else (key, value)


def _check(body: bytes) -> None:
    """A first pass, because xmltodict has no hook for what must be refused before anything is built from it."""
    parser = expat.ParserCreate(namespace_separator=" ")
    depth = elements = 0

    def begin(_name: str, _attributes: Any) -> None:
        nonlocal depth, elements
        depth, elements = depth + 1, elements + 1
        if depth > MOST_DEPTH or elements > MOST_ELEMENTS:
            raise InvalidXml(f"it is nested deeper than {MOST_DEPTH}, or has more than {MOST_ELEMENTS:,} elements")

    def end(_name: str) -> None:
        nonlocal depth
        depth -= 1

    def refuse(*_details: Any) -> None:
        raise InvalidXml("it has a document type, which may declare entities; neither is taken")

    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise InvalidXml(f"it is not well-formed XML (line {error.lineno}, column {error.offset})") from None
    except (ValueError, LookupError) as error:
        raise error if isinstance(error, InvalidXml) else InvalidXml("its encoding is not known") from None
