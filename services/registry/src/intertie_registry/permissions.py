"""What the query_permissions of a grant may say. Pull, which applies them, permits nothing that it does not know."""

from collections.abc import Iterator
from typing import Any

KEYS = ("tables", "columns", "statements", "max_rows", "endpoints", "methods")
STATEMENTS = ("select", "insert", "update", "delete")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_MOST_ROWS = 2**31 - 1


def problems(document: Any) -> Iterator[tuple[str, str]]:
    """What is wrong with them, as pairs of a place (empty: the whole) and a text.

    An object with any of KEYS, or a list of texts, which are tables as well as endpoints.
    """
    if isinstance(document, list):
        if not document:
            yield "", "must not be an empty list, which permits nothing; leave it out to permit everything"
        elif not _are_texts(document):
            yield "", "must be an object, or a list of the texts that are tables and endpoints"
        else:
            yield from _endpoints("", document)
        return
    if not isinstance(document, dict):
        yield "", "must be an object, or a list of texts"
        return
    for key in sorted(document.keys() - set(KEYS)):
        yield key, f"unknown; the keys are {', '.join(KEYS)}"
    for key in ("tables", "statements", "endpoints", "methods"):
        if key in document and not _are_texts(document[key]):
            yield key, "must be a list of texts"
    yield from _words("statements", document, STATEMENTS)
    yield from _words("methods", document, METHODS)
    if _are_texts(document.get("endpoints")):
        yield from _endpoints("endpoints", document["endpoints"])
    if "columns" in document:
        yield from _columns(document["columns"])
    rows = document.get("max_rows")
    if "max_rows" in document and not (type(rows) is int and 1 <= rows <= _MOST_ROWS):
        yield "max_rows", f"must be a whole number from 1 to {_MOST_ROWS}"


def _columns(columns: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(columns, dict):
        yield "columns", 'must be an object of tables and their columns, like {"incidents": ["id", "title"]}'
        return
    seen: set[str] = set()
    for table, names in columns.items():
        folded = table.strip().lower()
        if not folded or folded in seen:
            yield f"columns.{table}", "names a table twice (upper and lower case are the same), or none"
        elif not _are_texts(names):
            yield f"columns.{table}", "must be a list of columns"
        seen.add(folded)


def _words(key: str, document: dict[str, Any], words: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    known = {word.lower() for word in words}
    if _are_texts(document.get(key)) and not {word.strip().lower() for word in document[key]} <= known:
        yield key, f"may hold {', '.join(words)}"


def _endpoints(key: str, endpoints: list[str]) -> Iterator[tuple[str, str]]:
    for endpoint in endpoints:
        if "*" in endpoint.strip()[:-1] or "?" in endpoint or "#" in endpoint or not endpoint.isprintable():
            yield key, f"{endpoint[:100]!r} is no path: /incidents is that one, /incidents/* all that begin so"


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and item.strip() for item in value)
