"""Endpoints as sources of a sync, read from a real server: every pagination gives every record exactly once."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from external_api import ExternalApi
from intertie_ingest import errors
from intertie_ingest.apis import Apis
from intertie_ingest.apis.endpoint_source import EndpointSource
from intertie_ingest.egress import Egress
from intertie_ingest.external import ExternalConnection
from intertie_ingest.syncs.cursors import CursorValue
from intertie_ingest.syncs.source import Page, Range
from intertie_mapping.synchronisation import Synchronisation

RECORDS = [{"id": number, "changed": f"2026-01-01T00:00:{number:02}Z"} for number in range(23)]
GRAPH = {"query": "query($after: String, $size: Int) { items(after: $after, size: $size) { nodes after more } }"}


@pytest.fixture(scope="module")
def server() -> Iterator[ExternalApi]:
    """One for all tests of this file, which change its records at most for themselves."""
    with ExternalApi(list(RECORDS)) as api:
        yield api


@pytest.fixture
async def apis() -> AsyncIterator[Apis]:
    """Fresh for each test."""
    made = Apis(Egress())
    yield made
    await made.close()


def source(
    server: ExternalApi, apis: Apis, endpoint: str, kind: str = "rest", *, base: str = "", **sync: Any
) -> EndpointSource:
    """The source that a mapping with this `sync` would read."""
    options = {"allowed_networks": ["127.0.0.1"]}
    connection = ExternalConnection(
        1, 1, "crm", kind, api_base_url=server.url + base, api_auth_type="none", options=options
    )
    return EndpointSource(apis, connection, endpoint, Synchronisation.of({"sync": sync}))


async def read(found: EndpointSource, wanted: Range | None = None, position: bytes | None = None) -> list[Page]:
    """All pages from a position on."""
    return [page async for page in found.pages(wanted or Range(), position)]


def ids(pages: list[Page]) -> list[int]:
    """The ids of all records, in order."""
    return [int(json.loads(record)["id"]) for page in pages for record in page.records]


KINDS: dict[str, dict[str, Any]] = {
    "single_page": {"endpoint": "items"},
    "offset": {"endpoint": "items/offset", "pagination": {"kind": "offset"}},
    "offset-without-total": {
        "endpoint": "items/offset",
        "params": {"no_total": ""},
        "pagination": {"kind": "offset", "limit": 4, "total_path": None},
    },
    "page_number": {
        "endpoint": "items/page",
        "records": "results",
        "pagination": {"kind": "page_number", "size_param": "size"},
    },
    "page_number-has-more": {
        "endpoint": "items/page",
        "records": "results",
        "pagination": {"kind": "page_number", "size_param": "size", "has_more_path": "meta.more"},
    },
    "cursor": {
        "endpoint": "items/cursor",
        "pagination": {"kind": "cursor", "cursor_path": "cursors.next"},
        "params": {"size": 5},
    },
    "json_link": {
        "endpoint": "items/link",
        "records": "data.items",
        "pagination": {"kind": "json_link"},
        "params": {"size": 5},
    },
    "header_link": {"endpoint": "items/header", "pagination": {"kind": "header_link"}, "params": {"size": 5}},
    "graphql": {
        "endpoint": "",
        "kind": "graphql",
        "base": "/graphql",
        "body": GRAPH,
        "params": {"size": 7},
        "records": "data.items.nodes",
        "pagination": {
            "kind": "cursor",
            "cursor_path": "data.items.after",
            "cursor_body_path": "variables.after",
            "has_more_path": "data.items.more",
        },
    },
    "soap": {
        "endpoint": "GetItems",
        "kind": "soap",
        "base": "/soap",
        "body": {"GetItems": {}},
        "records": "ItemsResponse.Item",
    },
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("page_size", [1, 6, 23, 1000])
async def test_every_record_once(server: ExternalApi, apis: Apis, name: str, page_size: int) -> None:
    """Whatever the size of a page; only the last page says so, and has the cursor."""
    pages = await read(source(server, apis, page_size=page_size, cursor_field="changed", **KINDS[name]))
    assert ids(pages) == list(range(23))
    assert [page.is_last for page in pages] == [False] * (len(pages) - 1) + [True]
    assert [page.cursor for page in pages[:-1]] == [None] * (len(pages) - 1)
    assert pages[-1].cursor == CursorValue.of("2026-01-01T00:00:22Z")


@pytest.mark.parametrize("name", KINDS)
async def test_going_on_behind_any_page(server: ExternalApi, apis: Apis, name: str) -> None:
    """Another process goes on from the position, with nothing lost or repeated, and comes to the same cursor."""
    make = lambda: source(server, apis, page_size=6, cursor_field="changed", **KINDS[name])  # noqa: E731
    pages = await read(make())
    for number, page in enumerate(pages, 1):
        rest = await read(make(), position=page.position)
        assert ids(pages[:number]) + ids(rest) == list(range(23))
        assert rest[-1].is_last
        assert rest[-1].cursor == pages[-1].cursor


async def test_a_server_that_gives_less_than_asked(server: ExternalApi, apis: Apis) -> None:
    """An offset moves by what came: the server's own limit of 100 a page leaves no record out."""
    server.records[:] = [{"id": number} for number in range(350)]
    try:
        pages = await read(source(server, apis, "items/offset", page_size=1000, pagination={"kind": "offset"}))
        assert ids(pages) == list(range(350))
        assert len(pages) == 4
    finally:
        server.records[:] = RECORDS


