"""How the pages of an API follow each other: pure functions from a state, and what a page showed, to the next state.

The kinds, their keys and their defaults are those of dlt's REST API source. A state is JSON, so that another process
can go on where one stopped.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from intertie_ingest.apis.exact import find, plain
from intertie_ingest.errors import ExternalInvalid, NoSource
from intertie_mapping.paths import PathError, compile_path
from intertie_mapping.values import MISSING

State: TypeAlias = dict[str, Any]

_LINK = re.compile(r'<([^>]*)>((?:\s*;\s*[\w*!#$&+.^`|~-]+\s*(?:=\s*(?:"(?:[^"\\]|\\.)*"|[^\s",;]*))?)*)')
_RELATION = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^\s",;]+))', re.IGNORECASE)
_MOST_NUMBER = 2**53


@dataclass(frozen=True, slots=True)
class Ask:
    """How the request of a page differs from the first request as configured."""

    #: query parameters
    params: Mapping[str, str | int] = field(default_factory=dict)
    #: values at paths of the body
    body: Mapping[str, str | int] = field(default_factory=dict)
    #: the address to ask instead
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What a page showed."""

    #: as `exact.parse` has it
    body: Any
    #: of all records, also those that a filter drops
    count: int
    #: equal for equal records
    digest: str = ""
    #: the Link header
    link: str = ""


class Paginator(Protocol):
    """A kind of pagination with its configuration."""

    def first(self) -> State:
        """The state before the first page."""
        ...

    def ask(self, state: State) -> Ask:
        """The request for the page of a state."""
        ...

    def after(self, state: State, seen: Seen) -> State | None:
        """The state behind that page; None when nothing comes. Raises ExternalInvalid for a page that does not say."""
        ...

    def mark(self, state: State, seen: Seen) -> str:
        """What cannot come twice unless the API goes round in a circle; empty: nothing tells."""
        ...


@dataclass(frozen=True, slots=True)
class SinglePage:
    """One answer has everything."""

    def first(self) -> State:
        """See Paginator."""
        return {}

    def ask(self, state: State) -> Ask:
        """See Paginator."""
        return Ask()

    def after(self, state: State, seen: Seen) -> State | None:
        """See Paginator."""
        return None

    def mark(self, state: State, seen: Seen) -> str:
        """See Paginator."""
        return ""


@dataclass(frozen=True, slots=True)
class Links:
    """The answer names the next page's address: in the body (`path`), or in the Link header (`relation`)."""

    path: str = ""
    relation: str = ""

    def first(self) -> State:
        """See Paginator."""
        return {"link": None}

    def ask(self, state: State) -> Ask:
        """See Paginator."""
        return Ask(link=state["link"])

    def after(self, state: State, seen: Seen) -> State | None:
        """See Paginator."""
        link = _found(seen.body, self.path) if self.path else relation_of(seen.link, self.relation)
        if not link:
            return None
        if not isinstance(link, str):
            raise ExternalInvalid(f"the answer has no address at next_url_path {self.path!r}")
        return {"link": link}

    def mark(self, state: State, seen: Seen) -> str:
        """See Paginator."""
        return str(state["link"])


@dataclass(frozen=True, slots=True)
class Cursors:
    """The answer holds a value that the next request sends back."""

    path: str
    param: str
    body_path: str
    has_more_path: str

    def first(self) -> State:
        """See Paginator."""
        return {"cursor": None}

    def ask(self, state: State) -> Ask:
        """See Paginator."""
        cursor = state["cursor"]
        if cursor is None:
            return Ask()
        return Ask(body={self.body_path: cursor}) if self.body_path else Ask(params={self.param: cursor})

    def after(self, state: State, seen: Seen) -> State | None:
        """See Paginator."""
        if self.has_more_path and not has_more(seen.body, self.has_more_path):
            return None
        cursor = _found(seen.body, self.path)
        if cursor is None or cursor == "":
            return None
        if isinstance(cursor, bool) or not isinstance(cursor, str | int):
            raise ExternalInvalid(f"the answer has no text or whole number at cursor_path {self.path!r}")
        return {"cursor": cursor}

    def mark(self, state: State, seen: Seen) -> str:
        """See Paginator."""
        return str(state["cursor"])


