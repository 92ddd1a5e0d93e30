"""The receiving routes: what senders are answered, and what reaches ingest."""

import json
import threading

import httpx
import pytest

from gateway_rig import PREFIX, PUSH, WEBHOOK, GatewayProcess, Script, accepted, problem_of, refused
from intertie.ingest.v1 import ingest_pb2
from intertie_chassis.errors import (
    AlreadyExists,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)

BODY = b'{ "id" : "INC-1",\n "n": 9007199254740993, "t": "\xc3\xa9" }'


def test_a_stored_webhook_is_answered_202_with_exactly_these_fields(gateway: GatewayProcess) -> None:
    """The answer is the one that DESIGN fixes, in its order."""
    answer = gateway.webhook(BODY)

    assert answer.status_code == 202
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json().items()) == [
        ("status", "received"),
        ("system", "law_enforcement"),
        ("external_id", "INC-1"),
        ("delivery_id", "01JDB2M8W0F1YJ5Q0X7Q3V9K2C"),
        ("duplicate", False),
    ]


def test_a_stored_push_is_answered_202_with_mapping_and_message(gateway: GatewayProcess, script: Script) -> None:
    """A push names its mapping and says in words what happened."""
    answer = gateway.webhook(b'{"system":"law_enforcement","mapping":"m","data":{"id":1},"id":7}', PUSH)

    assert answer.status_code == 202
    assert list(answer.json()) == [
        "status", "system", "mapping", "external_id", "message", "delivery_id", "duplicate",
    ]  # fmt: skip
    assert answer.json()["status"] == "success"
    assert script.deliveries[0].route == ingest_pb2.ROUTE_PUSH
    assert script.deliveries[0].system == ""


@pytest.mark.parametrize("path", [WEBHOOK, PUSH])
def test_an_array_is_answered_with_the_count_of_its_records(gateway: GatewayProcess, path: str) -> None:
    """`records` stands in place of external_id."""
    answer = gateway.webhook(b'[{"id":1},{"id":2},{"id":3}]', path).json()
    assert answer["records"] == 3
    assert "external_id" not in answer


def test_ingest_gets_the_very_bytes(gateway: GatewayProcess, script: Script) -> None:
    """White space, big integers and UTF-8 arrive as they came: signatures are over these bytes."""
    gateway.webhook(BODY)
    (delivery,) = script.deliveries
    assert delivery.body == BODY
    assert delivery.peer == "127.0.0.1"
    assert delivery.route == ingest_pb2.ROUTE_WEBHOOK
    assert delivery.received_at.seconds > 1_700_000_000


def test_ingest_gets_the_allowed_headers_only(gateway: GatewayProcess, script: Script) -> None:
    """What verifies and names a delivery passes, each occurrence by itself and byte for byte; credentials of others
    and what proxies write do not."""
    headers = [
        (b"Content-Type", b"application/json"),
        (b"User-Agent", b"sender/1"),
        (b"X-Webhook-Secret", b"caf\xe9"),
        (b"X-Twice", b"a"),
        (b"X-Twice", b"b"),
        (b"Webhook-Id", b"msg_1"),
        (b"Svix-Id", b"msg_2"),
        (b"Stripe-Signature", b"t=1,v1=ab"),
        (b"Idempotency-Key", b"k"),
        (b"Authorization", b"Bearer secret"),
        (b"Cookie", b"a=b"),
        (b"X-Forwarded-Host", b"evil"),
        (b"Accept", b"*/*"),
    ]
    gateway.client.post(WEBHOOK, content=BODY, headers=headers)

    (delivery,) = script.deliveries
    sent = [(header.name, header.value) for header in delivery.headers]
    assert sorted(sent) == [
        ("content-type", b"application/json"),
        ("idempotency-key", b"k"),
        ("stripe-signature", b"t=1,v1=ab"),
        ("svix-id", b"msg_2"),
        ("user-agent", b"sender/1"),
        ("webhook-id", b"msg_1"),
        ("x-twice", b"a"),
        ("x-twice", b"b"),
        ("x-webhook-secret", b"caf\xe9"),
    ]


