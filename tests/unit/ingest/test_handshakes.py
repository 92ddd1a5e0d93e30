"""Handshakes and answers of a connection: verified first, answered as it says, bounded; closed by what is nonsense."""

import hashlib
import hmac
import json
from typing import Any

import pytest

from ingest_samples import JSON, SECRET, SIGNED, configuration, desk, mapping, raw, system
from intertie.ingest.v1 import ingest_pb2
from intertie_chassis.errors import IntertieError
from intertie_ingest import convert
from intertie_ingest.answers import Answer, AnswerTooLarge, compile_template
from intertie_ingest.model import Accepted, Delivery, Ending, Greeting, Route

NOW = 1_700_000_000.0


def slack(body: bytes, secret: str = SECRET) -> dict[str, list[bytes]]:
    mac = hmac.new(secret.encode(), b"v0:%d:%b" % (NOW, body), hashlib.sha256).hexdigest()
    return {**JSON, "x-slack-signature": [b"v0=" + mac.encode()], "x-slack-request-timestamp": [b"%d" % NOW]}


def github(body: bytes, event: bytes = b"push") -> dict[str, list[bytes]]:
    mac = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest().encode()
    return {**JSON, "x-hub-signature-256": [b"sha256=" + mac], "x-github-event": [event]}


def take(body: bytes, headers: dict[str, list[bytes]], **options: Any) -> Any:
    return desk(configuration(system(mapping(), webhook_secret=SECRET, **options)), now=NOW).take(
        raw(body, headers=headers)
    )


def test_slacks_challenge_is_echoed_once_it_is_verified() -> None:
    """As plain text; with a wrong signature there is no answer but 401."""
    body = b'{"token":"t","challenge":"3eZbrw1aB","type":"url_verification"}'
    taken = take(body, slack(body), webhook_auth="slack")
    assert isinstance(taken, Greeting)
    assert (taken.answer, taken.verified_by) == (Answer(200, "text/plain", b"3eZbrw1aB"), "webhook_secret")
    with pytest.raises(IntertieError, match="not known, or the secret"):
        take(body, slack(body, "another"), webhook_auth="slack")
    other = b'{"type":"event_callback","challenge":"x"}'
    assert isinstance(take(other, slack(other), webhook_auth="slack"), Delivery)


def test_githubs_ping_is_answered_and_its_events_are_deliveries() -> None:
    """By the header of the event."""
    body = b'{"zen":"Keep it logically awesome.","hook_id":1}'
    assert take(body, github(body, b"ping"), webhook_auth="github").answer.status == 200
    assert isinstance(take(body, github(body), webhook_auth="github"), Delivery)
    twice = {**github(body, b"ping"), "x-github-event": [b"ping", b"push"]}
    with pytest.raises(IntertieError, match="x-github-event must stand once"):
        take(body, twice, webhook_auth="github")


AS_JSON = {"field": "k", "equals": "v", "content_type": "application/json"}


@pytest.mark.parametrize(
    ("rule", "body", "answer"),
    [
        ({"field": "k", "equals": "v", "body": "{who.name}"}, {"k": "v", "who": {"name": "é"}}, "é".encode()),
        ({"field": "kind", "equals": 1, "body": "{kind}"}, {"kind": 1}, b"1"),
        ({"field": "test", "equals": True, "body": "{none}!"}, {"test": True}, b"!"),
        ({"header": "X-Acme-Event", "equals": "probe"}, [{"a": 1}], b""),
        ({**AS_JSON, "body": '{"c": "{c}"}'}, {"k": "v", "c": 'a"\n'}, b'{"c": "a\\"\\n"}'),
        ({**AS_JSON, "body": '{"c": {c}}'}, {"k": "v", "c": {"d": [1.50]}}, b'{"c": {"d":[1.5]}}'),
        (
            {"field": "k", "equals": "v", "content_type": "application/xml", "body": "<c a='{c}'>{d}</c>"},
            {"k": "v", "c": "'><x/>\0", "d": ["<&"]},
            "<c a='&apos;&gt;&lt;x/&gt;\ufffd'>[&quot;&lt;&amp;&quot;]</c>".encode(),
        ),
    ],
    ids=["path", "number", "true", "header", "json-text", "json-value", "xml"],
)
def test_a_connections_own_handshakes(rule: dict[str, Any], body: object, answer: bytes) -> None:
    """Told by a header or a field, filled from the verified body; JSON stays JSON whatever is put into it."""
    headers = {**SIGNED, "x-acme-event": [b"probe"]} if "header" in rule else SIGNED
    taken = take(json.dumps(body).encode(), headers, webhook_handshakes=[{"status": 201, **rule}])
    assert (taken.answer.status, taken.answer.body) == (201, answer)
    if "json" in rule.get("content_type", ""):
        json.loads(taken.answer.body)


@pytest.mark.parametrize("body", [{"kind": "1"}, {"kind": True}, {"kind": 2}, {"other": 1}, [{"kind": 1}]])
def test_what_is_only_like_a_handshake_is_a_delivery(body: object) -> None:
    """Another type or value, another field, a list."""
    taken = take(json.dumps(body).encode(), SIGNED, webhook_handshakes=[{"field": "kind", "equals": 1}])
    assert isinstance(taken, Delivery)