async def test_ranges(server: ExternalApi, apis: Apis) -> None:
    """The start goes to the API as cursor_param; an end makes both bounds hold here, record by record."""
    start, end = CursorValue.of("2026-01-01T00:00:10Z"), CursorValue.of("2026-01-01T00:00:13Z")
    sync = {"cursor_field": "changed", "pagination": {"kind": "offset", "limit": 5}}
    asking = source(server, apis, "items/offset", cursor_param="since", **sync)
    assert ids(await read(asking, Range(start=start))) == list(range(10, 23))
    assert server.requests[-1].query["since"] == ["2026-01-01T00:00:10Z"]
    everything = source(server, apis, "items/offset", **sync)
    assert ids(await read(everything, Range(start=start))) == list(range(23))
    backfill = await read(everything, Range(start=start, end=end))
    assert ids(backfill) == [10, 11, 12]
    assert backfill[-1].cursor == CursorValue.of("2026-01-01T00:00:12Z")


async def test_records_without_a_cursor(server: ExternalApi, apis: Apis) -> None:
    """Within bounds they are read when they are wanted."""
    server.records[:] = [{"id": 1, "changed": None}, {"id": 2}, {"id": 3, "changed": "2026-01-01T00:00:00Z"}]
    try:
        found, end = source(server, apis, "items", cursor_field="changed"), CursorValue.of("2027-01-01T00:00:00Z")
        assert ids(await read(found, Range(end=end))) == [1, 2, 3]
        assert ids(await read(found, Range(end=end, with_unset=False))) == [3]
        server.records.append({"id": 4, "changed": 7})
        with pytest.raises(errors.ExternalInvalid, match="cannot be compared"):
            await read(found)
    finally:
        server.records[:] = RECORDS


async def test_numbers_stay_as_they_are(server: ExternalApi, apis: Apis) -> None:
    """A record's bytes hold the digits that the server sent."""
    pages = await read(source(server, apis, "content/numbers", cursor_field="a"))
    assert pages[0].records == [b'{"a":12345678901234567890.10,"b":1E300,"c":9007199254740993,"d":1.0}']
    assert pages[0].cursor is not None
    assert pages[0].cursor.text == "12345678901234567890.10"


@pytest.mark.parametrize(
    ("endpoint", "pagination"),
    [
        ("items/cursor", {"kind": "cursor", "cursor_path": "cursors.next"}),
        ("items/link", {"kind": "json_link"}),
        ("items", {"kind": "offset", "total_path": None}),
        ("items", {"kind": "page_number", "total_path": None}),
    ],
)
async def test_circles_end(server: ExternalApi, apis: Apis, endpoint: str, pagination: dict[str, Any]) -> None:
    """The same cursor, link or page again and again is an error, not a run without end."""
    records = "data.items" if "link" in endpoint else None
    with pytest.raises(errors.ExternalInvalid, match="circle"):
        await read(source(server, apis, endpoint, params={"stuck": 1}, pagination=pagination, records=records))


@pytest.mark.parametrize(
    "to", ["http://169.254.169.254/items", "http://127.0.0.1:1/items", "/echo", "//evil.example/items"]
)
async def test_links_that_leave_the_base(server: ExternalApi, apis: Apis, to: str) -> None:
    """A next page elsewhere is not fetched."""
    sync = {"records": "data.items", "pagination": {"kind": "json_link"}, "params": {"to": to}}
    before = len(server.requests)
    with pytest.raises(errors.ExternalInvalid, match="not below"):
        await read(source(server, apis, "link", base="/items", **sync))
    assert len(server.requests) == before + 1


@pytest.mark.parametrize(
    ("endpoint", "sync"),
    [
        ("items/page", {"records": "nothing.there"}),
        ("content/text", {}),
        ("items/page", {"records": "meta.more"}),
        ("items/offset", {"pagination": {"kind": "offset", "total_path": "count"}}),
        ("items/offset", {"pagination": {"kind": "offset", "limit": 5, "has_more_path": "data"}}),
        ("items/offset", {"pagination": {"kind": "cursor", "cursor_path": "data"}}),
        ("items/offset", {"pagination": {"kind": "json_link", "next_url_path": "total"}}),
    ],
)
async def test_answers_that_do_not_fit(server: ExternalApi, apis: Apis, endpoint: str, sync: dict[str, Any]) -> None:
    """An answer without what the mapping names is an error: silence would count everything as vanished."""
    with pytest.raises(errors.ExternalInvalid):
        await read(source(server, apis, endpoint, **sync))


@pytest.mark.parametrize(
    "pagination",
    [
        {"kind": "offset", "limit": 0},
        {"kind": "offset", "limit": "10"},
        {"kind": "offset", "offset": -1},
        {"kind": "page_number", "stop_after_empty_page": "no"},
        {"kind": "cursor", "cursor_path": "a["},
        {"kind": "json_link", "next_url_path": 1},
    ],
)
def test_paginations_that_are_none(pagination: dict[str, Any]) -> None:
    """Values that make no sense are refused before anything is read."""
    connection = ExternalConnection(1, 1, "crm", "rest", api_base_url="https://api.example.com")
    with pytest.raises(errors.NoSource, match="pagination"):
        EndpointSource(Apis(Egress()), connection, "x", Synchronisation(pagination=pagination))
