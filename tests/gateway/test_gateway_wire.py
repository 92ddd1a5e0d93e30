"""The wire under the routes: framing that two readers could read in two ways, sizes, slow and vanishing clients."""

import socket
import threading
from pathlib import Path

import pytest

from gateway_rig import (
    PUSH,
    WEBHOOK,
    GatewayProcess,
    Script,
    Services,
    problem_of,
    request,
    running_gateway,
    status_of,
)
from waiting import eventually

HEAD = f"POST {WEBHOOK} HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n".encode()


@pytest.mark.parametrize(
    "message",
    [
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
        HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n",
        HEAD + b"Content-Length: -2\r\n\r\n{}",
        HEAD + b"Content-Length: 2x\r\n\r\n{}",
        HEAD + b"X-A: a\x00b\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"X-A: a\rb\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"X A: b\r\nContent-Length: 2\r\n\r\n{}",
        HEAD.replace(b"Host: t\r\n", b"") + b"Content-Length: 2\r\nConnection: close\r\n\r\n{}",
        HEAD + b"Host: other\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        HEAD + b"Content-Length : 2\r\n\r\n{}",
        HEAD + b"X-A: a\r\n folded\r\nContent-Length: 2\r\n\r\n{}",
        f"POST {WEBHOOK} HTTP/9.9\r\nHost: t\r\n\r\n".encode(),
        b"POST /a b HTTP/1.1\r\nHost: t\r\n\r\n",
        b"POST /caf\xc3\xa9 HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=lambda message: repr(bytes(message).removeprefix(HEAD)[:50]),
)
def test_broken_framing_is_400_and_the_connection_ends(gateway: GatewayProcess, script: Script, message: bytes) -> None:
    """What could smuggle a second request is refused in the one error shape, and nothing of it is stored."""
    answer = gateway.raw(message)
    assert status_of(answer) == 400
    assert b"connection: close" in answer
    problem_of(answer)
    assert answer.count(b"HTTP/1.1 400") == 1
    assert script.deliveries == []


def test_bare_line_feeds_are_refused(gateway: GatewayProcess, script: Script) -> None:
    """Some proxies end a line at LF alone, so we must not."""
    answer = gateway.raw((HEAD + b"Content-Length: 2\r\n\r\n{}").replace(b"\r\n", b"\n"))
    assert status_of(answer) == 400
    assert script.deliveries == []


def test_garbage_after_a_request_does_not_take_its_answer(gateway: GatewayProcess, script: Script) -> None:
    """The first request's client gets the first request's answer; then the connection ends."""
    first = request().replace(b"Connection: close\r\n", b"")
    answer = gateway.raw(first + b"\x00\x01garbage\r\n\r\n")
    assert status_of(answer) == 202
    assert answer.count(b"HTTP/1.1 202") == 1
    assert len(script.deliveries) == 1


def test_requests_on_one_connection_are_answered_in_order(gateway: GatewayProcess) -> None:
    """Pipelined requests each get their own answer."""
    keep = request(body=b'{"id":"A"}').replace(b"Connection: close\r\n", b"")
    answer = gateway.raw(keep + keep.replace(b'"A"', b'"B"') + request(body=b'{"id":"C"}'))
    assert [answer.index(b'"external_id":"%s"' % name) for name in (b"A", b"B", b"C")] == sorted(
        answer.index(b'"external_id":"%s"' % name) for name in (b"A", b"B", b"C")
    )
    assert answer.count(b"HTTP/1.1 202") == 3


def test_what_the_client_asks_for_ends_the_connection(gateway: GatewayProcess) -> None:
    """Its answer says so, once, and has its headers and its body whole."""
    for message in (request(), request().replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"Connection: close\r\n", b"")):
        head, _, body = gateway.raw(message).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 202 Accepted\r\n")
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        assert (fields[b"connection"], int(fields[b"content-length"])) == (b"close", len(body))
        assert head.count(b"connection:") == 1
        assert {b"content-type", b"x-request-id", b"date"} <= fields.keys()


def test_an_upgrade_is_ignored(gateway: GatewayProcess, script: Script) -> None:
    """The request is answered as it is; nothing behind it is left waiting."""
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    answer = gateway.raw(request().replace(b"Connection: close\r\n", upgrade) + request())
    assert status_of(answer) == 202
    assert b"connection: close" in answer
    assert len(script.deliveries) == 1
    plain = gateway.raw(b"GET /healthz HTTP/1.1\r\nHost: t\r\n" + upgrade + b"\r\n")
    assert status_of(plain) == 200