def test_a_push_carries_its_bearer_token(gateway: GatewayProcess, script: Script) -> None:
    """On /push, and only there, the authorization goes on: ingest knows what to do with it."""
    gateway.webhook(b'{"system":"s"}', PUSH, authorization="Bearer abc")
    assert ("authorization", b"Bearer abc") in [(h.name, h.value) for h in script.deliveries[0].headers]


def test_clients_of_an_untrusted_local_proxy_do_not_pass_for_local(gateway: GatewayProcess, script: Script) -> None:
    """With a proxy on this machine every peer would be loopback, which push_auth none lets in."""
    gateway.webhook(BODY, x_forwarded_for="203.0.113.9")
    assert script.deliveries[0].peer == ""


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidArgument("no", reason="INVALID_JSON"), 400, 3),
        (Unauthenticated(), 401, 16),
        (PermissionDenied(), 403, 7),
        (NotFound(reason="MAPPING_NOT_FOUND"), 404, 5),
        (AlreadyExists(reason="DELIVERY_KEY_REUSED"), 409, 6),
        (ResourceExhausted(reason="BODY_TOO_LARGE"), 413, 8),
        (InvalidArgument(reason="UNSUPPORTED_MEDIA_TYPE"), 415, 3),
        (ResourceExhausted(retry_after=7), 429, 8),
        (Unavailable(reason="STORE_UNAVAILABLE", retry_after=2.5), 503, 14),
    ],
)
def test_each_refusal_has_the_status_of_the_table(
    gateway: GatewayProcess, script: Script, error: Exception, status: int, code: int
) -> None:
    """The result's error decides the status; its reason and texts come through."""
    script.accept = lambda delivery: refused(error)  # type: ignore[arg-type]

    answer = gateway.webhook()

    assert answer.status_code == status
    problem = problem_of(answer)
    assert problem["code"] == code
    assert problem["reason"] == error.reason  # type: ignore[attr-defined]
    if status == 429:
        assert answer.headers["retry-after"] == "7"
    if status == 503:
        assert answer.headers["retry-after"] == "3"


def test_one_bad_item_never_harms_its_neighbours(gateway: GatewayProcess, script: Script) -> None:
    """Fifty at once, every fifth refused: each gets its own answer."""

    def accept(delivery: ingest_pb2.RawDelivery) -> ingest_pb2.AcceptResult:
        number = json.loads(delivery.body)["id"]
        return refused(Unauthenticated()) if number % 5 == 0 else accepted(delivery)

    script.accept = accept
    answers: dict[int, httpx.Response] = {}

    def send(number: int) -> None:
        answers[number] = gateway.webhook(b'{"id": %d}' % number)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {n: a.status_code for n, a in answers.items()} == {n: 401 if n % 5 == 0 else 202 for n in range(50)}
    assert all(a.json()["external_id"] == str(n) for n, a in answers.items() if n % 5)


@pytest.mark.parametrize(
    ("segment", "status"),
    [
        ("", 404),
        ("a%2Fb", 400),
        ("..%2f..%2fpush", 400),
        ("a%00b", 400),
        ("a%0Ab", 400),
        ("%ff", 400),
        ("%2523", 400),
        ("%zz", 400),
        ("%2e%2e", 400),
        ("..", 400),
        ("x" * 101, 400),
        ("%C3%A9" * 101, 400),
        ("a/b", 404),
        ("law_enforcement/", 404),
    ],
)
def test_names_that_are_refused(gateway: GatewayProcess, script: Script, segment: str, status: int) -> None:
    """A name that two readers could read in two ways reaches nobody."""
    path = f"{PREFIX}/webhook/{segment}"
    answer = gateway.raw(
        f"POST {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"Content-Length: 2\r\n\r\n{{}}".encode()
    )
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    problem_of(answer)
    assert script.deliveries == []


@pytest.mark.parametrize(
    ("segment", "name"), [("Polizei%20M%C3%BCnchen", "Polizei München"), ("50%25", "50%"), ("a.b", "a.b")]
)
def test_names_are_decoded_once(gateway: GatewayProcess, script: Script, segment: str, name: str) -> None:
    """What DESIGN allows as a name arrives as that name."""
    assert gateway.webhook(path=f"{PREFIX}/webhook/{segment}").status_code == 202
    assert script.deliveries[0].system == name


