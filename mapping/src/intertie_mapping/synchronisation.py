"""The `sync` part of a mapping's configuration: how a sync reads the source, and what can be checked without one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from intertie_mapping.sync_values import CHECKS, PAGINATION_CHECKS
from intertie_mapping.values import JsonObject, JsonValue

KEYS = (
    "cursor_field",
    "lookback_seconds",
    "page_size",
    "pagination",
    "records",
    "key_fields",
    "cursor_param",
    "cursor_format",
    "params",
    "method",
    "body",
    "cache_seconds",
    "connection_id",
)

PAGINATION_KINDS: dict[str, tuple[str, ...]] = {
    "single_page": (),
    "json_link": ("next_url_path",),
    "header_link": ("links_next_key",),
    "offset": (
        "limit",
        "offset",
        "offset_param",
        "limit_param",
        "total_path",
        "maximum_offset",
        "stop_after_empty_page",
        "has_more_path",
    ),
    "page_number": (
        "base_page",
        "page",
        "page_param",
        "total_path",
        "maximum_page",
        "stop_after_empty_page",
        "has_more_path",
        "size_param",
    ),
    "cursor": ("cursor_path", "cursor_param", "cursor_body_path", "has_more_path"),
}
"""The kinds of pagination and the keys of each, named as in dlt's REST API source."""

Problem = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Synchronisation:
    """How a sync reads a mapping's source. What is not configured has its default."""

    #: source path of the value by which a sync goes on; without it every sync reads everything
    cursor_field: str | None = None
    #: how far behind the cursor a sync begins to read
    lookback_seconds: int = 0
    #: rows of a database read at once; what an API is asked for, where its pagination has a parameter for it
    page_size: int = 1000
    #: of an API: `kind` and the keys of PAGINATION_KINDS; empty: a single page
    pagination: JsonObject = field(default_factory=dict)
    #: of an API: path of the array of records in an answer; None: `data` if that is an array, else the answer
    records: str | None = None
    #: of a database: the columns by which a row is found again; empty: its primary key, else the external id's column
    key_fields: tuple[str, ...] = ()
    #: of an API: query parameter that gets the cursor
    cursor_param: str | None = None
    #: how it gets it: `iso8601`, `unix`, `unix_ms`, or a pattern of strftime
    cursor_format: str = "iso8601"
    #: of an API: further query parameters
    params: JsonObject = field(default_factory=dict)
    #: of an API: `GET`, or `POST` for one that is asked by a body
    method: str = "GET"
    #: of an API: the body, any JSON (GraphQL: `query` and `variables`; SOAP: the content of the envelope's body)
    body: Any = None
    #: how long what was read counts as fresh; None: until it is read again
    cache_seconds: int | None = None
    #: the connection to read through; None: the system's first active one
    connection_id: int | None = None

    @classmethod
    def of(cls, mapping_config: JsonObject) -> Synchronisation:
        """What a mapping's configuration says. Raises ValueError, for people, when it is at fault."""
        sync = mapping_config.get("sync") or {}
        if not isinstance(sync, dict):
            raise ValueError("sync: must be an object")
        problems = check_sync(sync, strict=False)
        if problems:
            raise ValueError("; ".join(f"sync.{path}: {text}" for path, text in problems))
        known: dict[str, Any] = {key: value for key, value in sync.items() if key in KEYS and value is not None}
        if "key_fields" in known:
            known["key_fields"] = tuple(known["key_fields"])
        return cls(**known)


def check_sync(sync: JsonObject, strict: bool) -> list[Problem]:
    """The problems, as (path inside of `sync`, text). `strict` is for saving: an unknown key is a problem too.

    Null is as good as left out, except `total_path`: null there says that answers hold no total.
    """
    problems: list[Problem] = []
    if strict:
        problems.extend((key, f"unknown; the keys are {', '.join(KEYS)}") for key in sorted(sync.keys() - set(KEYS)))
    for key, check in CHECKS.items():
        if sync.get(key) is not None and (text := check(sync[key])):
            problems.append((key, text))
    if sync.get("pagination") is not None:
        problems.extend(_check_pagination(sync["pagination"], strict))
    if sync.get("cursor_field") is None:
        text = "needs a cursor_field, by whose values a sync goes on"
        problems.extend((key, text) for key in ("cursor_param", "lookback_seconds") if sync.get(key))
    return problems


def _check_pagination(pagination: JsonValue, strict: bool) -> Iterator[Problem]:
    if not isinstance(pagination, dict) or not isinstance(pagination.get("kind"), str):
        yield "pagination", f'must be an object with a "kind": {", ".join(PAGINATION_KINDS)}'
        return
    kind = str(pagination["kind"])
    known = PAGINATION_KINDS.get(kind)
    if known is None:
        yield "pagination.kind", f"unknown; the kinds are {', '.join(PAGINATION_KINDS)}"
        return
    if strict:
        for key in sorted(pagination.keys() - {"kind", *known}):
            yield f"pagination.{key}", f"unknown; the keys are {', '.join(('kind', *known))}"
    given = {key for key in known if pagination.get(key) is not None}
    for key in known:
        if key in given and (text := PAGINATION_CHECKS[key](pagination[key])):
            yield f"pagination.{key}", text
    if kind == "cursor":
        if "cursor_path" not in given:
            yield "pagination.cursor_path", "is needed: where an answer holds the cursor of the next page"
        if {"cursor_param", "cursor_body_path"} <= given:
            yield "pagination.cursor_body_path", "the cursor goes into a parameter or into the body, not into both"
    ends = {"maximum_offset", "maximum_page", "has_more_path"} & given
    has_total = pagination.get("total_path", "total") is not None
    if pagination.get("stop_after_empty_page") is False and not ends and not has_total:
        most = "maximum_offset" if kind == "offset" else "maximum_page"
        yield "pagination.stop_after_empty_page", f"without it the end needs a total_path, has_more_path or {most}"
