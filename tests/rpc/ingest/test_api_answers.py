"""What an external API may answer on a real socket: errors, silence, too much, and each kind of content."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from api_samples import connection, get
from external_api import TOKEN, ExternalApi
from intertie_chassis.errors import IntertieError, InvalidArgument
from intertie_ingest import errors
from intertie_ingest.apis import Apis
from intertie_ingest.egress import Egress


@pytest.fixture(scope="module")
def server() -> Iterator[ExternalApi]:
    """One for all; each test looks at its own paths and keys."""
    with ExternalApi([{"id": number, "changed": number} for number in range(25)]) as api:
        yield api


@pytest.fixture
async def apis() -> AsyncIterator[Apis]:
    """Fresh for each test: nothing is open, and no breaker has counted."""
    made = Apis(Egress(), max_response_bytes=1_000_000)
    yield made
    await made.close()


@pytest.mark.parametrize("after", ["", "0", "date"])
@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_retries(server: ExternalApi, apis: Apis, status: int, after: str) -> None:
    """Transient failures are tried again after what Retry-After says; POST only when told that nothing is done."""
    for method, times in (("GET", 3), ("DELETE", 3), ("POST", 3 if after and status in (429, 503) else 1)):
        key = f"{method}{status}{after}"
        endpoint = f"flaky?key={key}&status={status}&fails=2&retry_after={after}"
        if times == 1:
            with pytest.raises(errors.ExternalUnavailable):
                await apis.call(connection(server), method, endpoint, None, only_reads=False)
            continue
        answer = await apis.call(connection(server), method, endpoint, None, only_reads=False)
        assert json.loads(answer.data) == {"asked": times}


async def test_retry_after_beyond_the_time(server: ExternalApi, apis: Apis) -> None:
    """A wait that does not fit is told to the caller instead of being waited for."""
    with pytest.raises(errors.ExternalUnavailable) as raised:
        await get(apis, connection(server), "flaky?key=late&fails=9&retry_after=60")
    assert raised.value.retry_after == 60
    assert sum(seen.query.get("key") == ["late"] for seen in server.requests) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, errors.ExternalRefused),
        (401, errors.ExternalRefused),
        (404, errors.ExternalNotFound),
        (410, errors.ExternalNotFound),
        (422, errors.ExternalRefused),
        (500, errors.ExternalUnavailable),
        (304, errors.ExternalRefused),
    ],
)
async def test_statuses(server: ExternalApi, apis: Apis, status: int, error: type[IntertieError]) -> None:
    """What a status means, with the beginning of the body and without our token."""
    with pytest.raises(error) as raised:
        await get(apis, connection(server, auth="bearer", token=TOKEN), f"status/{status}")
    assert raised.value.metadata["upstream_status"] == str(status)
    if status != 304:
        assert raised.value.metadata["upstream_body"] == f"{status}: Bearer [redacted]"


async def test_the_breaker(server: ExternalApi, apis: Apis) -> None:
    """After five failures in a row the server is not asked any more; a test of the connection asks all the same."""
    where = connection(server, retries=0, test_endpoint="items")
    for _ in range(5):
        with pytest.raises(errors.ExternalUnavailable):
            await get(apis, where, "status/503")
    before = len(server.requests)
    with pytest.raises(errors.ExternalUnavailable, match="rest") as raised:
        await get(apis, where, "items")
    assert raised.value.retry_after
    assert len(server.requests) == before
    await apis.test(where)
    assert len(await get(apis, where, "items")) == 25


async def test_time_is_up(server: ExternalApi, apis: Apis) -> None:
    """The connection's time is for the whole call."""
    with pytest.raises(errors.ExternalTimedOut):
        await get(apis, connection(server, timeout=1), "slow")


async def test_nobody_listens(server: ExternalApi, apis: Apis, free_port: int) -> None:
    """What cannot be reached is unavailable, and the text names no address."""
    where = replace(connection(server, retries=0), api_base_url=f"http://127.0.0.1:{free_port}")
    with pytest.raises(errors.ExternalUnavailable) as raised:
        await get(apis, where, "x")
    assert "127" not in raised.value.message


@pytest.mark.parametrize("host", ["xn--a", "xn--.example", "a.xn--zzzzzz9999.example"])
async def test_a_host_that_there_cannot_be(server: ExternalApi, apis: Apis, host: str) -> None:
    """What stands behind `xn--` must be a name: the library says so late, and in an error of its own."""
    with pytest.raises((errors.ConnectionUnusable, errors.ExternalUnavailable)):
        await get(apis, replace(connection(server, retries=0), api_base_url=f"http://{host}"), "x")


