"""Calls of an external API on a real socket: credentials, redirects, addresses, and what is refused before sending."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api_samples import connection, get
from external_api import CLIENT_ID, CLIENT_SECRET, PASSWORD, TOKEN, USER, ExternalApi
from intertie_chassis.errors import InvalidArgument
from intertie_ingest import errors
from intertie_ingest.apis import Apis
from intertie_ingest.egress import Egress
from intertie_ingest.external import ExternalConnection
from localhost_certificate import write_certificate
from waiting import eventually


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


async def test_a_call_as_it_arrives(server: ExternalApi, apis: Apis) -> None:
    """Path, parameters, body and headers reach the server as they are; cookies are not kept."""
    where = connection(server, "/echo", headers={"X-Tenant": "7", "accept": "application/vnd.crm+json"})
    data = {"q": "a&b=ü", "ids": [1, 2], "none": None, "flag": True, "rate": 1.5}
    seen = await get(apis, where, "a%2fb/c?x=1", data)
    assert (seen["path"], seen["method"]) == ("/echo/a%2Fb/c", "GET")
    assert seen["query"] == "x=1&q=a%26b%3D%C3%BC&ids=1&ids=2&flag=true&rate=1.5"
    assert (seen["headers"]["x-tenant"], seen["headers"]["accept"]) == ("7", "application/vnd.crm+json")
    assert "authorization" not in seen["headers"]
    answer = await apis.call(where, "put", "/x", {"n": 2**70}, only_reads=False)
    seen = json.loads(answer.data)
    assert (answer.status, seen["method"], seen["body"]) == (200, "PUT", '{"n":1180591620717411303424}')
    assert seen["headers"]["content-type"] == "application/json"
    assert "cookie" not in seen["headers"]


AUTHS = [
    {"auth": "none"},
    {"auth": "basic", "username": USER, "password": PASSWORD},
    {"auth": "basic", "token": f"{USER}:{PASSWORD}"},
    {"auth": "bearer", "token": TOKEN},
    {"auth": "apikey", "token": TOKEN},
    {"auth": "apikey", "token": TOKEN, "api_key_header": "X-Other-Key"},
]


@pytest.mark.parametrize("auth", AUTHS, ids=lambda auth: "-".join(auth))
async def test_credentials(server: ExternalApi, apis: Apis, auth: dict[str, str]) -> None:
    """Each kind is accepted by a server that asks for it, and none is shown by one that sends it back."""
    assert await get(apis, connection(server, "/auth", **auth), auth["auth"]) == {"kind": auth["auth"]}
    with pytest.raises(errors.ExternalRefused) as raised:
        await get(apis, connection(server, "/auth", **auth), "oauth2")
    shown = repr(raised.value) + raised.value.message + json.dumps(raised.value.metadata)
    assert raised.value.metadata["upstream_status"] == "401"
    assert "who?" in shown
    for secret in (TOKEN, PASSWORD, "cmVhZGVyOnBhc3M6d29yZC1vZi"):
        assert secret not in shown


def oauth2(server: ExternalApi, **options: Any) -> ExternalConnection:
    """A connection that fetches its tokens from the server."""
    given = {"oauth2_token_url": f"{server.url}/token", "oauth2_client_id": CLIENT_ID}
    return connection(server, "/auth", auth="oauth2", **given | {"oauth2_client_secret": CLIENT_SECRET} | options)


async def test_a_token_is_fetched_once_for_all(server: ExternalApi, apis: Apis) -> None:
    """Ten calls at once wait for one token, which later calls use too."""
    before = server.count("/token")
    answers = await asyncio.gather(*(get(apis, oauth2(server), "oauth2") for _ in range(10)))
    assert answers == [{"kind": "oauth2"}] * 10
    await get(apis, oauth2(server), "oauth2")
    assert server.count("/token") == before + 1


async def test_a_revoked_token_is_renewed_once(server: ExternalApi, apis: Apis) -> None:
    """A 401 brings a new token; when that is refused as well the call is."""
    await get(apis, oauth2(server), "oauth2")
    server.tokens.clear()
    before = server.count("/token")
    assert await get(apis, oauth2(server), "oauth2") == {"kind": "oauth2"}
    assert server.count("/token") == before + 1
    with pytest.raises(errors.ExternalRefused):
        await get(apis, oauth2(server), "bearer")
    assert server.count("/token") == before + 2


async def test_a_client_that_the_token_endpoint_does_not_know(server: ExternalApi, apis: Apis) -> None:
    """Its answer is told, without the secret that it sends back."""
    with pytest.raises(errors.ExternalRefused, match="token endpoint answered 401") as raised:
        await get(apis, oauth2(server, oauth2_client_secret="not-the-secret"), "oauth2")
    assert "invalid_client" in raised.value.metadata["upstream_body"]
    assert "not-the-secret" not in json.dumps(raised.value.metadata)


async def test_the_token_endpoint_is_checked_like_any_other(server: ExternalApi, apis: Apis) -> None:
    """Also the token's address must be one that may be reached."""
    where = replace(oauth2(server, oauth2_token_url="http://169.254.169.254/token"), api_base_url="http://1.1.1.1")
    with pytest.raises(errors.AddressNotAllowed):
        await get(apis, where, "x")