@dataclass(frozen=True, slots=True)
class Numbers:
    """The request says where to begin: how many records to leave out (`limit` is set), or which page."""

    start: int
    param: str
    #: page number: None
    limit: int | None
    #: the parameter of the limit or size; empty: none is sent
    size_param: str
    size: int
    total_path: str
    #: whether the configuration names it, so that it must be there
    needs_total: bool
    #: what the total counts from: of pages the number of the first
    base: int
    maximum: int | None
    stop_after_empty_page: bool
    has_more_path: str

    def first(self) -> State:
        """See Paginator."""
        return {"at": self.start}

    def ask(self, state: State) -> Ask:
        """See Paginator."""
        sizes: dict[str, str | int] = {self.size_param: self.size} if self.size_param else {}
        return Ask(params={**sizes, self.param: state["at"]})

    def after(self, state: State, seen: Seen) -> State | None:
        """See Paginator."""
        if self.stop_after_empty_page and seen.count == 0:
            return None
        # By as many as came: a server that gives fewer than were asked for would else have records left out.
        at = state["at"] + (1 if self.limit is None else seen.count or self.limit)
        if self.maximum is not None and at >= self.maximum:
            return None
        total = self._total(seen.body)
        if total is not None and at >= total + self.base:
            return None
        if self.has_more_path and not has_more(seen.body, self.has_more_path):
            return None
        return {"at": at}

    def mark(self, state: State, seen: Seen) -> str:
        """See Paginator."""
        if seen.count == 0 and (self.maximum is not None or self._total(seen.body) is not None):
            return ""  # empty pages look alike, and these have an end
        return seen.digest

    def _total(self, body: Any) -> int | None:
        total = _found(body, self.total_path) if self.total_path else None
        if isinstance(total, str) and total.isascii() and total.isdigit() and len(total) < 16:
            total = int(total)
        if type(total) is int:
            return total
        if self.needs_total:
            raise ExternalInvalid(f"the answer has no whole number at total_path {self.total_path!r}")
        return None


def paginator_of(pagination: Mapping[str, Any], page_size: int) -> Paginator:
    """The paginator that a mapping's `sync.pagination` describes. Raises NoSource for values that make no sense."""
    kind = pagination.get("kind", "single_page")
    match kind:
        case "single_page":
            return SinglePage()
        case "json_link":
            return Links(path=_text(pagination, "next_url_path", "next"))
        case "header_link":
            return Links(relation=_text(pagination, "links_next_key", "next"))
        case "cursor":
            return Cursors(
                path=_text(pagination, "cursor_path", "cursors.next"),
                param=_text(pagination, "cursor_param", "cursor"),
                body_path=_text(pagination, "cursor_body_path", ""),
                has_more_path=_text(pagination, "has_more_path", ""),
            )
        case "offset" | "page_number":
            return _numbers(kind, pagination, page_size)
    raise NoSource(f"sync.pagination.kind {str(kind)[:50]!r} is not known")


def relation_of(header: str, relation: str) -> str | None:
    """The address that a Link header gives for a relation; None without one."""
    for address, parameters in _LINK.findall(header):
        for quoted, bare in _RELATION.findall(parameters):
            if relation.lower() in (quoted or bare).lower().split():
                return str(address)
    return None


def has_more(body: Any, path: str) -> bool:
    """Whether the answer says that there is more. Raises ExternalInvalid when it says nothing."""
    value = _found(body, path)
    if isinstance(value, str):
        value = {"true": True, "1": True, "false": False, "0": False}.get(value.lower())
    if isinstance(value, bool) or value in (0, 1):
        return bool(value)
    raise ExternalInvalid(f"the answer has neither true nor false at has_more_path {path!r}")


def _numbers(kind: str, pagination: Mapping[str, Any], page_size: int) -> Numbers:
    offset = kind == "offset"
    limit = _number(pagination, "limit", page_size) if offset else None
    base = 0 if offset else _number(pagination, "base_page", 0) or 0
    start = _number(pagination, "offset", 0) if offset else _number(pagination, "page", base)
    stops = pagination.get("stop_after_empty_page", True)
    if not isinstance(stops, bool):
        raise NoSource("sync.pagination.stop_after_empty_page must be true or false")
    if limit == 0:
        raise NoSource("sync.pagination.limit must be more than 0")
    return Numbers(
        start=start or 0,
        param=_text(pagination, "offset_param" if offset else "page_param", "offset" if offset else "page"),
        limit=limit,
        size_param=_text(pagination, "limit_param", "limit") if offset else _text(pagination, "size_param", ""),
        size=limit or page_size,
        total_path=_text(pagination, "total_path", "total"),
        needs_total=bool(pagination.get("total_path")),
        base=base,
        maximum=_number(pagination, "maximum_offset" if offset else "maximum_page", None),
        stop_after_empty_page=stops,
        has_more_path=_text(pagination, "has_more_path", ""),
    )


def _found(body: Any, path: str) -> Any:
    """The leaf at a path; None when nothing is there."""
    value = find(body, path)
    return None if value is MISSING else plain(value)


def _text(pagination: Mapping[str, Any], key: str, default: str) -> str:
    value = pagination.get(key)
    if value is None:
        # In dlt an explicit null turns the total off.
        return "" if key in pagination and key == "total_path" else default
    if not isinstance(value, str):
        raise NoSource(f"sync.pagination.{key} must be a text")
    if key.endswith("_path") and key != "cursor_body_path":
        try:
            compile_path(value)
        except PathError as error:
            raise NoSource(f"sync.pagination.{key}: {error}") from None
    return value


def _number(pagination: Mapping[str, Any], key: str, default: int | None) -> int | None:
    value = pagination.get(key)
    if value is None:
        return default
    if type(value) is not int or not 0 <= value <= _MOST_NUMBER:
        raise NoSource(f"sync.pagination.{key} must be a whole number")
    return value