def test_a_connections_own_come_before_its_schemes() -> None:
    """So that the answer to GitHub's ping can be another one."""
    body = b'{"zen":"x"}'
    own = [{"header": "X-GitHub-Event", "equals": "ping", "status": 204}]
    taken = take(body, github(body, b"ping"), webhook_auth="github", webhook_handshakes=own)
    assert taken.answer == Answer(204, "text/plain", b"")


def test_an_answer_has_a_limit() -> None:
    """What is echoed is the sender's: as much of it as 16 KiB."""
    rules = [{"field": "type", "equals": "x", "body": "{c}"}]
    assert take(json.dumps({"type": "x", "c": "y" * 16384}).encode(), SIGNED, webhook_handshakes=rules).answer
    with pytest.raises(IntertieError) as refused:
        take(json.dumps({"type": "x", "c": "y" * 16385}).encode(), SIGNED, webhook_handshakes=rules)
    assert refused.value.reason == "INVALID_REQUEST"


def test_an_answer_that_is_too_large_is_not_written_out() -> None:
    """A megabyte in a thousand places would be a gigabyte; the first is too much already."""
    asked: list[str] = []
    template = compile_template("answer", {"body": "{a}" * 1000})
    with pytest.raises(AnswerTooLarge):
        template.filled(lambda name: asked.append(name) or "x" * 1_000_000)  # type: ignore[func-returns-value]
    assert len(asked) == 1


def test_handshakes_are_for_webhooks_alone() -> None:
    """A push says what it is."""
    body = {"system": "law_enforcement", "mapping": "incidents_to_events", "data": {"id": 1}, "type": "x"}
    config = configuration(
        system(
            mapping(),
            webhook_secret=SECRET,
            webhook_handshakes=[{"field": "type", "equals": "x"}],
            webhook_response={"status": 200},
        )
    )
    taken = desk(config).take(raw(body, route=Route.PUSH))
    assert isinstance(taken, Delivery)
    assert taken.response is None


@pytest.mark.parametrize(
    "options",
    [
        {"webhook_handshakes": {}},
        {"webhook_handshakes": [5]},
        {"webhook_handshakes": [{"equals": "x"}]},
        {"webhook_handshakes": [{"header": "x", "field": "y", "equals": "z"}]},
        {"webhook_handshakes": [{"header": "x"}]},
        {"webhook_handshakes": [{"header": "a\r\nb", "equals": "z"}]},
        {"webhook_handshakes": [{"header": "x", "equals": 5}]},
        {"webhook_handshakes": [{"field": "a..b", "equals": "z"}]},
        {"webhook_handshakes": [{"field": "a", "equals": None}]},
        {"webhook_handshakes": [{"field": "a", "equals": "z", "status": 302}]},
        {"webhook_handshakes": [{"field": "a", "equals": "z", "status": "200"}]},
        {"webhook_handshakes": [{"field": "a", "equals": "z", "content_type": "text/html"}]},
        {"webhook_handshakes": [{"field": "a", "equals": "z", "content_type": "text/plain\r\nX-Evil: 1"}]},
        {"webhook_handshakes": [{"field": "a", "equals": "z", "body": "x" * 4097}]},
        {"webhook_handshakes": [{"field": "a", "equals": "z", "body": "{a..b}"}]},
        {"webhook_handshakes": [{"field": "a", "equals": "z", "status": 204, "body": "x"}]},
        {"webhook_handshakes": [{"field": "a", "equals": "z", "typo": 1}]},
        {"webhook_handshakes": [{"field": "a", "equals": "z"}] * 21},
        {"webhook_response": "ok"},
        {"webhook_response": {"status": 500}},
        {"webhook_response": {"body": "{challenge}"}},
        {"webhook_response": {"headers": {}}},
    ],
)
def test_what_cannot_be_used_closes_the_system(options: dict[str, Any]) -> None:
    """By SQL anything may be stored: nothing is let in by it, and the log says why."""
    config = configuration(system(mapping(), webhook_secret=SECRET, **options))
    (problem,) = config.by_name["law_enforcement"].problems
    assert next(iter(options)) in problem
    assert problem.endswith("nothing is let in")
    with pytest.raises(IntertieError, match="not known, or the secret"):
        desk(config).take(raw(b'{"a": "z"}'))


def test_an_accepted_delivery_is_answered_as_its_connection_says() -> None:
    """With its id and the record's; of a duplicate with the first one's id."""
    response = {
        "status": 200,
        "content_type": "application/json",
        "body": '{"ok":true,"d":"{delivery_id}","e":"{external_id}"}',
    }
    config = configuration(system(mapping(), webhook_secret=SECRET, webhook_response=response))
    taken = desk(config).take(raw({"id": 'a"b'}))
    accepted = Accepted(taken, "01FIRST", True, False, taken.external_ids, Ending.PENDING)
    (result,) = convert.accept_response([accepted]).results
    answer = result.acceptance.custom_response
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert json.loads(answer.body) == {"ok": True, "d": "01FIRST", "e": 'a"b'}
    usual = Accepted(desk().take(raw()), "01FIRST", True, False, (), None)
    assert not convert.accept_response([usual]).results[0].acceptance.HasField("custom_response")


def test_a_handshake_over_the_wire() -> None:
    """As the contract has it."""
    greeting = Greeting(1, "a", "webhook_secret", Answer(200, "text/plain", b"x"))
    (result,) = convert.accept_response([greeting]).results
    assert result.handshake == ingest_pb2.CustomResponse(status=200, content_type="text/plain", body=b"x")