@pytest.mark.parametrize("pause", [False, True], ids=["at-once", "behind-the-headers"])
def test_a_body_beside_an_upgrade_arrives(gateway: GatewayProcess, script: Script, pause: bool) -> None:
    """Java's HTTP client asks for an upgrade to HTTP/2 with its first request, whose body it sends along."""
    asked = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    framings = (
        (b"Content-Length: 8\r\n\r\n", b'{"id":1}'),
        (b"Transfer-Encoding: chunked\r\n\r\n", b'8\r\n{"id":1}\r\n0\r\n\r\n'),
    )
    for framing, body in framings:
        head = HEAD + asked + framing
        answer = gateway.raw(head, body) if pause else gateway.raw(head + body)
        assert status_of(answer) == 202
        assert b"connection: close" in answer
    assert [delivery.body for delivery in script.deliveries] == [b'{"id":1}'] * 2


def test_two_headers_that_a_proxy_made_one_are_two(gateway: GatewayProcess, script: Script) -> None:
    """Proxies may join fields of one name with a comma (RFC 9110); which value counts stays as unclear as before."""
    joined = (
        (b"Host: t\r\n", b"Host: t,other\r\n"),
        (b"Content-Type: application/json\r\n", b"Content-Type: application/json, text/plain\r\n"),
        (b"Host: t\r\n", b"Host: t\r\nAuthorization: Bearer a,Bearer b\r\n"),
    )
    for old, new in joined:
        answer = gateway.raw(HEAD.replace(old, new) + b"Content-Length: 2\r\nConnection: close\r\n\r\n{}")
        assert status_of(answer) == 400, new
        problem_of(answer)
    assert script.deliveries == []


@pytest.mark.parametrize("path", [f"http://other.example{WEBHOOK}", f"http://other.example:99{WEBHOOK}?a=b"])
def test_absolute_urls_are_read_as_their_path(gateway: GatewayProcess, script: Script, path: str) -> None:
    """RFC 9112 has every server take them."""
    assert status_of(gateway.raw(request(path))) == 202
    assert script.deliveries[0].system == "law_enforcement"


@pytest.mark.parametrize("path", ["http://host", "*", "host:443", "//"])
def test_paths_that_are_none(gateway: GatewayProcess, path: str) -> None:
    """No route, and never a fault of ours."""
    answer = gateway.raw(request(path))
    assert status_of(answer) in (400, 404)
    problem_of(answer)


def test_dot_segments_never_lead_to_another_route(gateway: GatewayProcess, script: Script) -> None:
    """`/webhook/../push` once came in as /push."""
    for path in ("/api/v1/integrations/webhook/../push", "/api/v1/integrations/webhook/%2e%2e/push", "/a/./b"):
        answer = gateway.raw(request(path))
        assert status_of(answer) == 400, path
        problem_of(answer)
    assert script.deliveries == []


@pytest.mark.parametrize("path", ["/", "/nothing", "/api/v1/integrations", "/api/v2/integrations/push", f"{PUSH}/"])
def test_unknown_routes_are_404(gateway: GatewayProcess, path: str) -> None:
    """In the one error shape, with a hint where the routes are listed."""
    answer = gateway.client.post(path, json={})
    assert answer.status_code == 404
    assert problem_of(answer)["reason"] == "ROUTE_NOT_FOUND"


def test_headers_over_the_limit_are_431(gateway: GatewayProcess, script: Script) -> None:
    """More than 8 KiB, or more than 60 fields; at the limit they pass."""
    assert status_of(gateway.raw(request(headers=(b"X-A: " + b"a" * 8000,)))) == 202
    for headers in ((b"X-A: " + b"a" * 8192,), tuple(b"X-%d: a" % n for n in range(60))):
        answer = gateway.raw(request(headers=headers))
        assert status_of(answer) == 431
        assert problem_of(answer)["code"] == 8
    assert len(script.deliveries) == 1


def test_headers_without_end_are_given_up(gateway: GatewayProcess) -> None:
    """A header of a megabyte is not read to its end."""
    answer = gateway.raw(HEAD + b"X-A: " + b"a" * 100_000)
    # What is unread when it closes may reset the connection and take the answer along.
    if answer:
        assert status_of(answer) == 431
        problem_of(answer)


def test_a_long_url_is_414(gateway: GatewayProcess) -> None:
    """In the one error shape."""
    answer = gateway.raw(request("/" + "a" * 9000))
    assert status_of(answer) == 414
    problem_of(answer)


LIMIT = 1024 * 1024


def test_a_body_at_the_limit_passes(gateway: GatewayProcess, script: Script) -> None:
    """One MiB by default, to the byte."""
    body = b'"' + b"a" * (LIMIT - 2) + b'"'
    assert gateway.webhook(body).status_code == 202
    assert script.deliveries[0].body == body