@pytest.mark.parametrize("query", ["system=evil", "%73ystem=evil", "a=1&system", "a=1;system=x"])
def test_the_query_must_not_name_a_system(gateway: GatewayProcess, script: Script, query: str) -> None:
    """`?system=` once overrode the path."""
    assert gateway.webhook(path=f"{WEBHOOK}?{query}").status_code == 400
    assert script.deliveries == []


def test_other_query_parameters_are_tolerated(gateway: GatewayProcess) -> None:
    """Senders add what they like to their URLs."""
    assert gateway.webhook(path=f"{WEBHOOK}?source=crm&v=2").status_code == 202


def test_a_secret_with_underscores_is_refused(gateway: GatewayProcess, script: Script) -> None:
    """Half of all proxies take it for the secret, and half drop it."""
    answer = gateway.client.post(
        WEBHOOK, content=b"{}", headers={"content-type": "application/json", "X_Webhook_Secret": "s"}
    )
    assert answer.status_code == 400
    assert "x-webhook-secret" in problem_of(answer)["message"]
    assert script.deliveries == []


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        (WEBHOOK, {"content-type": "application/json"}, 202),
        (WEBHOOK, {"content-type": "application/cloudevents+json; charset=UTF-8"}, 202),
        (WEBHOOK, {"content-type": "application/x-www-form-urlencoded"}, 202),
        (WEBHOOK, {"content-type": "text/plain"}, 415),
        (WEBHOOK, {"content-type": "application/json; charset=latin1"}, 415),
        (WEBHOOK, {}, 415),
        (WEBHOOK, {"content-type": "application/json", "content-encoding": "gzip"}, 415),
        (WEBHOOK, {"content-type": "application/json", "content-encoding": "identity"}, 202),
        (PUSH, {"content-type": "application/json"}, 202),
        (PUSH, {"content-type": "application/x-www-form-urlencoded"}, 415),
        (PUSH, {"content-type": "text/plain"}, 415),
        (PUSH, {}, 415),
    ],
)
def test_content_types(
    gateway: GatewayProcess, script: Script, path: str, headers: dict[str, str], status: int
) -> None:
    """JSON and +json in UTF-8 are taken, forms on the webhook route too, nothing compressed."""
    answer = gateway.client.post(path, content=b'{"id": 1}', headers=headers)
    assert answer.status_code == status
    assert len(script.deliveries) == (status == 202)


def test_an_empty_push_is_refused(gateway: GatewayProcess, script: Script) -> None:
    """There is nothing that it could mean."""
    answer = gateway.webhook(b"", PUSH)
    assert answer.status_code == 400
    assert problem_of(answer)["reason"] == "INVALID_JSON"
    assert script.deliveries == []


@pytest.mark.parametrize("path", [WEBHOOK, PUSH])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_405_with_allow(gateway: GatewayProcess, path: str, method: str) -> None:
    """The answer says what the route takes."""
    answer = gateway.client.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    if method != "HEAD":
        assert problem_of(answer)["reason"] == "METHOD_NOT_ALLOWED"


def test_request_ids(gateway: GatewayProcess, script: Script) -> None:
    """A sane id of the sender is kept, another replaced; ingest gets what the sender gets back."""
    kept = gateway.webhook(x_request_id="req-1")
    replaced = gateway.webhook(x_request_id="a b\tc")
    assert kept.headers["x-request-id"] == "req-1"
    assert len(replaced.headers["x-request-id"]) == 26
    assert [d.request_id for d in script.deliveries] == ["req-1", replaced.headers["x-request-id"]]


@pytest.mark.parametrize(
    ("value", "status"),
    [("!!!notb64", 400), ("YWJj", 202), ("YWI=", 202), ("YWI", 202), ("YQ", 202), ("Y", 400), ("", 202)],
)
def test_binary_headers_are_base64(gateway: GatewayProcess, script: Script, value: str, status: int) -> None:
    """What gRPC would fail over as metadata is the client's fault, on every route."""
    assert gateway.webhook(x_foo_bin=value).status_code == status
    assert gateway.client.get("/healthz", headers={"x-foo-bin": value}).status_code == (400 if status == 400 else 200)