async def test_limits(server: ExternalApi, apis: Apis) -> None:
    """Large answers are given up, also when it is only decompressed that they are large; broken ones as well."""
    for endpoint in ("huge", "bomb"):
        with pytest.raises(errors.ExternalInvalid, match="larger than 1,000,000 bytes"):
            await get(apis, connection(server), endpoint)
    with pytest.raises(errors.ExternalInvalid, match="larger than 100 bytes"):
        await get(apis, connection(server, max_response_bytes=100), "items")
    with pytest.raises(errors.ExternalUnavailable):
        await get(apis, connection(server, retries=0), "broken")
    with pytest.raises(errors.ExternalInvalid, match="ends too early"):
        await get(apis, connection(server), "content/cut")
    for endpoint in ("content/zipped", "content/members"):
        assert await get(apis, connection(server), endpoint) == {"zipped": True}
    assert await get(apis, connection(server), "content/squeezed") == "a" * 999_990
    assert await get(apis, connection(server), "content/nothing") is None


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + b"X: a\r\n" * 300 + b"\r\n{}",
        b"",
    ],
    ids=["no-http", "long-header", "many-headers", "nothing"],
)
async def test_answers_that_are_no_http(server: ExternalApi, apis: Apis, answer: bytes) -> None:
    """What is no HTTP, or has headers without end, is an error of the external system."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    raw = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = raw.sockets[0].getsockname()[1]
    where = replace(connection(server, retries=0), api_base_url=f"http://127.0.0.1:{port}")
    with pytest.raises((errors.ExternalUnavailable, errors.ExternalInvalid)):
        await get(apis, where, "x")
    raw.close()
    await raw.wait_closed()


async def test_contents(server: ExternalApi, apis: Apis) -> None:
    """JSON byte by byte, XML as objects, text as text, nothing as null, the rest in base64."""
    where = connection(server, "/content")
    raw = (await apis.call(where, "GET", "numbers", None, only_reads=True)).data
    assert raw == b'{"a":12345678901234567890.10,"b":1E300,"c":9007199254740993,"d":1.0}'
    assert await get(apis, where, "text") == "grüße"
    assert await get(apis, where, "xml") == {"a": {"@k": "1", "b": ["1", "2"], "c": None, "#text": "t"}}
    assert await get(apis, where, "binary") == {"content_type": "image/png", "base64": "AP8="}
    assert await get(apis, where, "empty") is None
    assert (await apis.call(where, "HEAD", "text", None, only_reads=True)).data == b"null"
    for bad in ("invalid", "laughs", "deep"):
        with pytest.raises(errors.ExternalInvalid):
            await get(apis, where, bad)


async def test_graphql(server: ExternalApi, apis: Apis) -> None:
    """A query is sent by POST; an answer of errors alone is an error; what writes needs to be asked for."""
    where = connection(server, "/graphql", connection_type="graphql")
    answer = await get(apis, where, "", {"query": "query($size: Int) { items }", "variables": {"size": 1}})
    assert answer["data"]["items"]["nodes"] == server.records[:1]
    with pytest.raises(errors.ExternalRefused, match="no field fail"):
        await get(apis, where, "", "{ fail }")
    with pytest.raises(errors.QueryNotPermitted):
        await get(apis, where, "", {"query": "mutation { drop }"})
    persisted = {"query": "{ a }", "extensions": {"persistedQuery": {}}}
    with pytest.raises(InvalidArgument, match="extensions"):
        await apis.call(where, "POST", "", persisted, only_reads=False)


async def test_soap(server: ExternalApi, apis: Apis) -> None:
    """JSON becomes the envelope's body and comes back out of it; a fault is an error, entities are refused."""
    where = connection(server, "/soap", connection_type="soap")
    data = {"m:GetItems": {"@xmlns:m": "urn:items", "m:since": 3, "m:name": "a<b"}}
    answer = await get(apis, where, "urn:GetItems", data)
    assert answer["ItemsResponse"]["Item"][1] == {"id": "1", "changed": "1"}
    seen = server.requests[-1]
    assert seen.headers["soapaction"] == '"urn:GetItems"'
    assert b"<m:since>3</m:since><m:name>a&lt;b</m:name>" in seen.body
    with pytest.raises(errors.ExternalRefused, match="no such thing") as raised:
        await get(apis, where, "Fail", {})
    assert raised.value.metadata["upstream_status"] == "500"
    with pytest.raises(errors.ExternalInvalid, match="document type"):
        await get(apis, where, "Entity", {})
    with pytest.raises(InvalidArgument, match="no name"):
        await get(apis, where, "x", {"a><b": 1})
    newer = replace(where, options={**where.options, "soap_version": "1.2"})
    await get(apis, newer, "urn:GetItems", data)
    assert server.requests[-1].headers["content-type"] == 'application/soap+xml; charset=utf-8; action="urn:GetItems"'