def test_a_body_that_announces_too_much_is_413_before_it_is_sent(gateway: GatewayProcess, script: Script) -> None:
    """The answer comes although not a byte of the body has."""
    message = HEAD + b"Connection: close\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % (LIMIT + 1)
    answer = gateway.raw(message)
    assert status_of(answer) == 413
    assert problem_of(answer)["metadata"] == {"limit": str(LIMIT)}
    assert script.deliveries == []


def test_a_chunked_body_is_counted(gateway: GatewayProcess, script: Script) -> None:
    """Without Content-Length the bytes are counted as they come, and the answer does not wait for their end."""
    chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
    answer = gateway.raw(HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n", *[chunk] * 17)
    assert status_of(answer) == 413
    assert script.deliveries == []


def test_a_chunked_body_arrives_whole(gateway: GatewayProcess, script: Script) -> None:
    """Chunks are only how it travels."""
    answer = gateway.raw(
        HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n", b'5\r\n{"id"\r\n', b"4\r\n: 1}\r\n0\r\n\r\n"
    )
    assert status_of(answer) == 202
    assert script.deliveries[0].body == b'{"id": 1}'


def test_the_connection_stays_usable_after_a_refusal(gateway: GatewayProcess, script: Script) -> None:
    """A client that sends its body all the same gets its answer and may go on."""
    too_large = HEAD + b"Content-Length: %d\r\n\r\n" % (LIMIT + 5) + b"a" * (LIMIT + 5)
    answer = gateway.raw(too_large + request())
    assert status_of(answer) == 413
    assert answer.count(b"HTTP/1.1 202") == 1
    assert len(script.deliveries) == 1


@pytest.mark.parametrize(
    "message",
    [HEAD + b"Content-Length: 100\r\n\r\n{}", HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}"],
    ids=["length", "chunked"],
)
async def test_a_body_that_is_cut_short_is_not_stored(gateway: GatewayProcess, script: Script, message: bytes) -> None:
    """Half a delivery is none; the gateway goes on."""
    gateway.raw(message, close=True)

    def logged() -> bool:
        return any(line["status"] == 499 for line in gateway.lines())

    await eventually(logged)
    assert gateway.webhook().status_code == 202
    assert len(script.deliveries) == 1


async def test_a_client_that_leaves_while_it_waits_harms_nobody(gateway: GatewayProcess, script: Script) -> None:
    """Its delivery was complete, so it is stored; the others of its group get their answers."""
    gate = threading.Event()
    script.on_group = lambda request: gate.wait(20)
    with socket.create_connection(("127.0.0.1", gateway.port)) as leaving:
        leaving.sendall(request())
        await eventually(lambda: len(script.groups) == 1)
    gate.set()
    assert gateway.webhook().status_code == 202
    assert len(script.deliveries) == 2


def test_slow_senders_are_cut_off(services: Services, script: Script, tmp_path: Path) -> None:
    """408 for headers and for bodies that do not end; nothing of it is stored."""
    with running_gateway(
        services.address,
        tmp_path,
        {
            "INTERTIE_GATEWAY_HEADERS_SECONDS": "1",
            "INTERTIE_GATEWAY_BODY_SECONDS": "1",
            "INTERTIE_GATEWAY_IDLE_SECONDS": "1",
        },
    ) as gateway:
        in_headers = gateway.raw(HEAD)
        in_body = gateway.raw(HEAD + b"Content-Length: 100\r\n\r\n{}")
        in_nothing = gateway.raw()
        kept = request().replace(b"Connection: close\r\n", b"")
        after_answers = [gateway.raw(kept + behind) for behind in (b"", b"\r\n", kept)]
    assert status_of(in_headers) == 408
    problem_of(in_headers)
    assert status_of(in_body) == 408
    problem_of(in_body)
    assert in_nothing == b""
    assert [answer.count(b"HTTP/1.1 202") for answer in after_answers] == [1, 1, 2]
    assert not any(b"connection: close" in answer for answer in after_answers)
    assert len(script.deliveries) == 4


def test_trailers_are_no_headers(gateway: GatewayProcess, script: Script) -> None:
    """Whether a field behind the body counts must not depend on when its packet comes: it never does."""
    body = b"2\r\n{}\r\n0\r\nX-Webhook-Secret: behind\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"
    chunked = HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    for parts in ((chunked + body,), (chunked, body)):
        assert status_of(gateway.raw(*parts)) == 202
    sent = [{header.name for header in delivery.headers} for delivery in script.deliveries]
    assert len(sent) == 2
    assert all("x-webhook-secret" not in names for names in sent)


def test_a_trailer_without_end_is_given_up(gateway: GatewayProcess) -> None:
    """The parser would gather it in memory for as long as the body may take."""
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-A: "
    # We are still sending when it closes; that may reset the connection and take the answer along.
    answer = gateway.raw(chunked, *(b"a" * 65536 for _ in range(8)))
    assert answer == b"" or status_of(answer) == 400