async def test_redirects_below_the_base(server: ExternalApi, apis: Apis) -> None:
    """GET follows up to three, HEAD too; what changes something follows none."""
    assert await get(apis, connection(server), "redirect?to=/items") == server.records
    twice = "redirect?to=/redirect%3Fto%3D/items"
    assert await get(apis, connection(server), twice) == server.records
    with pytest.raises(errors.ExternalRefused, match="more than 3"):
        await get(apis, connection(server), "redirect?to=%3Fto%3D")
    with pytest.raises(errors.ExternalRefused, match="answered 307"):
        await apis.call(connection(server), "POST", "redirect?to=/items&status=307", {}, only_reads=False)


@pytest.mark.parametrize(
    "to", ["http://169.254.169.254/latest", "//evil.example/", "http://127.0.0.1:1/", "/items", "/echo/../items"]
)
async def test_redirects_that_leave_the_base(server: ExternalApi, apis: Apis, to: str) -> None:
    """Metadata, another host or port, or a path outside: not followed, and so no credentials go there."""
    where = connection(server, "/redirect", auth="bearer", token=TOKEN)
    before = len(server.requests)
    with pytest.raises(errors.ExternalRefused, match="not below"):
        await get(apis, where, f"?to={to}")
    assert len(server.requests) == before + 1


