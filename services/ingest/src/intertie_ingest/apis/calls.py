"""A request to an API as its kind has it: REST, GraphQL or SOAP."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from intertie_chassis.errors import InvalidArgument
from intertie_ingest.apis import graphql, soap
from intertie_ingest.apis.retries import is_idempotent
from intertie_ingest.apis.target import BASE, Endpoint, path_below
from intertie_ingest.external import ExternalConnection
from intertie_mapping.documents import serialise

READING = ("GET", "HEAD")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_JSON = ("Content-Type", "application/json")


@dataclass(frozen=True, slots=True)
class Call:
    """What is to be sent, still without address and credentials."""

    method: str
    endpoint: Endpoint
    headers: tuple[tuple[str, str], ...] = ()
    content: bytes | None = None
    #: whether sending it twice does no harm
    repeatable: bool = False


def path_of(connection: ExternalConnection, endpoint: str) -> str:
    """The path below the base URL that a grant's endpoints are about: "/incidents/7", "/" for the base URL itself.

    Of SOAP, whose calls all go to the base URL, it is the action after a slash. Raises InvalidArgument for an endpoint
    that would leave the base URL.
    """
    if connection.connection_type == "soap":
        soap.headers(endpoint, "1.1")
        return f"/{endpoint.lstrip('/')}"
    return path_below(endpoint).path


def only_reads(connection: ExternalConnection, method: str, data: Any) -> bool:
    """Whether a grant to read is enough for a call.

    GraphQL and SOAP are always sent by POST; whoever means to read says GET, and of GraphQL the document must agree.
    """
    method = method.upper()
    if connection.connection_type == "graphql":
        return method == "GET" and graphql.only_reads(data)
    if connection.connection_type == "soap":
        return method == "GET"
    return method in READING


def call_of(connection: ExternalConnection, method: str, endpoint: str, data: Any, soap_version: str) -> Call:
    """The call. Raises InvalidArgument for a method, endpoint or data that the API's kind has no form for."""
    method = method.upper()
    if connection.connection_type in ("graphql", "soap"):
        if method not in ("GET", "POST"):
            kind = connection.connection_type
            raise _fault("method", f"a {kind} API is asked by GET, to read, or by POST")
        reads = only_reads(connection, method, data)
        if connection.connection_type == "soap":
            content = soap.envelope(data, soap_version)
            headers = (*soap.headers(endpoint, soap_version), ("Accept", "text/xml, application/soap+xml"))
            return Call("POST", BASE, headers, content, reads)
        content = _encoded(graphql.call_of(data))
        accept = ("Accept", "application/graphql-response+json, application/json;q=0.9")
        return Call("POST", path_below(endpoint), (_JSON, accept), content, reads)
    if method not in METHODS:
        raise _fault("method", f"the method must be one of {', '.join(METHODS)}")
    target = path_below(endpoint)
    headers = (("Accept", "application/json, */*;q=0.5"),)
    if method in READING:
        return Call(method, target.with_query(query_of(data, "data")), headers, None, repeatable=True)
    if data is None:
        return Call(method, target, headers, b"" if method != "DELETE" else None, is_idempotent(method))
    return Call(method, target, (_JSON, *headers), _encoded(data), is_idempotent(method))


def query_of(data: Any, field: str) -> str:
    """An object as a query: lists repeat their name, null is left out. Raises InvalidArgument for nested values."""
    if data is None or data == []:  # PHP writes an empty object so
        return ""
    if not isinstance(data, dict):
        raise _fault(field, "for GET and HEAD it must be an object: its members become query parameters")
    pairs: list[tuple[str, str]] = []
    for name, value in data.items():
        for item in value if isinstance(value, list) else [value]:
            if item is None:
                continue
            if not isinstance(item, str | bool | int | float | Decimal):
                raise _fault(field, f"{name[:50]!r} must be a plain value, or a list of such, to be a query parameter")
            pairs.append((name, item if isinstance(item, str) else serialise(item)))
    try:
        return urlencode(pairs)
    except UnicodeEncodeError:
        raise _fault(field, "a text in it is no Unicode") from None


def _encoded(data: Any) -> bytes:
    try:
        return serialise(data).encode()
    except (UnicodeEncodeError, ValueError):
        raise _fault("data", "a text in it is no Unicode, or a number is none of JSON") from None


def _fault(field: str, text: str) -> InvalidArgument:
    return InvalidArgument(f"{field}: {text}", violations=[(field, text)])