async def test_rebinding_cannot_bite(server: ExternalApi) -> None:
    """A name that answers a public address first and the loopback then is refused at its second connection; and what
    is connected to is the address that was checked, not what the name says elsewhere."""
    answers = iter([["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["127.0.0.1"]])
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return next(answers)

    apis = Apis(Egress(resolve=resolve))
    allowed = replace(connection(server), api_base_url=f"http://rebinding.example:{server.port}")
    # The name is nowhere in the DNS: only the address that was checked can have led to our server.
    assert (await get(apis, allowed, "echo"))["headers"]["host"] == f"rebinding.example:{server.port}"
    assert asked == ["rebinding.example"]
    closed = replace(allowed, options={})
    before = len(server.requests)
    for _ in range(2):  # a mixed answer, then the loopback alone
        with pytest.raises(errors.AddressNotAllowed):
            await get(apis, closed, "echo")
    assert len(server.requests) == before
    await apis.close()


async def test_loopback_is_closed_unless_allowed(server: ExternalApi, apis: Apis) -> None:
    """Without allowed_networks the same server is out of reach; with the suite's own port it is always."""
    with pytest.raises(errors.AddressNotAllowed):
        await get(apis, replace(connection(server), options={}), "items")
    own = Apis(Egress([("127.0.0.1", server.port)]))
    with pytest.raises(errors.AddressNotAllowed):
        await get(own, connection(server), "items")
    await own.close()


@pytest.mark.parametrize(
    ("method", "endpoint", "data"),
    [
        ("TRACE", "x", None),
        ("CONNECT", "x", None),
        ("GET", "x", [1]),
        ("GET", "x", {"a": {"b": 1}}),
        ("GET", "../x", None),
        ("POST", "x", {"a": "\ud800"}),
        ("GET", "x", {"a": "b" * 20_000}),
    ],
)
async def test_calls_that_are_none(server: ExternalApi, apis: Apis, method: str, endpoint: str, data: Any) -> None:
    """They are refused before anything is sent."""
    before = len(server.requests)
    with pytest.raises(InvalidArgument):
        await apis.call(connection(server), method, endpoint, data, only_reads=False)
    assert len(server.requests) == before


async def test_writing_where_only_reading_is_permitted(server: ExternalApi, apis: Apis) -> None:
    """The last gate before the socket."""
    with pytest.raises(errors.QueryNotPermitted):
        await apis.call(connection(server), "POST", "items", {}, only_reads=True)


@pytest.mark.parametrize(
    "given",
    [
        {"auth": "bearer", "token": "a b\n"},
        {"auth": "apikey"},
        {"auth": "apikey", "token": "a\r\nb"},
        {"auth": "basic", "token": ""},
        {"auth": "oauth2", "token": "x"},
        {"auth": "kerberos"},
        {"retries": 6},
        {"retries": "2"},
        {"headers": {"Host": "evil"}},
        {"headers": {"X": "a\nb"}},
        {"headers": []},
        {"api_key_header": "Content-Length"},
        {"soap_version": "2"},
        {"max_response_bytes": -1},
        {"tls_ca": "no certificate"},
        {"allowed_networks": "all"},
    ],
)
async def test_connections_that_cannot_be_used(server: ExternalApi, apis: Apis, given: dict[str, Any]) -> None:
    """What is missing or makes no sense is said before anything is sent, without the secrets."""
    with pytest.raises(errors.ConnectionUnusable):
        await get(apis, connection(server, **given), "items")
    with pytest.raises(errors.ConnectionUnusable, match="broken"):
        await get(apis, replace(connection(server), problem="broken"), "items")


async def test_trying_a_connection(server: ExternalApi, apis: Apis) -> None:
    """Whatever answers is there; what does not know us, or cannot answer, is not."""
    await apis.test(connection(server))  # its root answers 404
    await apis.test(connection(server, test_endpoint="items"))
    for endpoint, error in (("auth/bearer", errors.ExternalRefused), ("status/500", errors.ExternalUnavailable)):
        with pytest.raises(error):
            await apis.test(connection(server, test_endpoint=endpoint))
    with pytest.raises(errors.ConnectionUnusable, match="test_endpoint"):
        await apis.test(connection(server, test_endpoint="../x"))
    with pytest.raises(errors.ExternalRefused):
        await apis.test(oauth2(server, oauth2_client_secret="wrong"))


async def test_tls(tmp_path: Path) -> None:
    """A certificate that nobody vouches for is refused, and taken with its issuer in tls_ca; the name is the URL's."""
    certificate, key = write_certificate(tmp_path)
    with ExternalApi([{"id": 1}], tls=(certificate, key)) as server:
        apis = Apis(Egress())
        with pytest.raises(errors.ExternalUnavailable, match="certificate"):
            await get(apis, connection(server, retries=0), "items")
        trusting = connection(server, tls_ca=certificate.read_text(), retries=0)
        assert await get(apis, trusting, "items") == [{"id": 1}]
        with pytest.raises(errors.ExternalUnavailable, match="certificate"):
            await get(apis, replace(trusting, api_base_url=f"https://127.0.0.1:{server.port}"), "items")
        await apis.close()


async def test_what_is_kept(server: ExternalApi, apis: Apis) -> None:
    """Sockets stay open between calls, and are closed for connections that are changed or gone, once they are free."""
    where = connection(server)
    slow = asyncio.ensure_future(get(apis, where, "slow?seconds=0.3"))
    await eventually(lambda: server.requests[-1].query == {"seconds": ["0.3"]})
    await apis.keep([where])
    assert len(apis._apis) == 1
    await apis.keep([replace(where, api_timeout=11)])
    assert not apis._apis
    assert await slow == {}


async def test_the_environment_has_no_say(server: ExternalApi, apis: Apis, monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of the environment gets to see a call."""
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.setblocking(False)
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{trap.getsockname()[1]}")
        assert await get(apis, connection(server), "items") == server.records
        with pytest.raises(BlockingIOError):
            trap.accept()


async def test_bearer_without_a_token_sends_none(server: ExternalApi, apis: Apis) -> None:
    """The column's default is bearer, also of an API that needs no credentials."""
    await get(apis, connection(server, auth="bearer"), "items")
    assert "authorization" not in server.requests[-1].headers
